"""How the time of a convolution grows with the batch, the side of its images, its channels and the threads, beside PyTorch.

A time is that of all three directions together. "of linear" is how often longer it took than at the
point above, as a multiple of how often more work each thread has: 1 is linear growth.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tinygen.bench import kernels
from tinygen.bench.chart import Axis, document, grid, text
from tinygen.bench.kernels import OURS, TORCH
from tinygen.bench.layers import DIRECTIONS, Layer
from tinygen.bench.protocol import Call, Protocol, process, table

SCALES: dict[str, tuple[Sequence[int], Callable[[int], Layer]]] = {
    "batch": ([1, 4, 16, 64, 256, 1024], lambda images: Layer(images, (16, 16), 32, 32, 3, 1, 1)),
    "side": ([8, 16, 32, 64, 128, 256, 512], lambda side: Layer(1, (side, side), 16, 16, 3, 1, 1)),
    "channels": ([4, 16, 64, 256, 1024], lambda channels: Layer(8, (16, 16), channels, 64, 3, 1, 1)),
}
THREADS = "threads", Layer(64, (16, 16), 32, 32, 3, 1, 1)

_COLOURS = {OURS: "#1b6ca8", "torch NCHW": "#c8553d", "torch channels_last": "#4c956c"}
_WIDTH, _HEIGHT, _MARGIN = 380, 270, 60  # of one of the panels, two in a row


class Point(NamedTuple):
    """One measurement: what was scaled and to what, the layer, the threads, and the seconds of each engine."""

    scale: str
    value: int
    layer: Layer
    threads: int
    seconds: dict[str, float]

    def operations(self) -> float:
        """Of each thread."""
        return self.layer.flops() / self.threads


def main(threads: int, repeats: int, dtype: str, picture: Path | None) -> None:
    """Measure, print the table, and draw it where a picture is wanted."""
    print(f"\n{dtype}; forward and both gradients; {Protocol(threads, wall_clock=True).describe()}; median of {repeats}\n")
    points = list(measure(threads, repeats, dtype))
    print("\n".join(report(points)))
    if picture:
        picture.write_text(svg(points))
        print(f"\nscaling: {picture}")


def measure(threads: int, repeats: int, dtype: str) -> Iterator[Point]:
    """All points: on all threads, but for those that scale the threads."""
    protocol = Protocol(threads, wall_clock=True)
    with process(protocol) as worker:
        for scale, (values, layer_of) in SCALES.items():
            for value in values:
                yield _point(worker, scale, value, layer_of(value), protocol, repeats, dtype)
    scale, layer = THREADS
    for count in sorted({threads, *(2**n for n in range(threads.bit_length()))}):
        with process(Protocol(count, wall_clock=True)) as worker:
            yield _point(worker, scale, count, layer, Protocol(count, wall_clock=True), repeats, dtype)


def _point(worker: Call, scale: str, value: int, layer: Layer, protocol: Protocol, repeats: int, dtype: str) -> Point:
    timings = [worker(kernels.measure, layer, direction, dtype, repeats, protocol) for direction in DIRECTIONS]
    engines = [engine for engine in (OURS, *TORCH.values()) if engine in timings[0].seconds]
    return Point(scale, value, layer, protocol.threads, {engine: sum(t.seconds[engine] for t in timings) for engine in engines})


def report(points: Sequence[Point]) -> list[str]:
    """The table."""
    engines = list(points[0].seconds)
    rows: list[tuple[str, ...]] = [("ms", "", *engines, *(f"ours/{engine}" for engine in engines if engine != OURS), "of linear")]
    for before, point in zip([None, *points], points, strict=False):
        ratios = [f"{point.seconds[OURS] / point.seconds[engine]:.2f}" for engine in engines if engine != OURS]
        growth = f"{of_linear(before, point):.2f}" if before and before.scale == point.scale else "-"
        rows.append((point.scale, str(point.value), *(f"{point.seconds[engine] * 1e3:.3f}" for engine in engines), *ratios, growth))
    return table(rows)


def of_linear(before: Point, point: Point) -> float:
    """How often longer our time is than before, as a multiple of how often more work each thread has."""
    return point.seconds[OURS] / before.seconds[OURS] / (point.operations() / before.operations())


def svg(points: Sequence[Point]) -> str:
    """The picture: a panel for each scale, and in it a line for each engine."""
    scales = list(dict.fromkeys(point.scale for point in points))
    parts = []
    for number, scale in enumerate(scales):
        parts += _panel([point for point in points if point.scale == scale], number % 2 * _WIDTH, number // 2 * _HEIGHT)
    for number, engine in enumerate(points[0].seconds):
        parts.append(text(_MARGIN + 160 * number, 20, engine, f'fill="{_COLOURS[engine]}" font-weight="bold"'))
    return document(2 * _WIDTH, -(-len(scales) // 2) * _HEIGHT, parts)


def _panel(points: Sequence[Point], left: int, top: int) -> list[str]:
    """The times in ms of one scale."""
    values, times = [point.value for point in points], [seconds * 1e3 for point in points for seconds in point.seconds.values()]
    x = Axis(min(values) / 1.3, max(values) * 1.3, left + _MARGIN, left + _WIDTH - 15)
    y = Axis(min(times) / 2, max(times) * 2, top + _HEIGHT - 45, top + 35)
    parts = [*grid(x, y, values), text((x.start + x.end) / 2, y.start + 36, f"{points[0].scale} (ms)", 'text-anchor="middle"')]
    for engine in points[0].seconds:
        corners = " ".join(f"{x.at(point.value):.1f},{y.at(point.seconds[engine] * 1e3):.1f}" for point in points)
        parts.append(f'<polyline points="{corners}" fill="none" stroke="{_COLOURS[engine]}" stroke-width="2"/>')
    return parts
