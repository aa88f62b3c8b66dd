"""Forwards against onnx.reference, an implementation by others of a published standard. ONNX has channels first: NCHW, OIHW."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy
import pytest
from geometry_strategies import convolutions, geometries, transposed_convolutions
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy import ndarray
from numpy.testing import assert_allclose
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from tinygen_kernels.geometry import resolve_padding

import tinygen.functional as F
from tinygen import Tensor, nn
from tinygen.engine.tensor import Shape
from tinygen.testing import images, shapes

modest = settings(deadline=None, max_examples=40)
seeds = st.integers(0, 2**32 - 1)


def onnx(operator: str, *inputs: ndarray, **attributes: Any) -> ndarray:
    """The first output of one ONNX operator."""
    names = [f"input{i}" for i in range(len(inputs))]
    node = helper.make_node(operator, names, ["output"], **attributes)
    types = {numpy.dtype("float64"): TensorProto.DOUBLE, numpy.dtype("int64"): TensorProto.INT64, numpy.dtype("bool"): TensorProto.BOOL}
    declared = [helper.make_tensor_value_info(n, types[a.dtype], a.shape) for n, a in zip(names, inputs, strict=True)]
    result = helper.make_tensor_value_info("output", TensorProto.DOUBLE, None)
    model = helper.make_model(helper.make_graph([node], operator, declared, [result]))
    return ReferenceEvaluator(model).run(None, dict(zip(names, inputs, strict=True)))[0]


def first(images: Tensor) -> ndarray:
    """(N, H, W, C) -> (N, C, H, W)."""
    return images.numpy().transpose(0, 3, 1, 2)


def last(images: ndarray) -> ndarray:
    """(N, C, H, W) -> (N, H, W, C)."""
    return images.transpose(0, 2, 3, 1)


def turned(w: Tensor) -> ndarray:
    """A weight (kh, kw, C, K) as Conv's (K, C, kh, kw), which for ConvTranspose is (C_in, C_out, kh, kw)."""
    return w.numpy().transpose(3, 2, 0, 1)


def assert_same(ours: Tensor, theirs: ndarray) -> None:
    assert ours.shape == theirs.shape
    assert_allclose(ours.numpy(), theirs, rtol=1e-10, atol=1e-12)


def normal(shapes: Sequence[Shape], seed: int) -> list[Tensor]:
    rng = numpy.random.default_rng(seed)
    return [Tensor(rng.standard_normal(shape)) for shape in shapes]


def window(x: Tensor, kernel_size: Any, stride: Any, padding: Any, dilation: Any = (1, 1)) -> dict[str, Any]:
    """ONNX's attributes of a window, its padding as (top, left, bottom, right)."""
    (top, bottom), (left, right) = resolve_padding(padding, x.shape[1:3], kernel_size, stride, dilation)
    return {"kernel_shape": kernel_size, "strides": stride, "dilations": dilation, "pads": (top, left, bottom, right)}


@modest
@given(call=convolutions(bias=True), seed=seeds)
def test_conv2d(call: Any, seed: int) -> None:
    shapes, arguments = call
    x, w, bias = normal(shapes, seed)
    theirs = onnx("Conv", first(x), turned(w), bias.numpy(), **window(x, w.shape[:2], **arguments))
    assert_same(F.conv2d(x, w, bias, **arguments), last(theirs))


@modest
@given(call=transposed_convolutions(bias=True), seed=seeds)
def test_conv_transpose2d(call: Any, seed: int) -> None:
    shapes, arguments = call
    x, w, bias = normal(shapes, seed)
    ours = F.conv_transpose2d(x, w, bias, **arguments)
    stride, dilation = arguments["stride"], arguments["dilation"]
    attributes = window(ours, w.shape[:2], stride, arguments["padding"], dilation)
    # ONNX names the rows and columns to add to the smallest size that fits; "output_shape" would
    # have it choose the padding.
    smallest = [
        (x.shape[1 + i] - 1) * stride[i] + (w.shape[i] - 1) * dilation[i] + 1 - attributes["pads"][i] - attributes["pads"][i + 2]
        for i in range(2)
    ]
    extra = [made - least for made, least in zip(ours.shape[1:3], smallest, strict=True)]
    assert_same(ours, last(onnx("ConvTranspose", first(x), turned(w), bias.numpy(), output_padding=extra, **attributes)))


@modest
@given(geometry=geometries(dilated=False, whole=False), seed=seeds)
def test_max_pool2d(geometry: Any, seed: int) -> None:
    size, kernel_size, stride, padding, _, sides = geometry
    (x,) = normal([(2, *size, 3)], seed)
    # Padded here: the reference evaluator takes MaxPool's `pads` in another order than the
    # standard's begins and then ends.
    padded = numpy.pad(first(x), ((0, 0), (0, 0), *sides), constant_values=-numpy.inf)
    theirs = onnx("MaxPool", padded, kernel_shape=kernel_size, strides=stride)
    assert_same(F.max_pool2d(x, kernel_size, stride, padding), last(theirs))


@modest
@given(geometry=geometries(dilated=False, whole=False), seed=seeds)
def test_avg_pool2d(geometry: Any, seed: int) -> None:
    size, kernel_size, stride, padding, _, _ = geometry
    (x,) = normal([(2, *size, 3)], seed)
    theirs = onnx("AveragePool", first(x), count_include_pad=0, **window(x, kernel_size, stride, padding))
    assert_same(F.avg_pool2d(x, kernel_size, stride, padding), last(theirs))


@modest
@given(x=images(), factor=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_upsample2d(x: Tensor, factor: tuple[int, int]) -> None:
    nowhere = numpy.zeros(0)  # the region of interest, for another mode
    scales = numpy.array([1, 1, *factor], "float64")
    rounding = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    assert_same(F.upsample2d(x, factor), last(onnx("Resize", first(x), nowhere, scales, **rounding)))


@modest
@given(x=images(), factor=st.tuples(st.integers(1, 3), st.integers(1, 3)))
def test_bilinear_upsampling(x: Tensor, factor: tuple[int, int]) -> None:
    scales = numpy.array([1, 1, *factor], "float64")
    assert_same(F.upsample2d(x, factor, "bilinear"), last(onnx("Resize", first(x), numpy.zeros(0), scales, mode="linear")))


@modest
@given(x=images(channels=8))
def test_pixel_shuffle(x: Tensor) -> None:
    assert_same(F.pixel_shuffle(x, 2), last(onnx("DepthToSpace", first(x), blocksize=2, mode="CRD")))


@modest
@given(x=images(channels=4), groups=st.sampled_from([1, 2, 4]), seed=seeds)
def test_convolution_in_groups(x: Tensor, groups: int, seed: int) -> None:
    w, bias = normal([(3, 3, 4 // groups, 8), (8,)], seed)
    theirs = onnx("Conv", first(x), turned(w), bias.numpy(), group=groups, pads=(1, 1, 1, 1))
    assert_same(F.conv2d(x, w, bias, padding=1, groups=groups), last(theirs))


@modest
@given(x=images(), seed=seeds)
def test_batch_norm_outside_training(x: Tensor, seed: int) -> None:
    gamma, beta, mean, deviation = normal([x.shape[3:]] * 4, seed)
    var = deviation * deviation
    theirs = onnx("BatchNormalization", first(x), *(t.numpy() for t in (gamma, beta, mean, var)), epsilon=1e-3)
    assert_same(F.batch_norm(x, gamma, beta, mean, var, training=False, eps=numpy.float32(1e-3).item()), last(theirs))


@modest
@given(shape=shapes(2, 4), trailing=st.integers(1, 2), seed=seeds)
def test_layer_norm(shape: Shape, trailing: int, seed: int) -> None:
    x, gamma, beta = normal([shape, shape[-trailing:], shape[-trailing:]], seed)
    theirs = onnx("LayerNormalization", *(t.numpy() for t in (x, gamma, beta)), axis=-trailing, epsilon=1e-3)
    assert_same(F.layer_norm(x, gamma, beta, eps=numpy.float32(1e-3).item()), theirs)


@modest
@given(size=st.tuples(*[st.integers(1, 3)] * 3), groups=st.integers(1, 3), seed=seeds)
def test_group_norm(size: tuple[int, int, int], groups: int, seed: int) -> None:
    (n, rows, channels), eps = size, numpy.float32(1e-3).item()
    x, gamma, beta = normal([(n, rows, 2, channels * groups), *[(channels * groups,)] * 2], seed)
    theirs = onnx(
        "GroupNormalization", first(x), gamma.numpy(), beta.numpy(), num_groups=groups, epsilon=1e-3, stash_type=TensorProto.DOUBLE
    )
    assert_same(F.group_norm(x, gamma, beta, groups, eps), last(theirs))
    theirs = onnx("InstanceNormalization", first(x), gamma.numpy(), beta.numpy(), epsilon=1e-3)
    assert_same(F.instance_norm(x, gamma, beta, eps), last(theirs))


@pytest.mark.parametrize(
    "ours, operator, attributes",
    [
        (F.relu, "Relu", {}),
        (lambda x: F.leaky_relu(x, 0.25), "LeakyRelu", {"alpha": 0.25}),
        (F.tanh, "Tanh", {}),
        (F.sigmoid, "Sigmoid", {}),
        (F.softplus, "Softplus", {}),
        (lambda x: F.elu(x, 0.5), "Elu", {"alpha": 0.5}),
        (F.abs, "Abs", {}),
        (F.exp, "Exp", {}),
        (F.neg, "Neg", {}),
        (lambda x: F.softmax(x, axis=1), "Softmax", {"axis": 1}),
        (lambda x: F.log_softmax(x, axis=0), "LogSoftmax", {"axis": 0}),
        (lambda x: x.transpose(2, 0, 1), "Transpose", {"perm": [2, 0, 1]}),
        (F.flatten, "Flatten", {"axis": 1}),
    ],
)
@modest
@given(shape=shapes(3, 3), seed=seeds)
def test_functions_of_one_tensor(ours: Callable[[Tensor], Tensor], operator: str, attributes: Any, shape: Shape, seed: int) -> None:
    (x,) = normal([shape], seed)
    if operator != "Transpose":
        x = x * 30.0  # far out, where a careless formula overflows
    with numpy.errstate(all="ignore"):  # theirs may warn of it
        assert_same(ours(x), onnx(operator, x.numpy(), **attributes))


@pytest.mark.parametrize(
    "ours, operator",
    [
        (F.sum, "ReduceSum"),
        (F.mean, "ReduceMean"),
        (F.max, "ReduceMax"),
        (F.min, "ReduceMin"),
        (F.logsumexp, "ReduceLogSumExp"),
    ],
)
@modest
@given(shape=shapes(3, 3), axes=st.sets(st.integers(0, 2), min_size=1), keepdims=st.booleans(), seed=seeds)
def test_reductions(ours: Callable[..., Tensor], operator: str, shape: Shape, axes: set[int], keepdims: bool, seed: int) -> None:
    (x,) = normal([shape], seed)
    theirs = onnx(operator, x.numpy(), numpy.array(sorted(axes)), keepdims=int(keepdims))
    assert_same(ours(x, tuple(axes), keepdims), theirs)


@modest
@given(sizes=st.tuples(*[st.integers(1, 4)] * 3), batch=st.integers(1, 3), seed=seeds)
def test_matmul_and_dense(sizes: tuple[int, int, int], batch: int, seed: int) -> None:
    m, k, n = sizes
    a, stacked, b, bias = normal([(m, k), (batch, m, k), (k, n), (n,)], seed)
    assert_same(stacked @ b, onnx("MatMul", stacked.numpy(), b.numpy()))
    assert_same(F.dense(a, b, bias), onnx("Gemm", a.numpy(), b.numpy(), bias.numpy()))


@modest
@given(size=st.tuples(*[st.integers(1, 4)] * 4), data=st.data(), seed=seeds)
def test_attention(size: tuple[int, int, int, int], data: st.DataObject, seed: int) -> None:
    queries, keys, features, channels = size
    q, k, v = normal([(2, 3, queries, features), (2, 3, keys, features), (2, 3, keys, channels)], seed)
    mask = numpy.random.default_rng(seed).random((queries, keys)) < 0.5
    mask[:, data.draw(st.integers(0, keys - 1))] = True
    theirs = onnx(
        "Attention", q.numpy(), k.numpy(), v.numpy(), mask, scale=0.25
    )  # whose root, with which it multiplies both, float32 holds exactly
    assert_same(F.attention(q, k, v, 0.25, mask), theirs)


@modest
@given(steps=st.integers(1, 5), heads=st.integers(1, 3), causal=st.booleans(), seed=seeds)
def test_self_attention(steps: int, heads: int, causal: bool, seed: int) -> None:
    layer = nn.SelfAttention(2 * heads, heads, causal)
    for t in layer.parameters():
        t.data = normal([t.shape], seed)[0].data
    (x,) = normal([(2, steps, 2 * heads)], seed)
    theirs = onnx(
        "Attention",
        *(part(x).numpy() for part in (layer.query, layer.key, layer.value)),
        q_num_heads=heads,
        kv_num_heads=heads,
        is_causal=int(causal),
    )
    assert_same(layer(x), layer.out(Tensor(theirs)).numpy())


@pytest.mark.parametrize("kind, attributes", [(nn.RNN, {}), (nn.GRU, {"linear_before_reset": 1}), (nn.LSTM, {})])
@modest
@given(size=st.tuples(*[st.integers(1, 4)] * 4), seed=seeds)
def test_recurrent_layers(kind: Any, attributes: Any, size: tuple[int, int, int, int], seed: int) -> None:
    n, steps, inputs, features = size
    layer = kind(inputs, features)
    for i, t in enumerate(layer.parameters()):
        t.data = normal([t.shape], seed + i)[0].data
    (x,) = normal([(n, steps, inputs)], seed)
    bias = numpy.concatenate([layer.bias.numpy(), numpy.zeros(layer.bias.shape)])  # ONNX's second bias is beside h U
    weights = (layer.weight.numpy().T[None], layer.state_weight.numpy().T[None], bias[None])
    theirs = onnx(kind.__name__, x.numpy().transpose(1, 0, 2), *weights, hidden_size=features, **attributes)
    assert_same(layer(x), theirs[:, 0].transpose(1, 0, 2))


@modest
@given(n=st.integers(1, 5), classes=st.integers(1, 5), data=st.data(), seed=seeds)
def test_cross_entropy(n: int, classes: int, data: st.DataObject, seed: int) -> None:
    labels = numpy.array(data.draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n)))
    (logits,) = normal([(n, classes)], seed)
    assert_same(F.cross_entropy(logits, labels), onnx("SoftmaxCrossEntropyLoss", logits.numpy(), labels))


@modest
@given(size=st.tuples(*[st.integers(1, 3)] * 4), seed=seeds)
def test_weighted_cross_entropy_of_pixels(size: tuple[int, int, int, int], seed: int) -> None:
    logits, weight = normal([size, size[-1:]], seed)
    weight, labels = F.abs(weight), numpy.random.default_rng(seed).integers(-1, size[-1], size=size[:-1])
    labels.flat[0] = 0
    theirs = onnx("SoftmaxCrossEntropyLoss", first(logits), labels, weight.numpy(), ignore_index=-1)
    assert_same(F.cross_entropy(logits, labels, weight, ignore_index=-1), theirs)


@modest
@given(shape=shapes(1, 3), data=st.data(), seed=seeds)
def test_pad(shape: Shape, data: st.DataObject, seed: int) -> None:
    widths = data.draw(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), min_size=len(shape), max_size=len(shape)))
    (x,) = normal([shape], seed)
    begins_and_ends = numpy.array([before for before, _ in widths] + [after for _, after in widths])
    assert_same(F.pad(x, widths), onnx("Pad", x.numpy(), begins_and_ends))
