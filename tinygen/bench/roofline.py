"""Kernels under the roof of what the machine can do, as an SVG (Williams, Waterman & Patterson, 2009).

A kernel that does I operations for each byte that it must move cannot do more than min(peak, I * bandwidth) operations per second: the
roof has a slope, where memory holds a kernel back, and a flat part, where arithmetic does.
"""

import math
from collections.abc import Sequence
from html import escape
from typing import NamedTuple

_WIDTH, _HEIGHT = 760, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 60, 76
_COLOURS = {"forward": "#1b6ca8", "data": "#c8553d", "weight": "#4c956c"}


class Dot(NamedTuple):
    """A kernel: its name, its direction, operations per byte, and GFLOP/s."""

    name: str
    direction: str
    intensity: float
    rate: float


class _Axis(NamedTuple):
    """A logarithmic scale from `low` to `high`, which lie at pixels `start` and `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        return self.start + (self.end - self.start) * math.log(value / self.low) / math.log(self.high / self.low)

    def ticks(self) -> list[int]:
        return [10**n for n in range(math.ceil(math.log10(self.low)), math.floor(math.log10(self.high)) + 1)]


def svg(dots: Sequence[Dot], gflops: float, gigabytes: float, title: str, labels: bool = False) -> str:
    """The picture: the roof, and one dot for each kernel; a browser shows its name under the pointer, or it stands there as a label."""
    ridge = gflops / gigabytes  # from here on arithmetic is the limit
    intensities, rates = [dot.intensity for dot in dots], [dot.rate for dot in dots]
    x = _Axis(min([*intensities, ridge]) / 3, max([*intensities, ridge]) * 3, _LEFT, _WIDTH - _RIGHT)
    y = _Axis(min([*rates, x.low * gigabytes]) / 2, max([*rates, gflops]) * 2, _HEIGHT - _BOTTOM, _TOP)
    roof = f"{x.at(x.low):.1f},{y.at(x.low * gigabytes):.1f} {x.at(ridge):.1f},{y.at(gflops):.1f} {x.at(x.high):.1f},{y.at(gflops):.1f}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        _text(_LEFT, 24, title, 'font-size="15"'),
        *_grid(x, y),
        f'<polyline points="{roof}" fill="none" stroke="#333" stroke-width="2"/>',
        _text(x.at(x.high), y.at(gflops) - 8, f"{gflops:.0f} GFLOP/s", 'text-anchor="end"'),
        _text(x.at(x.low) + 8, y.at(x.low * gigabytes) + 16, f"{gigabytes:.1f} GB/s from memory"),
    ]
    for dot in dots:
        place = f'cx="{x.at(dot.intensity):.1f}" cy="{y.at(dot.rate):.1f}" r="5" fill="{_COLOURS[dot.direction]}" fill-opacity="0.75"'
        parts.append(f"<circle {place}><title>{escape(f'{dot.name} {dot.direction}: {dot.rate:.1f} GFLOP/s')}</title></circle>")
        if labels:
            parts.append(_text(x.at(dot.intensity) + 9, y.at(dot.rate) + 4, dot.name))
    for i, (direction, colour) in enumerate(_COLOURS.items()):
        parts.append(f'<circle cx="{_LEFT + 10 + 90 * i}" cy="38" r="5" fill="{colour}"/>')
        parts.append(_text(_LEFT + 20 + 90 * i, 42, direction))
    return "\n".join([*parts, "</svg>\n"])


def _grid(x: _Axis, y: _Axis) -> list[str]:
    """Lines and numbers at the powers of ten, and what the axes are."""
    parts = []
    for value in x.ticks():
        parts.append(f'<path d="M{x.at(value):.1f} {y.start}V{y.end}" stroke="#ddd"/>')
        parts.append(_text(x.at(value), y.start + 18, f"{value:g}", 'text-anchor="middle"'))
    for value in y.ticks():
        parts.append(f'<path d="M{x.start} {y.at(value):.1f}H{x.end}" stroke="#ddd"/>')
        parts.append(_text(x.start - 8, y.at(value) + 4, f"{value:g}", 'text-anchor="end"'))
    across, down = (x.start + x.end) / 2, (y.start + y.end) / 2
    parts.append(_text(across, y.start + 40, "operations per byte of inputs and outputs", 'text-anchor="middle"'))
    exceptions = "above the slope: what stays in a cache; above the peak: what leaves out the border's zeros, which count as operations"
    parts.append(_text(across, y.start + 60, exceptions, 'text-anchor="middle" fill="#666"'))
    parts.append(_text(18, down, "GFLOP/s", f'text-anchor="middle" transform="rotate(-90 18 {down})"'))
    return parts


def _text(x: float, y: float, text: str, attributes: str = "") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(text)}</text>'
