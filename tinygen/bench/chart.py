"""Parts of a picture with logarithmic scales, as SVG."""

import math
from collections.abc import Iterable
from html import escape
from typing import NamedTuple


class Axis(NamedTuple):
    """A logarithmic scale from `low` to `high`, which lie at pixels `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (self.end - self.start) * math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self) -> list[float]:
        return [10.0**n for n in range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)]


def document(width: int, height: int, parts: Iterable[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *parts,
            "</svg>\n",
        ]
    )


def grid(x: Axis, y: Axis, columns: Iterable[float]) -> list[str]:
    """Lines and numbers: upright ones at `columns` of x, level ones at the powers of ten of y."""
    parts = []
    for value in columns:
        parts.append(f'<path d="M{x.at(value):.1f} {y.start}V{y.end}" stroke="#ddd"/>')
        parts.append(text(x.at(value), y.start + 18, f"{value:g}", 'text-anchor="middle"'))
    for value in y.ticks():
        parts.append(f'<path d="M{x.start} {y.at(value):.1f}H{x.end}" stroke="#ddd"/>')
        parts.append(text(x.start - 8, y.at(value) + 4, f"{value:g}", 'text-anchor="end"'))
    return parts


def text(x: float, y: float, words: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(words)}</text>'
