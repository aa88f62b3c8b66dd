"""Models as ONNX graphs, which other programs run without tinygen.

Images stay (N, H, W, C), as in tinygen: a convolution stands between two transpositions, which
onnxruntime moves together and cancels. N, the number of examples, may be any; all other sizes are
those of the example. What does not depend on the inputs is computed once and written as a constant:
weights are in ONNX's layout, and those under a SpectralNorm are divided by their largest singular
value.

The graph is that of one call (`trace`), written down by TABLE, function for function. To learn what
depends on N, the model is called twice (`onnx_writer`).
"""

import importlib.util
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy

from tinygen.backend import array_module
from tinygen.command_line import UsageError
from tinygen.engine.errors import name as name_of
from tinygen.engine.function import Function
from tinygen.engine.fused import Alias
from tinygen.engine.tensor import Tensor
from tinygen.functional import (
    activation,
    conv,
    conversion,
    elementwise,
    indexing,
    linalg,
    padding,
    pool,
    recurrent,
    reduce,
    selection,
    shape,
)
from tinygen.interchange.onnx_writer import BATCHES, Call, Writer
from tinygen.interchange.trace import Input, Trace, module_of, trace
from tinygen.saving.checkpoint import write_whole
from tinygen.version import __version__

OPSET, IR_VERSION = 18, 8  # of 2022, so that older programs read the files, too

Rule = Callable[[Call], str]
FIRST, LAST = (0, 3, 1, 2), (0, 2, 3, 1)  # axes: NHWC to NCHW, and back
TO_OIHW = (3, 2, 0, 1)


def named(operator: str, *parameters: str) -> Rule:
    """The rule of a function that ONNX has, too, with parameters of the same names."""
    return lambda call: call.add(operator, **{name: getattr(call, name) for name in parameters})


def reduction(operator: str) -> Rule:
    def rule(call: Call) -> str:
        axis = range(call.first.inputs[0].ndim) if call.axis is None else call.axis if isinstance(call.axis, tuple) else (call.axis,)
        return call.add(operator, call.input(0), call.writer.integers(*axis), keepdims=int(call.keepdims))

    return rule


def windows(call: Call, **others: Any) -> dict[str, Any]:
    """ONNX's attributes of a window. Its `pads` are top, left, bottom, right."""
    (top, bottom), (left, right) = call.padding
    return {"strides": call.stride, "pads": (top, left, bottom, right), **others}


def of_images(operator: str, call: Call, *weights: str, **attributes: Any) -> str:
    """An operator on NCHW, between two transpositions."""
    return call.add("Transpose", call.add(operator, call.input(0, FIRST), *weights, **attributes), perm=LAST)


def convolution(call: Call) -> str:
    return of_images("Conv", call, call.input(1, TO_OIHW), call.input(2), **windows(call, dilations=call.dilation))


def transposed_convolution(call: Call) -> str:
    """Its weight is (in, out, kh, kw), which is what TO_OIHW makes of (kh, kw, out, in)."""
    x, w, _ = call.first.inputs
    spans = [(w.shape[i] - 1) * call.dilation[i] + 1 for i in range(2)]
    smallest = [(x.shape[1 + i] - 1) * call.stride[i] + spans[i] - sum(call.padding[i]) for i in range(2)]
    extra = [size - least for size, least in zip(call.size, smallest, strict=True)]
    attributes = windows(call, dilations=call.dilation, output_padding=extra)
    return of_images("ConvTranspose", call, call.input(1, TO_OIHW), call.input(2), **attributes)


def pooling(operator: str, **attributes: int) -> Rule:
    return lambda call: of_images(operator, call, **windows(call, kernel_shape=call.kernel_size, **attributes))


def leaky_relu(call: Call) -> str:
    return call.add("LeakyRelu", alpha=call.negative_slope) if call.negative_slope else call.add("Relu")


def where(call: Call) -> str:
    condition = call.writer.value(call.first.node.condition, call.second.node.condition, numpy.dtype(bool))
    return call.add("Where", condition, *call.inputs())


def cast(call: Call) -> str:
    return call.add("Cast", to=call.writer.helper.np_dtype_to_tensor_dtype(call.dtype))


def pad(call: Call) -> str:
    before, after = zip(*call.widths, strict=True)
    return call.add("Pad", call.input(0), call.writer.integers(*before, *after))


def recurrence(operator: str, **attributes: int) -> Rule:
    """ONNX's operator, whose gates are in the same order, for all steps and for the dense layer x W + b that comes before them."""

    def rule(call: Call) -> str:
        add, value, y = call.writer.add, call.writer.value, call.first.y
        (x, weight, bias), (x_2, weight_2, bias_2) = (_dense_before(step.inputs[0]) for step in (call.first, call.second))
        size = call.writer.sizes((*y.shape[:2], -1), (*call.second.y.shape[:2], -1))
        rows = add("Reshape", value(x, x_2, y.dtype), size)
        both = add("Concat", value(bias, bias_2, y.dtype), call.writer.constant(numpy.zeros(bias.shape, y.dtype)), axis=0)
        directions = [value(weight, weight_2, y.dtype, (1, 0)), call.input(1, (1, 0)), both, call.input(2)]
        w, r, b, h = (add("Unsqueeze", name, call.writer.integers(0)) for name in directions)
        states = add(operator, rows, w, r, b, "", h, hidden_size=y.shape[2], **attributes)
        return add("Squeeze", states, call.writer.integers(1))

    return rule


def _dense_before(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(rows, W, b) of a reshaped rows W + b. Of anything else x itself, the identity, and zeros."""
    add, matmul = elementwise.AddFunction, linalg.MatMulFunction
    match x.node:
        case shape.ReshapeFunction(inputs=(Tensor(node=add(inputs=(Tensor(node=matmul(inputs=(rows, weight))), Tensor() as bias))),)):
            if weight.shape[1:] == bias.shape == x.shape[2:]:
                return rows, weight, bias
    xp = array_module(x.data)
    return x, Tensor(xp.eye(x.shape[2], dtype=x.dtype)), Tensor(xp.zeros(x.shape[2], x.dtype))


def getitem(call: Call) -> str:
    """x[index], part by part, as a Gather for an array, and Slice, Squeeze and Unsqueeze for the others."""
    x = call.first.inputs[0]
    parts = _all_axes(call.first.node.index, x.ndim)
    arrays = [i for i, part in enumerate(parts) if hasattr(part, "dtype")]
    picks = [part for part in parts if isinstance(part, int) or hasattr(part, "dtype")]
    if arrays and (len(picks) > 1 or picks[0].dtype.kind not in "iu"):
        raise UsageError("ONNX: an index by a mask, or by an array beside another or a number, cannot be written; index one axis at a time")
    twins = _all_axes(call.second.node.index, x.ndim)
    if any(here != there for i, (here, there) in enumerate(zip(parts, twins, strict=True)) if i not in arrays):
        raise UsageError(f"ONNX: an index depends on the number of examples: it is {parts} for two and {twins} for three")
    value, integers = call.input(0), call.writer.integers
    for i in arrays:
        indices = call.writer.value(parts[i], twins[i], parts[i].dtype)
        value = call.add("Gather", value, indices, axis=sum(part is not None for part in parts[:i]))
        parts[i : i + 1] = [slice(None)] * parts[i].ndim
    axes = [part for part in parts if part is not None]
    cut = {axis: _bounds(part) for axis, part in enumerate(axes) if part != slice(None)}
    if cut:
        starts, ends, steps = zip(*cut.values(), strict=True)
        value = call.add("Slice", value, integers(*starts), integers(*ends), integers(*cut), integers(*steps))
    if dropped := [axis for axis, part in enumerate(axes) if isinstance(part, int)]:
        value = call.add("Squeeze", value, integers(*dropped))
    if new := [i for i, part in enumerate(part for part in parts if not isinstance(part, int)) if part is None]:
        value = call.add("Unsqueeze", value, integers(*new))
    return value


def _all_axes(index: tuple[Any, ...], ndim: int) -> list[Any]:
    """The index with one part for each axis: slices in place of `...` and of what is left out at the end."""
    index = index if any(part is Ellipsis for part in index) else (*index, Ellipsis)
    at = next(i for i, part in enumerate(index) if part is Ellipsis)
    used = sum(part is not None for part in index) - 1
    return [*index[:at], *[slice(None)] * (ndim - used), *index[at + 1 :]]


def _bounds(part: int | slice) -> tuple[int, int, int]:
    """Start, end and step of a slice as ONNX has them; an integer is a slice of one."""
    furthest = 2**63 - 1
    if not isinstance(part, slice):
        return part, part + 1 or furthest, 1
    step = 1 if part.step is None else part.step
    start = part.start if part.start is not None else 0 if step > 0 else furthest
    return start, part.stop if part.stop is not None else furthest if step > 0 else -furthest, step


TABLE: dict[type[Function], Rule] = {
    Alias: lambda call: call.input(0),
    conversion.ToDeviceFunction: lambda call: call.input(0),
    conversion.AsTypeFunction: cast,
    elementwise.AddFunction: named("Add"),
    elementwise.SubFunction: named("Sub"),
    elementwise.MulFunction: named("Mul"),
    elementwise.DivFunction: named("Div"),
    elementwise.NegFunction: named("Neg"),
    elementwise.PowFunction: named("Pow"),
    elementwise.ExpFunction: named("Exp"),
    elementwise.LogFunction: named("Log"),
    elementwise.SqrtFunction: named("Sqrt"),
    elementwise.SinFunction: named("Sin"),
    elementwise.CosFunction: named("Cos"),
    elementwise.SignFunction: named("Sign"),
    selection.MaximumFunction: named("Max"),
    selection.MinimumFunction: named("Min"),
    selection.WhereFunction: where,
    activation.LeakyReLUFunction: leaky_relu,
    selection.StraightThroughFunction: lambda call: call.input(0),
    activation.ELUFunction: named("Elu", "alpha"),
    activation.TanhFunction: named("Tanh"),
    activation.SigmoidFunction: named("Sigmoid"),
    activation.SoftplusFunction: named("Softplus"),
    activation.SoftmaxFunction: named("Softmax", "axis"),
    reduce.SumFunction: reduction("ReduceSum"),
    reduce.MeanFunction: reduction("ReduceMean"),
    reduce.MaxFunction: reduction("ReduceMax"),
    reduce.MinFunction: reduction("ReduceMin"),
    reduce.LogSumExpFunction: reduction("ReduceLogSumExp"),
    reduce.CumSumFunction: lambda call: call.add("CumSum", call.input(0), call.writer.constant(numpy.int64(call.axis))),
    linalg.MatMulFunction: named("MatMul"),
    conv.Conv2DFunction: convolution,
    conv.Conv2DDataFunction: transposed_convolution,
    pool.MaxPool2DFunction: pooling("MaxPool"),
    pool.AvgPool2DFunction: pooling("AveragePool", count_include_pad=0),
    shape.ReshapeFunction: lambda call: call.add("Reshape", call.input(0), call.sizes(open_axis=True)),
    shape.TransposeFunction: lambda call: call.add("Transpose", perm=call.axes),
    shape.BroadcastToFunction: lambda call: call.add("Expand", call.input(0), call.sizes()),
    shape.ConcatenateFunction: named("Concat", "axis"),
    padding.PadFunction: pad,
    indexing.GetItemFunction: getitem,
    recurrent.RNNFunction: recurrence("RNN"),
    recurrent.GRUFunction: recurrence("GRU", linear_before_reset=1),
}


def to_onnx(call: Callable[..., Any], path: str | Path, *inputs: Input) -> None:
    """Write a model's graph, of `onnx_graph`: `to_onnx(generator, "generator.onnx", (1, 100))`."""
    write_whole(Path(path), onnx_graph(call, *inputs))


def onnx_graph(call: Callable[..., Any], *inputs: Input) -> bytes:
    """A model, or a method of one such as `vae.encode`, as the file of an ONNX graph, in evaluation mode.

    Each input is a shape with the batch as its first axis, or an array, for inputs that are no random
    numbers, such as labels. The graph's inputs have the names of the arguments of forward; the output
    is called "output", several are "output_0" and so on, or have the keys of the dict.

    Raises UsageError where the package onnx is missing, and for what the graph cannot express.
    """
    if importlib.util.find_spec("onnx") is None:
        raise UsageError("writing ONNX needs the package onnx, which is not installed: pip install 'tinygen[export]'")
    model = _graph(call, *(trace(call, inputs, batch, whole=TABLE) for batch in BATCHES))
    return model.SerializeToString(deterministic=True)


def _graph(call: Callable[..., Any], first: Trace, second: Trace) -> Any:
    """The model as a protobuf."""
    if [type(step.node) for step in first.steps] != [type(step.node) for step in second.steps]:
        raise UsageError("ONNX: the model computes other functions for three examples than for two, and a graph has no branches")
    module = module_of(call)
    names = _argument_names(call.forward if call is module else call, len(first.inputs))
    writer = Writer(
        {id(t.data): name for name, t in module.named_tensors()},
        dict(zip(names, zip(first.inputs, second.inputs, strict=True), strict=True)),
    )
    for step, twin in zip(first.steps, second.steps, strict=True):
        if writer.depends(step, twin):
            writer.names[id(step.y.data)] = _written(Call(step, twin, writer))
    helper = writer.helper
    for name, y in first.outputs.items():
        writer.nodes.append(helper.make_node("Identity", [writer.value(y, second.outputs[name], y.dtype)], [name]))

    def declared(name: str, array: Any, twin: Any) -> Any:
        sizes = [n if n == m else "N" if (n, m) == BATCHES else None for n, m in zip(array.shape, twin.shape, strict=True)]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), sizes)

    nodes, constants = writer.needed(first.outputs)
    graph = helper.make_graph(
        nodes,
        type(module).__name__,
        [declared(name, *arrays) for name, arrays in writer.inputs.items()],
        [declared(name, y, second.outputs[name]) for name, y in first.outputs.items()],
        constants,
        doc_string="Images are (N, H, W, C).",
    )
    imports = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION, producer_name="tinygen", producer_version=__version__)


def _argument_names(forward: Callable[..., Any], count: int) -> list[str]:
    """The names of the arguments; numbered ones for a forward that takes any number of them."""
    parameters = inspect.signature(forward).parameters.values()
    named = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]
    return named[:count] if len(named) >= count else [f"input_{i}" for i in range(count)]


def _written(call: Call) -> str:
    rule = TABLE.get(type(call.first.node))
    if rule is None:
        raise UsageError(f"ONNX: there is no rule for the function {name_of(call.first.node)}; write the model without it")
    return rule(call)
