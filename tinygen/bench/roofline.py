"""Kernels under the roof of what the machine can do, as an SVG (Williams, Waterman & Patterson, 2009).

A kernel that does I operations for each byte that it must move cannot do more than min(peak, I *
bandwidth) operations per second: the roof has a slope, where memory holds a kernel back, and a flat
part, where arithmetic does.
"""

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from tinygen.bench.chart import Axis, document, grid, text

_WIDTH, _HEIGHT = 760, 480
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 20, 60, 76
_COLOURS = {"forward": "#1b6ca8", "data": "#c8553d", "weight": "#4c956c"}


class Dot(NamedTuple):
    """A kernel: its name, its direction, operations per byte, and GFLOP/s."""

    name: str
    direction: str
    intensity: float
    rate: float


def svg(dots: Sequence[Dot], gflops: float, gigabytes: float, title: str, labels: bool = False) -> str:
    """The picture: the roof, and one dot for each kernel; a browser shows its name under the pointer, or it stands there as a label."""
    ridge = gflops / gigabytes  # from here on arithmetic is the limit
    intensities, rates = [dot.intensity for dot in dots], [dot.rate for dot in dots]
    x = Axis(min([*intensities, ridge]) / 3, max([*intensities, ridge]) * 3, _LEFT, _WIDTH - _RIGHT)
    y = Axis(min([*rates, x.low * gigabytes]) / 2, max([*rates, gflops]) * 2, _HEIGHT - _BOTTOM, _TOP)
    roof = f"{x.at(x.low):.1f},{y.at(x.low * gigabytes):.1f} {x.at(ridge):.1f},{y.at(gflops):.1f} {x.at(x.high):.1f},{y.at(gflops):.1f}"
    parts = [
        text(_LEFT, 24, title, 'font-size="15"'),
        *grid(x, y, x.ticks()),
        *_titles(x, y),
        f'<polyline points="{roof}" fill="none" stroke="#333" stroke-width="2"/>',
        text(x.at(x.high), y.at(gflops) - 8, f"{gflops:.0f} GFLOP/s", 'text-anchor="end"'),
        text(x.at(x.low) + 8, y.at(x.low * gigabytes) + 16, f"{gigabytes:.1f} GB/s from memory"),
    ]
    for dot in dots:
        place = f'cx="{x.at(dot.intensity):.1f}" cy="{y.at(dot.rate):.1f}" r="5" fill="{_COLOURS[dot.direction]}" fill-opacity="0.75"'
        parts.append(f"<circle {place}><title>{escape(f'{dot.name} {dot.direction}: {dot.rate:.1f} GFLOP/s')}</title></circle>")
        if labels:
            parts.append(text(x.at(dot.intensity) + 9, y.at(dot.rate) + 4, dot.name))
    for i, (direction, colour) in enumerate(_COLOURS.items()):
        parts.append(f'<circle cx="{_LEFT + 10 + 90 * i}" cy="38" r="5" fill="{colour}"/>')
        parts.append(text(_LEFT + 20 + 90 * i, 42, direction))
    return document(_WIDTH, _HEIGHT, parts)


def _titles(x: Axis, y: Axis) -> list[str]:
    """What the axes are."""
    across, down = (x.start + x.end) / 2, (y.start + y.end) / 2
    exceptions = "above the slope: what stays in a cache; above the peak: what leaves out the border's zeros, which count as operations"
    return [
        text(across, y.start + 40, "operations per byte of inputs and outputs", 'text-anchor="middle"'),
        text(across, y.start + 60, exceptions, 'text-anchor="middle" fill="#666"'),
        text(18, down, "GFLOP/s", f'text-anchor="middle" transform="rotate(-90 18 {down})"'),
    ]
