"""Where the time of a program goes: op by op and layer by layer, forward and backward apart."""

import math
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy
from tinygen_kernels import Array, for_array

from tinygen.engine import errors
from tinygen.engine.function import Function
from tinygen.engine.listeners import Event, Listener, listening, notes, with_activation
from tinygen.engine.mode import is_recording, switches
from tinygen.engine.tensor import Tensor
from tinygen.functional.conv import Conv2DDataFunction, Conv2DFunction, Conv2DWeightFunction, ConvLeakyReLUFunction
from tinygen.functional.linalg import DenseFunction, MatMulFunction
from tinygen.functional.recurrent import Recurrence

OUTSIDE = "(outside layers)"


@dataclass
class Cost:
    """What an op or layer cost in one pass.

    `flops` counts only convolutions and matrix products: two for each multiply-add, those with the zeros
    of a border included. `bytes` is the size of the inputs and the output; for a backward, of the incoming
    gradient, the inputs, and the gradients that are wanted.
    """

    calls: int = 0
    seconds: float = 0.0
    flops: int = 0
    bytes: int = 0


@dataclass
class Costs:
    """One op or layer in its two passes."""

    forward: Cost = field(default_factory=Cost)
    backward: Cost = field(default_factory=Cost)


class Stopwatch:
    """Charges each moment to the innermost span that is open, so that nothing is counted twice."""

    def __init__(self) -> None:
        self.open: list[Cost] = []
        self.since = 0.0

    def start(self, cost: Cost) -> None:
        self._charge()
        self.open.append(cost)

    def stop(self) -> None:
        self._charge()
        self.open.pop()

    @contextmanager
    def span(self, cost: Cost) -> Iterator[None]:
        self.start(cost)
        try:
            yield
        finally:
            self.stop()

    def _charge(self) -> None:
        now = time.perf_counter()
        if self.open:
            self.open[-1].seconds += now - self.since
        self.since = now


class Profile(Listener):
    """The numbers of one profile: `total`, `ops` by the name of their Function, `layers` by path and description.

    `compilation` is the time in which Numba compiled kernels, or loaded those that an earlier run
    compiled. It is part of no op and no layer.
    """

    def __init__(self, names: Mapping[Any, str]) -> None:
        self.total, self.compilation = Cost(), Cost()
        self.ops: dict[str, Costs] = {}
        self.layers: dict[str, Costs] = {}
        self._op_watch, self._layer_watch = Stopwatch(), Stopwatch()
        self._running = OUTSIDE  # the layer whose forward or backward is running
        self._backward: Cost | None = None  # of the op whose backward is running
        self._roots = names  # of outermost modules that have names
        self._names: dict[Any, str] = {}  # of modules
        self._models: dict[str, int] = {}  # how many outermost modules of each class there are

    def forward(self, node: Function, inputs: Sequence[Any]) -> Event:
        """A function that is applied within a backward counts towards that backward."""
        if self._backward is not None:
            y = yield
            self._backward.flops += _flops(node, inputs, y)
        else:
            cost = self.ops.setdefault(errors.name(node), Costs()).forward
            layer = self.layers.setdefault(self._running, Costs()).forward
            with self._op_watch.span(cost), self._layer_watch.span(layer):
                y = yield
            cost.calls += 1
            cost.flops += _flops(node, inputs, y)
            cost.bytes += y.nbytes + sum(_bytes(x) for x in inputs)
        notes(node)[self] = self._running

    def backward(self, node: Function, g: Tensor, y: Tensor, inputs: Sequence[Any], needs: Sequence[bool]) -> Event:
        """A walk within a backward counts towards that backward, too."""
        if self._backward is not None:
            yield
            return
        cost = self.ops.setdefault(errors.name(node), Costs()).backward
        cost.calls += 1
        cost.bytes += _bytes(g) + sum(_bytes(x) * (1 + need) for x, need in zip(inputs, needs, strict=True))
        if (
            isinstance(node, Recurrence) and not is_recording()
        ):  # the kernel multiplies as often for the states, and once more for the weight
            cost.flops += 2 * _flops(node, inputs, y.data)
        before, self._running, self._backward = self._running, notes(node).get(self, OUTSIDE), cost
        layer = self.layers.setdefault(self._running, Costs()).backward
        try:
            with self._op_watch.span(cost), self._layer_watch.span(layer):
                yield
        finally:
            self._running, self._backward = before, None

    def layer(self, module: Any, inputs: Sequence[Any]) -> Event:
        """Only modules without parts count as layers."""
        if module not in self._names:
            self._name(module)
        if any(True for _ in module.children()):
            yield
            return
        before, self._running = self._running, with_activation(self._names[module], inputs)
        layer = self.layers.setdefault(self._running, Costs()).forward
        layer.calls += 1
        try:
            with self._layer_watch.span(layer):
                yield
        finally:
            self._running = before

    def _name(self, model: Any) -> None:
        """Name an outermost module, by its class unless it has a name, numbered from the second one on, and its
        parts by their paths."""
        kind = self._roots.get(model, type(model).__name__)
        number = self._models[kind] = self._models.get(kind, 0) + 1
        root = kind if number == 1 else f"{kind}#{number}"
        for name, module in model.named_modules():
            self._names.setdefault(module, f"{root}.{name} {module.describe()}" if name else f"{root} {module.describe()}")

    @contextmanager
    def _timing_compilation(self) -> Iterator[None]:
        """Within, the time in which Numba compiles or loads a kernel in this thread is kept apart.

        Numba holds its compiler lock while it does either, and tells so.
        """
        for_array(numpy.zeros(1))  # imports the kernels, if this is their first use
        if "numba" not in sys.modules:  # the plain kernels were asked for
            yield
            return
        from numba.core import event

        report, thread = self, threading.get_ident()

        class Compilation(event.Listener):
            def on_start(self, _: Any) -> None:
                if threading.get_ident() == thread:
                    report._op_watch.start(report.compilation)
                    report._layer_watch.start(Cost())

            def on_end(self, _: Any) -> None:
                if threading.get_ident() == thread:
                    report._op_watch.stop()
                    report._layer_watch.stop()

        with event.install_listener("numba:compiler_lock", Compilation()):
            yield

    def __str__(self) -> str:
        ops = [(f"{name} {way}", cost) for name, costs in self.ops.items() for way, cost in vars(costs).items() if cost.calls]
        ops.sort(key=lambda op: -op[1].seconds)
        if self.compilation.seconds:
            ops.append(("(compiling or loading kernels)", self.compilation))
        ops.append(("(the rest)", Cost(seconds=self.total.seconds - sum(cost.seconds for _, cost in ops))))
        rows = [("op", "calls", "ms", "share", "GFLOP/s", "MB")]
        for name, c in ops:
            rate, memory = (f"{n:.1f}" if n else "" for n in (_over(c.flops, c.seconds) / 1e9, c.bytes / 1e6))
            rows.append((name, str(c.calls or ""), f"{c.seconds * 1e3:.2f}", f"{_over(c.seconds, self.total.seconds):.1%}", rate, memory))
        layers = [("layer", "calls", "forward ms", "backward ms", "share")]
        for name, costs in self.layers.items():
            times = [costs.forward.seconds, costs.backward.seconds]
            forward, backward = (f"{seconds * 1e3:.2f}" for seconds in times)
            layers.append((name, str(costs.forward.calls or ""), forward, backward, f"{_over(sum(times), self.total.seconds):.1%}"))
        return "\n".join([*_table(rows), "", *_table(layers), "", f"{self.total.seconds * 1e3:.2f} ms in all"])


def is_profiling() -> bool:
    """Whether a profile is running in this thread."""
    return any(isinstance(listener, Profile) for listener in switches.listeners)


@contextmanager
def profile(show: bool = True, names: Mapping[Any, str] | None = None) -> Iterator[Profile]:
    """Time every op and every layer within the block. The Profile keeps the numbers; with `show`, two tables
    are printed at the end. `names` are those of models in the tables, in place of their classes.

    Times are wall-clock, of this thread alone. Each moment belongs to one op and one layer: what an op's
    backward calls belongs to that backward, and the backward of an op belongs to its layer. "(compiling or
    loading kernels)" happens once in a process. "(the rest)" is the optimiser, the data and Python between
    the ops. GPU kernels run after the call that starts them, so on a GPU the times are those of starting.
    Raises RuntimeError within another profile.
    """
    if is_profiling():
        raise RuntimeError("tinygen.profile: a profile is running already; end it before the next one begins")
    report = Profile(names or {})
    with ExitStack() as stack:
        if show:
            stack.callback(lambda: print(report))
        stack.enter_context(report._timing_compilation())
        stack.enter_context(listening(report))
        stack.enter_context(Stopwatch().span(report.total))
        yield report


def _over(a: float, b: float) -> float:
    """a / b, 0 where the clock was too coarse to tell b from 0."""
    return a / b if b else 0.0


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of columns, the first one to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]


def _bytes(x: Any) -> int:
    return x.data.nbytes if isinstance(x, Tensor) else 0


def _flops(node: Function, inputs: Sequence[Any], y: Array) -> int:
    """Two for each multiply-add of a convolution or matrix product, by its formula; 0 for everything else."""
    match node:
        case MatMulFunction() | DenseFunction():
            return 2 * y.size * inputs[0].shape[-1]
        case Recurrence():
            x, weight, state = inputs[:3]
            return 2 * len(x) * state.size * weight.shape[1]
        # All three convolutions multiply as often as conv2d does: each of its outputs sums over (kh, kw, C).
        case Conv2DFunction():
            return 2 * y.size * math.prod(inputs[1].shape[:3])
        case Conv2DDataFunction():
            return 2 * inputs[0].size * math.prod(inputs[1].shape[:3])
        case ConvLeakyReLUFunction():
            return _flops(node.convolution, inputs, y)
        case Conv2DWeightFunction():
            return 2 * inputs[1].size * math.prod(y.shape[:3])
    return 0
