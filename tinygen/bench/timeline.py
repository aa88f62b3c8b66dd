"""A training step of several processes over time, as an SVG: what each one computes, what is on its way meanwhile, and where it waits.

The upper row of a process has its computing: each function's forward and backward, the step of an
optimiser, and the times in which it waits for the others. The thin rows under it have the arrays of
gradients, from the moment at which the process begins to average them until it has the mean. What
matters is the waiting: an average that is there when it is needed has cost no time.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from html import escape
from typing import Any, NamedTuple
from unittest.mock import patch

from tinygen.backend import Array, Sum
from tinygen.bench.chart import document, text
from tinygen.engine.listeners import Event, Listener, listening
from tinygen.optim import Groups, Optimizer

COLOURS = {"forward": "#1b6ca8", "backward": "#e08214", "optimiser": "#4c956c", "averaging": "#a463f2", "waiting": "#222222"}
_WIDTH, _LEFT, _RIGHT, _TOP = 1000, 90, 20, 70
_ROW, _THIN, _GAP = 26, 8, 14  # pixels: the height of the upper row and of a thin one, and what is between two processes
SMALL = 1 << 16  # bytes of an array that is not a bucket of gradients


class Span(NamedTuple):
    """What went on from `start` to `end`, in seconds of the machine's clock."""

    kind: str
    name: str
    start: float
    end: float


Timeline = Sequence[Sequence[Span]]  # of each process


class Recorder(Listener):
    """Records the spans of one process."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self._depth = 0

    def forward(self, node: Any, inputs: Sequence[Any]) -> Event:
        with self._outermost("forward", type(node).__name__):
            yield

    def backward(self, node: Any, g: Any, y: Any, inputs: Sequence[Any], needs: Sequence[bool]) -> Event:
        with self._outermost("backward", type(node).__name__):
            yield

    @contextmanager
    def _outermost(self, kind: str, name: str) -> Iterator[None]:
        """Record this span if it is within no other one."""
        started, self._depth = time.perf_counter(), self._depth + 1
        yield
        self._depth -= 1
        if not self._depth:
            self._record(kind, name, started)

    def _record(self, kind: str, name: str, started: float) -> None:
        self.spans.append(Span(kind, name, started, time.perf_counter()))

    def begin(self, begin: Callable[[Array], Sum], x: Array) -> Sum:
        """`begin` of a group, with its spans."""
        return _Recorded(self._record, begin, x)

    @contextmanager
    def recording(self, parts: Iterable[Any]) -> Iterator[None]:
        """Within, the steps of a run with these parts are recorded."""
        with listening(self), ExitStack() as patches:
            for part in parts:
                if isinstance(part, Optimizer | Groups):
                    step = self._outermost("optimiser", type(part).__name__)(part.step)
                    patches.enter_context(patch.object(part, "step", step))
            yield


class _Recorded:
    """A sum, and its spans: until it is seen to be there, and the waiting for it."""

    def __init__(self, record: Callable[[str, str, float], None], begin: Callable[[Array], Sum], x: Array) -> None:
        self._record, self._name, self._begun = record, f"{x.nbytes / 1e3:.1f} kB", time.perf_counter()
        self._sum, self._seen = begin(x), x.nbytes <= SMALL

    def arrived(self) -> bool:
        if (arrived := self._sum.arrived()) and not self._seen:
            self._record("averaging", self._name, self._begun)
            self._seen = True
        return arrived

    def wait(self) -> Array:
        waiting = time.perf_counter()
        total = self._sum.wait()
        self._record("waiting", self._name, waiting)
        self.arrived()
        return total


def seconds(timeline: Timeline) -> float:
    """From the first beginning to the last end."""
    return max(span.end for spans in timeline for span in spans) - min(span.start for spans in timeline for span in spans)


def svg(timelines: Mapping[int, Timeline], title: str) -> str:
    """The picture: for each number of processes a timeline of all of them, on one scale."""
    longest = max(map(seconds, timelines.values()))
    pixels = (_WIDTH - _LEFT - _RIGHT) / longest  # of a second
    parts, top = list[str](), float(_TOP)
    for count, timeline in timelines.items():
        origin = min(span.start for spans in timeline for span in spans)
        for rank, spans in enumerate(timeline):
            parts.append(text(_LEFT - 8, top + _ROW - 9, f"{rank + 1} of {count}", 'text-anchor="end"'))
            rows = _thin_rows(spans)
            parts += [_box(span, top, row, origin, pixels) for span, row in rows.items()]
            top += _ROW + _THIN * len(set(rows.values())) + _GAP
        top += _GAP
    head = [text(_LEFT, 24, title, 'font-size="15"')]
    head += [text(_LEFT + 100 * n, 46, kind, f'fill="{colour}" font-weight="bold"') for n, (kind, colour) in enumerate(COLOURS.items())]
    tick = next(tick for digits in range(9) for tick in (10**digits, 2 * 10**digits, 5 * 10**digits) if longest * 1e3 <= 12 * tick)
    for value in range(0, int(longest * 1e3) + 1, tick):
        at = _LEFT + value / 1e3 * pixels
        head.append(f'<path d="M{at:.1f} {_TOP - 8}V{top - _GAP:.1f}" stroke="#ddd"/>')
        head.append(text(at, top + 4, f"{value} ms", 'text-anchor="middle"'))
    return document(_WIDTH, int(top) + 20, [*head, *parts])


def _box(span: Span, top: float, row: int | None, origin: float, pixels: float) -> str:
    """A span in the upper row of a process or in a thin one, by pixels for a second; a browser shows its name under the pointer."""
    duration = span.end - span.start
    y, height = (top, _ROW) if row is None else (top + _ROW + 2 + row * _THIN, _THIN - 2)
    place = f'x="{_LEFT + (span.start - origin) * pixels:.2f}" y="{y:.0f}" width="{max(duration * pixels, 0.3):.2f}" height="{height}"'
    return f'<rect {place} fill="{COLOURS[span.kind]}"><title>{span.kind}: {escape(span.name)}, {duration * 1e3:.2f} ms</title></rect>'


def _thin_rows(spans: Sequence[Span]) -> dict[Span, int | None]:
    """The number of the thin row of each average, none of which lies on another; None for all other spans, the waiting last."""
    ends: list[float] = []
    rows: dict[Span, int | None] = {}
    for span in sorted(spans, key=lambda span: (span.kind == "waiting", span.start)):
        rows[span] = None
        if span.kind == "averaging":
            row = next((row for row, end in enumerate(ends) if end <= span.start), len(ends))
            ends[row : row + 1] = [span.end]
            rows[span] = row
    return rows
