"""The parts of an ONNX graph: values with names, constants, and sizes that depend on the number of examples.

All that a call computed is known twice, for two examples and for three. What is equal is a constant, a
size that is a multiple of the number of examples follows N, and anything else is refused.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy

from tinygen.backend import Array, to_device
from tinygen.command_line import UsageError
from tinygen.engine.errors import name as name_of
from tinygen.engine.tensor import Shape, array_of
from tinygen.interchange.trace import Step

BATCHES = 2, 3


class Writer:
    """Nodes and constants, as protobufs of the package onnx. A value is an array of the first call, by identity."""

    def __init__(self, parameters: dict[int, str], inputs: dict[str, tuple[Array, Array]]) -> None:
        from onnx import helper, numpy_helper

        self.helper, self.to_proto = helper, numpy_helper.from_array
        self.parameters = parameters  # the names of the model's arrays, by id
        self.inputs = inputs  # as in the two calls
        self.nodes: list[Any] = []
        self.constants: dict[Any, Any] = {}
        self.names: dict[int, str] = {}  # of the results that depend on the inputs, by the id of their array
        self.batch = ""

    def name_of(self, here: Array, there: Array) -> str | None:
        """The name of an array that depends on the inputs. Functions copy their indices and conditions, which are known by their values."""
        for name, arrays in self.inputs.items():
            if all(mine is given or _equal(mine, given) for mine, given in zip((here, there), arrays, strict=True)):
                return name
        return self.names.get(id(here))

    def depends(self, step: Step, twin: Step) -> bool:
        """Whether the result of a step, as in the two calls, depends on the inputs."""
        read = [
            (array_of(x) for x in (*some.inputs, *getattr(some.node, "index", ()), getattr(some.node, "condition", None)))
            for some in (step, twin)
        ]
        arrays = [(a, b) for a, b in zip(*read, strict=True) if hasattr(a, "dtype") and hasattr(b, "dtype")]
        return any(self.name_of(*both) for both in arrays)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output, whose name is returned."""
        output = f"{operator.lower()}_{len(self.nodes)}"
        self.nodes.append(self.helper.make_node(operator, inputs, [output], **attributes))
        return output

    def constant(self, array: Any, name: str = "") -> str:
        """The name of a constant, which is `name` if it is not taken. Equal ones are one constant."""
        array = numpy.asarray(array, order="C")
        key = name, array.dtype.str, array.shape, hashlib.sha256(array.data).digest()
        if key not in self.constants:
            taken = {"", *(proto.name for proto in self.constants.values())}
            self.constants[key] = self.to_proto(array, f"constant_{len(self.constants)}" if name in taken else name)
        return self.constants[key].name

    def integers(self, *numbers: int) -> str:
        return self.constant(numpy.array(numbers, numpy.int64))

    def value(self, first: Any, second: Any, dtype: numpy.dtype, axes: Sequence[int] | None = None) -> str:
        """The name of a value, given as in the two calls: a Tensor, an array, a number, or None. With `axes` it is transposed."""
        if first is None:
            return ""
        if isinstance(first, int | float):
            return self._number(first, second, dtype)
        here, there = array_of(first), array_of(second)
        if name := self.name_of(here, there):
            return self.add("Transpose", name, perm=axes) if axes else name
        return self._array(here, there, axes)

    def _array(self, here: Array, there: Array, axes: Sequence[int] | None) -> str:
        """A constant. One that has a row for each example must have equal rows, and is repeated."""
        name = self.parameters.get(id(here), "")
        a, b = to_device(here, "cpu"), to_device(there, "cpu")
        if axes:
            a, b = a.transpose(axes), b.transpose(axes)
        if numpy.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
            return self.constant(a, name)
        if a.ndim == b.ndim:
            one = a[tuple(slice(None) if n == m else slice(1) for n, m in zip(a.shape, b.shape, strict=True))]
            if all(numpy.array_equal(numpy.broadcast_to(one, array.shape), array) for array in (a, b)):
                return self.add("Expand", self.constant(one), self.sizes(a.shape, b.shape))
        what = f"the parameter {name}" if name else f"an array of shape {a.shape}"
        raise UsageError(
            f"ONNX: {what} changes from call to call and is not in the graph: a forward computed it by random numbers, by NumPy, or by a "
            "comparison; write it in tinygen's functions, or export a part of the model, such as its encoder or decoder"
        )

    def _number(self, here: float, there: float, dtype: numpy.dtype) -> str:
        """A number that is constant, or proportional to N or to 1 / N."""
        n, m = BATCHES
        if here == there:
            return self.constant(numpy.array(here, dtype))
        count = self.add("Cast", self.examples(), to=self.helper.np_dtype_to_tensor_dtype(numpy.dtype(dtype)))
        if numpy.isclose(here * n, there * m, rtol=1e-12):
            return self.add("Div", self.constant(numpy.array(here * n, dtype)), count)
        if numpy.isclose(here / n, there / m, rtol=1e-12):
            return self.add("Mul", self.constant(numpy.array(here / n, dtype)), count)
        raise UsageError(f"ONNX: a number that is {here} for {n} examples and {there} for {m} cannot be told from their number N")

    def examples(self) -> str:
        """The value [N]: the first size of the first input."""
        if not self.batch:
            self.batch = self.add("Shape", next(iter(self.inputs)), start=0, end=1)
        return self.batch

    def sizes(self, here: Shape, there: Shape, open_axis: bool = False) -> str:
        """A shape as a value. With `open_axis` it may have one -1."""
        n, m = BATCHES
        if len(here) != len(there) or any(a != b and a * m != b * n for a, b in zip(here, there, strict=True)):
            raise UsageError(f"ONNX: a shape that is {here} for {n} examples and {there} for {m} cannot be told from their number N")
        differs = [a != b for a, b in zip(here, there, strict=True)]
        if not any(differs) or (open_axis and sum(differs) == 1):
            return self.integers(*(-1 if other else a for a, other in zip(here, differs, strict=True)))
        parts = [
            self.integers(a) if not other else self.add("Mul", self.examples(), self.integers(a // n)) if a != n else self.examples()
            for a, other in zip(here, differs, strict=True)
        ]
        return self.add("Concat", *parts, axis=0) if len(parts) > 1 else parts[0]

    def needed(self, outputs: Iterable[str]) -> tuple[list[Any], list[Any]]:
        """The nodes and the constants that the outputs are computed from."""
        names, nodes = set(outputs), list[Any]()
        for node in reversed(self.nodes):
            if names.intersection(node.output):
                names.update(node.input)
                nodes.append(node)
        return nodes[::-1], [constant for constant in self.constants.values() if constant.name in names]


def _equal(a: Array, b: Array) -> bool:
    return a.shape == b.shape and a.dtype == b.dtype and bool((a == b).all())


@dataclass(frozen=True)
class Call:
    """One function of the model, as it was applied to two and to three examples."""

    first: Step
    second: Step
    writer: Writer

    def __getattr__(self, parameter: str) -> Any:
        """A parameter of the function, which must be the same for any number of examples."""
        here, there = (getattr(step.node, parameter) for step in (self.first, self.second))
        if repr(here) != repr(there):
            raise UsageError(f"ONNX: {name_of(self.first.node)} has the {parameter} {here} for two examples and {there} for three")
        return here

    def input(self, i: int, axes: Sequence[int] | None = None) -> str:
        """The name of input i, transposed if axes are given."""
        return self.writer.value(self.first.inputs[i], self.second.inputs[i], self.first.y.dtype, axes)

    def inputs(self) -> list[str]:
        return [self.input(i) for i in range(len(self.first.inputs))]

    def sizes(self, open_axis: bool = False) -> str:
        """The shape of the result."""
        return self.writer.sizes(self.first.y.shape, self.second.y.shape, open_axis)

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        return self.writer.add(operator, *(inputs or self.inputs()), **attributes)
