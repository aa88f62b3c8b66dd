"""The graph behind a tensor: which functions computed it, from what, and how the gradients walk back."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tinygen.backend import array_module
from tinygen.engine import errors
from tinygen.engine.arguments import shown
from tinygen.engine.function import Function
from tinygen.engine.grad import grad
from tinygen.engine.listeners import Event, Listener, listening, notes, with_activation
from tinygen.engine.tensor import Tensor
from tinygen.inspection.drawing import draw


@dataclass(eq=False)
class Vertex:
    """A tensor of the graph. `inputs` are the numbers of the vertices that it was computed from.

    `layer` is the call of a layer that it was computed in, and `text` that layer's description. `turn`
    says as which one the walk passes the tensor's node, from 1 on, and `gradient` is the Euclidean
    norm of its gradient.
    """

    tensor: Tensor
    name: str
    inputs: list[int] = field(default_factory=list)
    layer: int | None = None
    text: str = ""
    turn: int | None = None
    gradient: float | None = None

    @property
    def computed(self) -> bool:
        return self.tensor.node is not None

    def __str__(self) -> str:
        turn = "" if self.turn is None else f"  turn {self.turn}"
        gradient = "" if self.gradient is None else f"  |g| {self.gradient:.3g}"
        return f"{self.name} {self.tensor.shape}{turn}{gradient}"


class Graph:
    """What `tinygen.graph` returns. `vertices` holds every tensor once, inputs before what is computed from them.

    `str()` is a tree with the output at its root. A notebook shows a picture, which `save` writes.
    """

    def __init__(self, vertices: Sequence[Vertex], film: bool) -> None:
        self.vertices, self.film = vertices, film

    def __str__(self) -> str:
        lines, shown = [], set[int]()
        stack = [(len(self.vertices) - 1, "", "")]
        while stack:
            i, before, indent = stack.pop()
            vertex = self.vertices[i]
            above = " (see above)" if i in shown and vertex.inputs else ""
            lines.append(f"{before}{vertex}{above}")
            if i not in shown:
                shown.add(i)
                parts = [(j, f"{indent}├─ ", f"{indent}│  ") for j in vertex.inputs[:-1]]
                stack += reversed([*parts, *((j, f"{indent}└─ ", f"{indent}   ") for j in vertex.inputs[-1:])])
        return "\n".join(lines)

    def _repr_svg_(self) -> str:
        return draw(self.vertices, self.film)

    def save(self, path: str | Path) -> None:
        """Write the picture as SVG, which every browser shows."""
        Path(path).write_text(self._repr_svg_(), encoding="utf-8")


def graph(
    output: Tensor | Callable[[], Tensor], names: Mapping[str, Any] | None = None, gradients: bool = False, film: bool = False
) -> Graph:
    """The graph behind `output`, a tensor, or a function without arguments that computes it.

    The function is called here. Then the layers that run in it are known: in the picture each is one
    box, which opens when it is clicked. `names` are names of tensors, or of modules, whose parameters
    get the module's name before their own. With `gradients`, every tensor shows the norm of its
    gradient and its turn in the walk; the output must be one number, and the graph is kept. `film`
    shows the gradients one after the other, as the walk finds them.

        print(tg.graph(loss, names={"w": w}))
        tg.graph(lambda: model(x).mean(), names={"model": model}, film=True).save("loss.svg")

    Raises ValueError where the output has no graph, and where a backward has freed it; TypeError for
    other names.
    """
    named = list(_named({} if names is None else names))
    layers = _Layers()
    if not isinstance(output, Tensor):
        with listening(layers):
            output = output()
    if output.node is None:
        raise ValueError("graph: the output was not computed from tensors that require gradients, so there is no graph behind it")
    called = {id(t): name for name, t in [*layers.names, *named]}
    numbers: dict[int, int] = {}
    vertices: list[Vertex] = []
    for t in _ordered(output):
        numbers[id(t)] = len(vertices)
        if t.node is None:
            vertices.append(Vertex(t, called.get(id(t), "parameter" if t.requires_grad else "data")))
            continue
        constants = [f"{x:g}" for x in t.node.inputs if isinstance(x, int | float)]
        name = called.get(id(t), " ".join([errors.name(t.node), *constants]))
        layer, text = notes(t.node).get(layers, (None, ""))
        vertices.append(Vertex(t, name, [numbers[id(x)] for x in t.node.inputs if isinstance(x, Tensor)], layer, text))
    if gradients or film:
        _add_gradients(output, vertices)
    return Graph(vertices, film)


def _named(names: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(names, Mapping):
        raise TypeError(f'graph: names is a dict of tensors and modules, as in names={{"model": model}}, got {shown(names)}')
    for name, value in names.items():
        if isinstance(value, Tensor):
            yield name, value
        elif hasattr(value, "named_tensors"):
            yield from ((f"{name}.{part}", t) for part, t in value.named_tensors())
        else:
            raise TypeError(f'graph: names["{name}"] must be a tensor or a module, got {shown(value)}')


class _Layers(Listener):
    """Notes for every node the call of a layer that it is applied in. A module without parts is a layer."""

    def __init__(self) -> None:
        self.calls = 0
        self.running: tuple[int | None, str] = None, ""
        self.names: list[tuple[str, Tensor]] = []

    def layer(self, module: Any, inputs: Sequence[Any]) -> Event:
        before = self.running
        if not any(True for _ in module.children()):
            self.calls += 1
            self.running = (self.calls, with_activation(module.describe(), inputs))
            self.names += module.named_tensors()
        try:
            yield
        finally:
            self.running = before

    def forward(self, node: Function, inputs: Sequence[Any]) -> Event:
        notes(node)[self] = self.running
        yield


def _ordered(output: Tensor) -> list[Tensor]:
    """All tensors of the graph in the order in which they were computed; leaves come before their first use."""
    computed, stack = dict[int, Any](), list[Any]([output])
    while stack:
        t = stack.pop()
        if id(t) in computed:
            continue
        computed[id(t)] = t
        if type(t.node.inputs) is not tuple:
            raise errors.freed(t.node, t.node.inputs.failure)
        stack += (x for x in t.node.inputs if isinstance(x, Tensor) and x.node is not None)
    ordered = dict[int, Tensor]()
    for t in sorted(computed.values(), key=lambda t: t.node.number):
        ordered |= {id(x): x for x in t.node.inputs if isinstance(x, Tensor) and id(x) not in ordered}
        ordered[id(t)] = t
    return list(ordered.values())


def _add_gradients(output: Tensor, vertices: Sequence[Vertex]) -> None:
    """Walk back, and note the gradients and the turns."""
    walk = _Walk()
    leaves = [v for v in vertices if v.tensor.requires_grad and not v.computed]
    with listening(walk):
        found = grad(output, [v.tensor for v in leaves], retain_graph=True)
    for vertex, g in zip(leaves, found, strict=True):
        vertex.gradient = _norm(g)
    for vertex in vertices:
        if vertex.computed and vertex.tensor in walk.passed:
            vertex.turn, vertex.gradient = walk.passed[vertex.tensor]


class _Walk(Listener):
    """The turn and the gradient of each tensor whose node a walk passes."""

    def __init__(self) -> None:
        self.passed: dict[Tensor, tuple[int, float]] = {}

    def backward(self, node: Function, g: Tensor, y: Tensor, inputs: Sequence[Any], needs: Sequence[bool]) -> Event:
        self.passed[y] = len(self.passed) + 1, _norm(g)
        yield


def _norm(g: Tensor) -> float:
    xp = array_module(g.data)
    return float(xp.sqrt((g.data * g.data).sum()))
