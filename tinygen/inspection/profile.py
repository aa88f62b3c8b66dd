"""Where the time of a program goes: op by op and layer by layer, forward and backward apart."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tinygen.engine import backward, errors
from tinygen.engine.function import Function
from tinygen.engine.mode import is_recording
from tinygen.engine.tensor import Tensor
from tinygen.functional.conv import Conv2DDataFunction, Conv2DFunction, Conv2DWeightFunction
from tinygen.functional.linalg import MatMulFunction
from tinygen.functional.recurrent import Recurrence
from tinygen.nn.module import Module

OUTSIDE = "(outside layers)"
_call = Function.__call__


@dataclass
class Cost:
    """What one thing did. `flops` counts convolutions and matrix products alone, a multiply-add as two, zeros of a border too.

    `bytes` are those of the inputs and the output; of a backward, of what arrives, the inputs, and the gradients that are wanted.
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

    @contextmanager
    def span(self, cost: Cost) -> Iterator[None]:
        self._charge()
        self.open.append(cost)
        try:
            yield
        finally:
            self._charge()
            self.open.pop()

    def _charge(self) -> None:
        now = time.perf_counter()
        if self.open:
            self.open[-1].seconds += now - self.since
        self.since = now


class Profile:
    """The numbers of one profile: `total` time, `ops` by the name of their Function, `layers` by their path and description."""

    def __init__(self) -> None:
        self.total = Cost()
        self.ops: dict[str, Costs] = {}
        self.layers: dict[str, Costs] = {}
        self._op_watch, self._layer_watch = Stopwatch(), Stopwatch()
        self._running = OUTSIDE  # the layer whose forward or backward is running
        self._pulled: Cost | None = None  # the op whose backward is running
        self._makers: dict[int, str] = {}  # the layer that applied each node, by id; a node that gets a dead one's id overwrites it
        self._names: dict[int, tuple[Module, str]] = {}  # by id, the module kept so that its id stays its own
        self._models: dict[str, int] = {}  # how many outermost modules of each class there are

    def apply(self, function: Callable[..., Tensor], node: Function, inputs: tuple[Any, ...]) -> Tensor:
        """Apply node to its inputs. Within a backward, what it costs is that backward's."""
        self._makers[id(node)] = self._running
        if self._pulled is not None:
            y = function(node, *inputs)
            self._pulled.flops += _flops(node, inputs, y)
            return y
        cost = self.ops.setdefault(errors.name(node), Costs()).forward
        layer = self.layers.setdefault(self._running, Costs()).forward
        with self._op_watch.span(cost), self._layer_watch.span(layer):
            y = function(node, *inputs)
        cost.calls += 1
        cost.flops += _flops(node, inputs, y)
        cost.bytes += sum(_bytes(t) for t in (*inputs, y))
        return y

    def pull_back(self, function: Callable[..., None], g: Tensor, y: Any, needs: list[bool], *sums: Any) -> None:
        """Run the backward of y's node, unless it is a part of one that is running already."""
        if self._pulled is not None:
            return function(g, y, needs, *sums)
        cost = self.ops.setdefault(errors.name(y.node), Costs()).backward
        cost.calls += 1
        cost.bytes += _bytes(g) + sum(_bytes(x) * (1 + need) for x, need in zip(y.node.inputs, needs, strict=True))
        if isinstance(y.node, Recurrence) and not is_recording():  # by a kernel: as often for the states, and once more for the weight
            cost.flops += 2 * _flops(y.node, y.node.inputs, y)
        before, self._running, self._pulled = self._running, self._makers.get(id(y.node), OUTSIDE), cost
        layer = self.layers.setdefault(self._running, Costs()).backward
        try:
            with self._op_watch.span(cost), self._layer_watch.span(layer):
                return function(g, y, needs, *sums)
        finally:
            self._running, self._pulled = before, None

    def run(self, function: Callable[..., Any], module: Module, inputs: tuple[Any, ...], options: dict[str, Any]) -> Any:
        """Run a module on its inputs; one without parts is a layer."""
        if id(module) not in self._names:
            self._name(module)
        if any(True for _ in module.children()):
            return function(module, *inputs, **options)
        before, self._running = self._running, self._names[id(module)][1]
        layer = self.layers.setdefault(self._running, Costs()).forward
        layer.calls += 1
        try:
            with self._layer_watch.span(layer):
                return function(module, *inputs, **options)
        finally:
            self._running = before

    def _name(self, model: Module) -> None:
        """Name an outermost module by its class, the second of a class with a number, and its parts by the way from there."""
        kind = type(model).__name__
        number = self._models[kind] = self._models.get(kind, 0) + 1
        paths = [(kind if number == 1 else f"{kind}#{number}", model)]
        for path, module in paths:  # grows on the way
            self._names.setdefault(id(module), (module, f"{path} {module.describe()}"))
            paths += [(f"{path}.{name}", part) for name, part in module.children()]

    def __str__(self) -> str:
        ops = [(f"{name} {way}", cost) for name, costs in self.ops.items() for way, cost in vars(costs).items() if cost.calls]
        ops.sort(key=lambda op: -op[1].seconds)
        ops.append(("(the rest)", Cost(seconds=self.total.seconds - sum(cost.seconds for _, cost in ops))))
        rows = [("op", "calls", "ms", "share", "GFLOP/s", "MB")]
        for name, c in ops:
            rate, memory = (f"{n:.1f}" if n else "" for n in (c.flops and c.flops / c.seconds / 1e9, c.bytes / 1e6))
            rows.append((name, str(c.calls or ""), f"{c.seconds * 1e3:.2f}", f"{c.seconds / self.total.seconds:.1%}", rate, memory))
        layers = [("layer", "calls", "forward ms", "backward ms", "share")]
        for name, costs in self.layers.items():
            times = [costs.forward.seconds, costs.backward.seconds]
            forward, backward = (f"{seconds * 1e3:.2f}" for seconds in times)
            layers.append((name, str(costs.forward.calls or ""), forward, backward, f"{sum(times) / self.total.seconds:.1%}"))
        return "\n".join([*_table(rows), "", *_table(layers), "", f"{self.total.seconds * 1e3:.2f} ms in all"])


@contextmanager
def profile() -> Iterator[Profile]:
    """Within, every op and every layer is timed; at the end two tables are printed, and the numbers stay in the Profile.

    Times are wall-clock. Each moment belongs to one op and one layer: what an op's backward calls is that backward's, and the
    backward of an op is its layer's. "(the rest)" is the optimiser, the data and Python between the ops. GPU kernels run after the
    call that starts them, so that there the times are those of starting. Raises RuntimeError within another profile.
    """
    if Function.__call__ is not _call:
        raise RuntimeError("tinygen.profile: a profile is running already; end it before the next one begins")
    report = Profile()
    run, pull_back = Module.__call__, backward._backpropagate_through
    replacements: list[tuple[Any, str, Callable[..., Any]]] = [
        (Function, "__call__", lambda node, *inputs: report.apply(_call, node, inputs)),
        (Module, "__call__", lambda module, *inputs, **options: report.run(run, module, inputs, options)),
        (backward, "_backpropagate_through", lambda *arguments: report.pull_back(pull_back, *arguments)),
    ]
    with ExitStack() as undo:
        undo.callback(lambda: print(report))
        for owner, name, replacement in replacements:
            undo.callback(setattr, owner, name, getattr(owner, name))
            setattr(owner, name, replacement)
        with Stopwatch().span(report.total):
            yield report


def _table(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Lines of columns, the first one to the left and the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join([f"{row[0]:<{widths[0]}}", *map(str.rjust, row[1:], widths[1:])]).rstrip() for row in rows]


def _bytes(x: Any) -> int:
    return x.data.nbytes if isinstance(x, Tensor) else 0


def _flops(node: Function, inputs: tuple[Any, ...], y: Tensor) -> int:
    """Two for each multiply-add of a convolution or matrix product, by its formula; 0 for everything else."""
    match node:
        case MatMulFunction():
            return 2 * y.size * inputs[0].shape[-1]
        case Recurrence():
            x, weight, state = inputs[:3]
            return 2 * len(x) * state.size * weight.shape[1]
        # All three convolutions multiply as often as conv2d does: each of its outputs sums over (kh, kw, C).
        case Conv2DFunction():
            return 2 * y.size * math.prod(inputs[1].shape[:3])
        case Conv2DDataFunction():
            return 2 * inputs[0].size * math.prod(inputs[1].shape[:3])
        case Conv2DWeightFunction():
            return 2 * inputs[1].size * math.prod(y.shape[:3])
    return 0
