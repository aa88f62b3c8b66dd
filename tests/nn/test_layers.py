"""What must hold for every layer, said once and asked of every row of a table; then what is particular to a few."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tinygen.functional as F
from tinygen import Tensor, grad, manual_seed, nn
from tinygen.engine.tensor import Shape
from tinygen.testing import gradcheck_module, labels, random_tensor, tensors

modest = settings(deadline=None, max_examples=5)
seeds = st.integers(0, 2**32 - 1)
AFFINE = {"gamma": (3,), "beta": (3,)}
RUNNING = {"running_mean": (3,), "running_var": (3,)}


@dataclass(frozen=True)
class Row:
    """A layer, the text that describes it, the function that it is, the shapes that go in and come out, and those of its tensors.

    `labels` says how many labels there are where those go in instead of numbers.
    """

    make: Callable[[], nn.Module]
    text: str
    function: Callable[..., Tensor]
    takes: Shape
    gives: Shape
    parameters: dict[str, Shape] = field(default_factory=dict)
    buffers: dict[str, Shape] = field(default_factory=dict)
    labels: int = 0

    def __str__(self) -> str:
        return self.text

    def layer(self, seed: int = 0, dtype: str = "float32", device: str = "cpu") -> nn.Module:
        """The layer, with tensors that differ from each other; they are positive, as variances must be."""
        layer, rng = self.make(), numpy.random.default_rng(seed)
        for _, t in layer.named_tensors():
            t.data = random_tensor(t.shape, rng, 0.5, 1.5, dtype).data
        return layer.to(device)

    def input(self, seed: int = 0, dtype: str = "float32", device: str = "cpu") -> Tensor:
        if self.labels:
            return F.tensor(numpy.random.default_rng(seed).integers(self.labels, size=self.takes), device=device)
        return F.tensor(random_tensor(self.takes, numpy.random.default_rng(seed), dtype=dtype), device=device, requires_grad=True)


def spectral_dense(m: nn.SpectralNorm, x: Tensor) -> Tensor:
    return F.dense(x, m.layer.weight / m.sigma(), m.layer.bias)


def crossed(m: Any, x: Tensor, context: Tensor, scale: Tensor | None = None, mask: Any = None) -> Tensor:
    """With two heads: that of features 0 and 1, and that of 2 and 3."""
    query, key, value = (F.stack([t[..., :2], t[..., 2:]], axis=1) for t in (m.query(x), m.key(context), m.value(context)))
    if scale is not None:
        query, key = (t / F.sqrt((t * t).sum(axis=-1, keepdims=True) + 1e-12) for t in (query, key))
    y = F.attention(query, key, value, scale, mask)
    return m.out(F.concatenate([y[:, 0], y[:, 1]], axis=-1))


def attended(m: nn.SelfAttention, x: Tensor) -> Tensor:
    return crossed(m, x, x, m.scale, numpy.tri(x.shape[1], dtype=bool) if m.causal else None)


def attended_2d(m: nn.SelfAttention2D, x: Tensor) -> Tensor:
    query, key, value = (part(x).reshape(len(x), -1, channels) for part, channels in ((m.query, 1), (m.key, 1), (m.value, 8)))
    return x + m.gamma * F.attention(query, key, value, scale=1.0).reshape(x.shape)


def by_steps(m: Any, x: Tensor) -> Tensor:
    states = [m.start(len(x))]
    for t in range(x.shape[1]):
        states.append(m.step(x[:, t], states[-1]))
    return F.stack([state[0] for state in states[1:]], axis=1)


def coloured(m: nn.DifferentiableAugment, x: Tensor) -> Tensor:
    """The brightness, then the saturation, then the contrast of each image by a random number of its own."""
    if not m.training:
        return x
    u, v, w = (F.rand((len(x), 1, 1, 1), x.dtype, x.device) for _ in range(3))
    x = x + (u - 0.5)
    grey = x.mean(axis=3, keepdims=True)
    x = grey + 2.0 * v * (x - grey)
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    return mean + (w + 0.5) * (x - mean)


class OfItsParts(nn.Module):
    """A layer of two sequences, the second of which is a part of the first."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x, x[:, 1:, :2])


PROJECTIONS = {"query.weight": (4, 4), "key.weight": (4, 4), "value.weight": (4, 4), "out.weight": (4, 4), "out.bias": (4,)}
ROWS = [
    Row(
        lambda: nn.Dense(3, 2),
        "Dense(3 -> 2)",
        lambda m, x: F.dense(x, m.weight, m.bias),
        (4, 5, 3),
        (4, 5, 2),
        {"weight": (3, 2), "bias": (2,)},
    ),
    Row(lambda: nn.Dense(3, 2, bias=False), "Dense(3 -> 2, no bias)", lambda m, x: x @ m.weight, (4, 3), (4, 2), {"weight": (3, 2)}),
    Row(
        lambda: nn.Conv2D(2, 3, 3),
        "Conv2D(2 -> 3, 3x3, stride 1, padding 0)",
        lambda m, x: F.conv2d(x, m.weight, m.bias),
        (2, 5, 4, 2),
        (2, 3, 2, 3),
        {"weight": (3, 3, 2, 3), "bias": (3,)},
    ),
    Row(
        lambda: nn.Conv2D(2, 1, (2, 3), (2, 1), "same", dilation=(1, 2), bias=False),
        "Conv2D(2 -> 1, 2x3, stride (2, 1), padding same, dilation (1, 2), no bias)",
        lambda m, x: F.conv2d(x, m.weight, None, (2, 1), "same", (1, 2)),
        (1, 5, 6, 2),
        (1, 3, 6, 1),
        {"weight": (2, 3, 2, 1)},
    ),
    Row(
        lambda: nn.Conv2D(4, 2, 3, padding=1, groups=2, padding_mode="reflect"),
        "Conv2D(4 -> 2, 3x3, stride 1, padding 1 reflect, groups 2)",
        lambda m, x: F.conv2d(F.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], "reflect"), m.weight, m.bias, groups=2),
        (1, 2, 3, 4),
        (1, 2, 3, 2),
        {"weight": (3, 3, 2, 2), "bias": (2,)},
    ),
    Row(
        lambda: nn.Conv1D(2, 4, 3, 2, "same", 2, 2, bias=False),
        "Conv1D(2 -> 4, 3, stride 2, padding same, dilation 2, groups 2, no bias)",
        lambda m, x: F.conv1d(x, m.weight, None, 2, "same", 2, 2),
        (1, 5, 2),
        (1, 3, 4),
        {"weight": (3, 1, 4)},
    ),
    Row(
        lambda: nn.ConvTranspose2D(1, 2, 2, bias=False, dilation=2),
        "ConvTranspose2D(1 -> 2, 2x2, stride 1, padding 0, dilation 2, no bias)",
        lambda m, x: F.conv_transpose2d(x, m.weight, dilation=2),
        (1, 2, 1, 1),
        (1, 4, 3, 2),
        {"weight": (2, 2, 2, 1)},
    ),
    Row(
        lambda: nn.ConvTranspose2D(3, 2, 4, stride=2, padding="same"),
        "ConvTranspose2D(3 -> 2, 4x4, stride 2, padding same)",
        lambda m, x: F.conv_transpose2d(x, m.weight, m.bias, 2, "same"),
        (2, 3, 2, 3),
        (2, 6, 4, 2),
        {"weight": (4, 4, 2, 3), "bias": (2,)},
    ),
    Row(
        lambda: nn.ConvTranspose2D(1, 2, 3, (3, 2), (1, 0), output_padding=(2, 1), bias=False),
        "ConvTranspose2D(1 -> 2, 3x3, stride (3, 2), padding (1, 0), output_padding (2, 1), no bias)",
        lambda m, x: F.conv_transpose2d(x, m.weight, None, (3, 2), (1, 0), (2, 1)),
        (1, 2, 3, 1),
        (1, 6, 8, 2),
        {"weight": (3, 3, 2, 1)},
    ),
    Row(
        lambda: nn.Embedding(5, 3),
        "Embedding(5 -> 3)",
        lambda m, x: F.embedding(m.weight, x),
        (4, 2),
        (4, 2, 3),
        {"weight": (5, 3)},
        labels=5,
    ),
    Row(
        lambda: nn.SpectralNorm(nn.Dense(3, 2)),
        "SpectralNorm()",
        spectral_dense,
        (4, 3),
        (4, 2),
        {"layer.weight": (3, 2), "layer.bias": (2,)},
        {"u": (2,)},
    ),
    Row(lambda: nn.SelfAttention(4, 2), "SelfAttention(4, heads 2)", attended, (2, 3, 4), (2, 3, 4), PROJECTIONS),
    Row(
        lambda: nn.SelfAttention(4, 2, causal=True, similarity="cosine"),
        "SelfAttention(4, heads 2, causal, cosine)",
        attended,
        (2, 3, 4),
        (2, 3, 4),
        {**PROJECTIONS, "scale": (2, 1, 1)},
    ),
    Row(
        lambda: OfItsParts(nn.CrossAttention(4, 2, 2)),
        "OfItsParts()",
        lambda m, x: crossed(m.layer, x, x[:, 1:, :2]),
        (2, 3, 4),
        (2, 3, 4),
        {f"layer.{name}": (2, 4) if name in ("key.weight", "value.weight") else size for name, size in PROJECTIONS.items()},
    ),
    Row(
        lambda: nn.SelfAttention2D(8),
        "SelfAttention2D(8)",
        attended_2d,
        (2, 2, 3, 8),
        (2, 2, 3, 8),
        {
            **{"query.weight": (1, 1, 8, 1), "query.bias": (1,), "key.weight": (1, 1, 8, 1), "key.bias": (1,)},
            **{"value.weight": (1, 1, 8, 8), "value.bias": (8,), "gamma": (1,)},
        },
    ),
    Row(lambda: nn.RNN(2, 3), "RNN(2 -> 3)", by_steps, (2, 4, 2), (2, 4, 3), {"weight": (2, 3), "state_weight": (3, 3), "bias": (3,)}),
    Row(lambda: nn.GRU(2, 3), "GRU(2 -> 3)", by_steps, (2, 4, 2), (2, 4, 3), {"weight": (2, 9), "state_weight": (3, 9), "bias": (9,)}),
    Row(lambda: nn.LSTM(2, 3), "LSTM(2 -> 3)", by_steps, (2, 4, 2), (2, 4, 3), {"weight": (2, 12), "state_weight": (3, 12), "bias": (12,)}),
    Row(
        lambda: nn.BatchNorm(3, momentum=0.5, eps=0.1),
        "BatchNorm(3)",
        lambda m, x: F.batch_norm(x, m.gamma, m.beta, m.running_mean, m.running_var, m.training, eps=0.1),
        (4, 2, 3, 3),
        (4, 2, 3, 3),
        AFFINE,
        RUNNING,
    ),
    Row(
        lambda: nn.BatchNorm(3, negative_slope=0.3),
        "BatchNorm(3, negative_slope 0.3)",
        lambda m, x: F.leaky_relu(F.batch_norm(x, m.gamma, m.beta, m.running_mean, m.running_var, m.training), 0.3),
        (4, 2, 3, 3),
        (4, 2, 3, 3),
        AFFINE,
        RUNNING,
    ),
    Row(lambda: nn.LayerNorm(3, eps=0.1), "LayerNorm(3)", lambda m, x: F.layer_norm(x, m.gamma, m.beta, 0.1), (4, 3), (4, 3), AFFINE),
    Row(
        lambda: nn.LayerNorm((2, 3)),
        "LayerNorm(2, 3)",
        lambda m, x: F.layer_norm(x, m.gamma, m.beta),
        (4, 2, 3),
        (4, 2, 3),
        {"gamma": (2, 3), "beta": (2, 3)},
    ),
    Row(
        lambda: nn.GroupNorm(1, 3, eps=0.1),
        "GroupNorm(1, 3)",
        lambda m, x: F.group_norm(x, m.gamma, m.beta, 1, 0.1),
        (2, 2, 2, 3),
        (2, 2, 2, 3),
        AFFINE,
    ),
    Row(lambda: nn.InstanceNorm(3), "InstanceNorm(3)", lambda m, x: F.instance_norm(x, m.gamma, m.beta), (2, 4, 3), (2, 4, 3), AFFINE),
    Row(nn.Identity, "Identity()", lambda m, x: x, (3, 4), (3, 4)),
    Row(lambda: nn.Lambda(F.sin), "Lambda(sin)", lambda m, x: F.sin(x), (3, 4), (3, 4)),
    Row(
        lambda: nn.Residual(nn.Dense(3, 3, bias=False)),
        "Residual()",
        lambda m, x: x + x @ m.layer.weight,
        (2, 3),
        (2, 3),
        {"layer.weight": (3, 3)},
    ),
    Row(
        lambda: nn.Residual(nn.Dense(3, 2), nn.Dense(3, 2, bias=False)),
        "Residual()",
        lambda m, x: x @ m.shortcut.weight + (x @ m.layer.weight + m.layer.bias),
        (2, 3),
        (2, 2),
        {"layer.weight": (3, 2), "layer.bias": (2,), "shortcut.weight": (3, 2)},
    ),
    Row(nn.ReLU, "ReLU()", lambda m, x: F.relu(x), (3, 4), (3, 4)),
    Row(nn.LeakyReLU, "LeakyReLU(0.2)", lambda m, x: F.leaky_relu(x, 0.2), (3, 4), (3, 4)),
    Row(lambda: nn.LeakyReLU(0.3), "LeakyReLU(0.3)", lambda m, x: F.leaky_relu(x, 0.3), (3, 4), (3, 4)),
    Row(nn.Tanh, "Tanh()", lambda m, x: F.tanh(x), (3, 4), (3, 4)),
    Row(nn.Sigmoid, "Sigmoid()", lambda m, x: F.sigmoid(x), (3, 4), (3, 4)),
    Row(nn.Softplus, "Softplus()", lambda m, x: F.softplus(x), (3, 4), (3, 4)),
    Row(lambda: nn.ELU(0.5), "ELU(0.5)", lambda m, x: F.elu(x, 0.5), (3, 4), (3, 4)),
    Row(lambda: nn.PReLU(4), "PReLU(4)", lambda m, x: F.prelu(x, m.slope), (3, 4), (3, 4), {"slope": (4,)}),
    Row(
        lambda: nn.SinusoidalEncoding(4, 100.0),
        "SinusoidalEncoding(4)",
        lambda m, t: F.sinusoidal_encoding(t, 4, 100.0),
        (3,),
        (3, 4),
    ),
    Row(
        nn.SinusoidalPosition,
        "SinusoidalPosition()",
        lambda m, x: x + F.sinusoidal_encoding(F.arange(3.0, dtype=x.dtype, device=x.device), 4),
        (2, 3, 4),
        (2, 3, 4),
    ),
    Row(
        lambda: nn.LearnedPosition(5, 4),
        "LearnedPosition(5, 4)",
        lambda m, x: x + m.weight[:3],
        (2, 3, 4),
        (2, 3, 4),
        {"weight": (5, 4)},
    ),
    Row(nn.SiLU, "SiLU()", lambda m, x: F.silu(x), (3, 4), (3, 4)),
    Row(nn.GELU, "GELU()", lambda m, x: F.gelu(x), (3, 4), (3, 4)),
    Row(lambda: nn.Dropout(0.4), "Dropout(0.4)", lambda m, x: F.dropout(x, 0.4, m.training), (3, 4), (3, 4)),
    Row(lambda: nn.MaxPool2D(2), "MaxPool2D(2x2)", lambda m, x: F.max_pool2d(x, 2), (2, 5, 4, 3), (2, 2, 2, 3)),
    Row(
        lambda: nn.MaxPool2D(3, 2, 1),
        "MaxPool2D(3x3, stride 2, padding 1)",
        lambda m, x: F.max_pool2d(x, 3, 2, 1),
        (1, 5, 4, 3),
        (1, 3, 2, 3),
    ),
    Row(
        lambda: nn.AvgPool2D((2, 3), (1, 2), "same"),
        "AvgPool2D(2x3, stride (1, 2), padding same)",
        lambda m, x: F.avg_pool2d(x, (2, 3), (1, 2), "same"),
        (1, 3, 5, 2),
        (1, 3, 3, 2),
    ),
    Row(lambda: nn.DifferentiableAugment(["colour"]), "DifferentiableAugment(colour)", coloured, (2, 3, 4, 3), (2, 3, 4, 3)),
    Row(nn.GlobalAvgPool2D, "GlobalAvgPool2D()", lambda m, x: F.global_avg_pool2d(x), (2, 3, 4, 5), (2, 5)),
    Row(nn.Upsample2D, "Upsample2D(2x2)", lambda m, x: F.upsample2d(x, 2), (1, 2, 3, 2), (1, 4, 6, 2)),
    Row(lambda: nn.Upsample2D((1, 3)), "Upsample2D(1x3)", lambda m, x: F.upsample2d(x, (1, 3)), (1, 2, 3, 2), (1, 2, 9, 2)),
    Row(
        lambda: nn.Upsample2D(2, "bilinear"),
        "Upsample2D(2x2, bilinear)",
        lambda m, x: F.upsample2d(x, 2, "bilinear"),
        (1, 2, 2, 2),
        (1, 4, 4, 2),
    ),
    Row(lambda: nn.PixelShuffle(2), "PixelShuffle(2)", lambda m, x: F.pixel_shuffle(x, 2), (1, 2, 3, 8), (1, 4, 6, 2)),
    Row(nn.Flatten, "Flatten()", lambda m, x: F.flatten(x), (2, 3, 4, 5), (2, 60)),
    Row(lambda: nn.Reshape((3, -1, 2)), "Reshape(3, -1, 2)", lambda m, x: x.reshape(2, 3, 4, 2), (2, 24), (2, 3, 4, 2)),
    Row(lambda: nn.Reshape(3, -1, 2), "Reshape(3, -1, 2)", lambda m, x: x.reshape(2, 3, 4, 2), (2, 24), (2, 3, 4, 2)),
]
every_layer = pytest.mark.parametrize("row", ROWS, ids=str)


def test_the_table_covers_every_layer() -> None:
    layers = {kind for kind in vars(nn).values() if isinstance(kind, type) and issubclass(kind, nn.Module)}
    made = [row.make() for row in ROWS]
    assert {type(layer.layer if isinstance(layer, OfItsParts) else layer) for layer in made} == layers - {nn.Module, nn.Sequential}


@every_layer
def test_its_text(row: Row) -> None:
    layer = row.make()
    parts = [f"\n{name}: {part!r}".replace("\n", "\n  ") for name, part in layer.children()]
    assert layer.describe() == row.text
    assert repr(layer) == (f"{type(layer).__name__}({''.join(parts)}\n)" if parts else row.text)


@every_layer
def test_its_tensors_come_by_name_in_the_order_of_definition(row: Row) -> None:
    layer = row.make()
    assert [(name, t.shape) for name, t in layer.named_parameters()] == list(row.parameters.items())
    assert [(name, t.shape) for name, t in layer.named_buffers()] == list(row.buffers.items())
    assert {t.dtype for _, t in layer.named_tensors()} <= {numpy.dtype("float32")}


@every_layer
@pytest.mark.parametrize("training", [True, False])
def test_it_is_its_function(row: Row, training: bool, device: str) -> None:
    layer, x = row.layer(device=device).train(training), row.input(device=device)
    manual_seed(1)
    expected = row.function(layer, x)
    manual_seed(1)
    y = layer(x)
    assert y.shape == row.gives and y.device == x.device
    # cuBLAS adds in another order where a layer makes one product of a sequence's steps.
    tolerance = 0 if device == "cpu" else 1e-5
    assert_allclose(y.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance)


@every_layer
def test_float32_stays_float32(row: Row) -> None:
    layer, x = row.layer(), row.input()
    y = layer(x)
    inputs = [t for t in [x, *layer.parameters()] if t.requires_grad]
    assert {t.dtype for t in [y, *grad(y.sum(), inputs)]} == {numpy.dtype("float32")}
    assert {t.dtype for _, t in layer.named_tensors()} <= {numpy.dtype("float32")}


@pytest.mark.parametrize(
    ("make", "takes", "gives"),
    [
        (lambda: nn.Dense(3, 4), (0, 3), (0, 4)),
        (lambda: nn.Conv2D(12, 4, 3), (0, 5, 5, 12), (0, 3, 3, 4)),
        (lambda: nn.ConvTranspose2D(2, 3, 4, 2, 1), (0, 5, 5, 2), (0, 10, 10, 3)),
        (lambda: nn.LSTM(3, 4), (0, 2, 3), (0, 2, 4)),
    ],
    ids=["Dense", "Conv2D", "ConvTranspose2D", "LSTM"],
)
def test_no_examples_at_all(make: Callable[[], nn.Module], takes: Shape, gives: Shape, device: str) -> None:
    """A mask may choose none."""
    x = F.zeros(takes, device=device, requires_grad=True)
    layer = make().to(device)
    y = layer(x)
    assert y.shape == gives
    found = grad(y.sum(), [x, *layer.parameters()])
    assert [g.shape for g in found] == [t.shape for t in [x, *layer.parameters()]]
    assert not any(g.numpy().any() for g in found)


def test_an_output_size_chooses_among_those_that_a_stride_takes_to_one() -> None:
    layer, x = nn.ConvTranspose2D(2, 1, 3, stride=2, padding="same"), F.ones((1, 3, 3, 2))
    assert [layer(x, output_size=size).shape[1:3] for size in (5, (6, 5))] == [(5, 5), (6, 5)]
    assert_array_equal(layer(x, output_size=6).numpy(), layer(x).numpy())


@every_layer
@modest
@given(data=st.data(), seed=seeds, training=st.booleans())
def test_its_gradients(row: Row, data: st.DataObject, seed: int, training: bool) -> None:
    layer = row.layer(seed).train(training)
    before = layer.state_dict()
    gradcheck_module(layer, data.draw(labels(row.labels, row.takes) if row.labels else tensors(row.takes)), seed=seed)
    for name, array in layer.state_dict().items():
        assert array.dtype == before[name].dtype
        assert_array_equal(array, before[name])


@every_layer
@modest
@given(one=seeds, other=seeds)
def test_its_state_makes_another_the_same(row: Row, one: int, other: int) -> None:
    layer, twin, x = row.layer(one).eval(), row.layer(other).eval(), row.input()
    twin.load_state_dict(layer.state_dict())
    assert twin.state_dict().keys() == {*row.parameters, *row.buffers}
    assert_array_equal(twin(x).numpy(), layer(x).numpy())


@every_layer
def test_outside_training_it_stays_the_same(row: Row) -> None:
    layer, x = row.layer().eval(), row.input()
    before = layer.state_dict()
    assert_array_equal(layer(x).numpy(), layer(x).numpy())
    for name, array in layer.state_dict().items():
        assert_array_equal(array, before[name])


one_image = "; one image is x[None], and images of one channel are x[..., None]"


@pytest.mark.parametrize(
    ("layer", "shape", "said"),
    [
        (nn.Dense(3, 4), (2, 5), "Dense(3 -> 4): dense: x (2, 5) must end in the 3 features that weight (3, 4) (in, out) takes"),
        (
            nn.Conv2D(3, 8, 3, padding=1),
            (2, 5, 5, 1),
            "Conv2D(3 -> 8, 3x3, stride 1, padding 1): conv2d: "
            "input has 1 channels but weight (3, 3, 3, 8) takes 3; x is (2, 5, 5, 1), NHWC",
        ),
        (
            nn.Conv2D(1, 8, 3),
            (5, 5, 1),
            "Conv2D(1 -> 8, 3x3, stride 1, padding 0): conv2d: input must be (N, H, W, C), got (5, 5, 1)" + one_image,
        ),
        (
            nn.ConvTranspose2D(3, 8, 3),
            (2, 5, 5, 1),
            "ConvTranspose2D(3 -> 8, 3x3, stride 1, padding 0): conv_transpose2d: "
            "input has 1 channels but weight (3, 3, 8, 3) takes 3; x is (2, 5, 5, 1), NHWC",
        ),
        (nn.BatchNorm(3), (2, 5), "BatchNorm(3): batch_norm: gamma has shape (3,) but x (2, 5) has 5 channels"),
        (nn.BatchNorm(3), (1, 3), "BatchNorm(3): batch_norm: training needs more than one value per channel, x is (1, 3)"),
        (nn.LayerNorm((2, 3)), (4, 3, 3), "LayerNorm(2, 3): layer_norm: x (4, 3, 3) must end in the shape of gamma (2, 3) and beta (2, 3)"),
        (nn.GroupNorm(2, 4), (2, 5), "GroupNorm(2, 4): group_norm: x (2, 5) must be (N, ..., C), gamma (4,) and beta (4,) (C,)"),
        (nn.GroupNorm(2, 2), (3, 2), "GroupNorm(2, 2): group_norm: a group needs more than one value, x is (3, 2) and groups 2"),
        (
            nn.Residual(nn.Dense(3, 1)),
            (2, 3),
            "Residual(): Residual: the layer turns (2, 3) into (2, 1), which (2, 3) cannot be added to; "
            "give a shortcut, such as a 1x1 convolution",
        ),
        (nn.LearnedPosition(2, 3), (1, 4, 3), "LearnedPosition(2, 3): LearnedPosition: the input has 4 steps, but only 2 have a code"),
        (
            nn.SinusoidalPosition(),
            (2, 3),
            "SinusoidalPosition(): SinusoidalPosition: input must be (N, T, features), got (2, 3)",
        ),
        (nn.MaxPool2D(2), (2, 5), "MaxPool2D(2x2): max_pool2d: input must be (N, H, W, C), got (2, 5)"),
        (nn.AvgPool2D(2), (2, 5), "AvgPool2D(2x2): avg_pool2d: input must be (N, H, W, C), got (2, 5)"),
        (nn.AvgPool2D(2, stride=0), (2, 5, 5, 1), "AvgPool2D(2x2, stride 0): stride must be at least 1, got (0, 0)"),
        (
            nn.Embedding(5, 3),
            (2,),
            "Embedding(5 -> 3): embedding: labels must be integers, got float32; the classes count from 0, say labels.astype('int64')",
        ),
        (nn.SelfAttention(4), (2, 3), "SelfAttention(4, heads 1): input must be (N, T, 4) with T at least 1, got (2, 3)"),
        (nn.GRU(4, 3), (2, 0, 4), "GRU(4 -> 3): input must be (N, T, 4) with T at least 1, got (2, 0, 4)"),
        (nn.GlobalAvgPool2D(), (2, 3, 4), "GlobalAvgPool2D(): global_avg_pool2d: input must be (N, H, W, C), got (2, 3, 4)" + one_image),
        (nn.Upsample2D(), (2, 3, 4), "Upsample2D(2x2): upsample2d: input must be (N, H, W, C), got (2, 3, 4)" + one_image),
    ],
    ids=lambda value: value.describe() if isinstance(value, nn.Module) else None,
)
def test_an_input_it_cannot_take_is_refused_by_name(layer: nn.Module, shape: Shape, said: str) -> None:
    with pytest.raises((TypeError, ValueError)) as refusal:
        layer(F.zeros(shape))
    assert f"{layer.describe()}: {refusal.value}" == said
    assert refusal.value.__notes__ == [f"in {layer.describe()}"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Dense(0, 3), "Dense: in_features must be an integer of at least 1, got 0"),
        (lambda: nn.Conv2D(1, 2, 0), "Conv2D: kernel_size must be an integer of at least 1, got 0"),
        (lambda: nn.Conv2D(1, 2, 2.5), "kernel_size is an integer or a pair of integers (rows, columns), not 2.5"),
        (
            lambda: nn.SpectralNorm(nn.ReLU()),
            "SpectralNorm: takes a layer whose forward takes a weight, as that of Dense does, not ReLU()",
        ),
        (
            lambda: nn.SpectralNorm(nn.GRU(2, 3)),
            "SpectralNorm: takes a layer whose forward takes a weight, as that of Dense does, not GRU(2 -> 3)",
        ),
        (lambda: nn.SelfAttention(6, 4), "SelfAttention: 6 features cannot be divided among 4 heads"),
        (lambda: nn.SelfAttention(6, similarity="l2"), 'SelfAttention: similarity must be "dot" or "cosine", got \'l2\''),
        (
            lambda: nn.SelfAttention2D(7),
            "SelfAttention2D: channels must be at least 8, since queries and keys have an eighth of them, got 7",
        ),
        (lambda: nn.SpectralNorm(None), "SpectralNorm: takes a layer whose forward takes a weight, as that of Dense does, not None"),
        (lambda: nn.Dense("3", 2), "Dense: in_features must be an integer of at least 1, got '3'"),
        (lambda: nn.Conv2D(1, 2.5, 3), "Conv2D: out_channels must be an integer of at least 1, got 2.5"),
        (lambda: nn.ConvTranspose2D((1,), 2, 3), "ConvTranspose2D: in_channels must be an integer of at least 1, got (1,)"),
        (lambda: nn.GRU(2, None), "GRU: features must be an integer of at least 1, got None"),
        (lambda: nn.Embedding(0, 2), "Embedding: num_embeddings must be an integer of at least 1, got 0"),
        (lambda: nn.BatchNorm([3]), "BatchNorm: channels must be an integer of at least 1, got [3]"),
        (lambda: nn.BatchNorm(3, momentum=1.5), "BatchNorm: momentum must be from 0 to 1, got 1.5"),
        (lambda: nn.LayerNorm((3, 0)), "LayerNorm: shape must be an integer of at least 1, got 0"),
        (lambda: nn.CrossAttention(6, 3, 4), "CrossAttention: 6 features cannot be divided among 4 heads"),
        (lambda: nn.SinusoidalEncoding(3), "SinusoidalEncoding: features must be even, a sine and a cosine for each frequency, got 3"),
        (lambda: nn.Conv2D(4, 6, 3, groups=4), "Conv2D: 4 and 6 channels cannot both be divided into 4 groups"),
        (lambda: nn.Conv2D(4, 6, 3, padding_mode="wrap"), 'Conv2D: padding_mode must be "zeros", "reflect" or "replicate", got \'wrap\''),
        (lambda: nn.Upsample2D(2, "cubic"), 'Upsample2D: mode must be "nearest" or "bilinear", got \'cubic\''),
        (lambda: nn.GroupNorm(3, 8), "GroupNorm: 8 channels cannot be divided into 3 groups"),
        (lambda: nn.InstanceNorm(0), "InstanceNorm: groups must be an integer of at least 1, got 0"),
        (lambda: nn.SelfAttention2D("8"), "SelfAttention2D: channels must be an integer of at least 1, got '8'"),
        (lambda: nn.init.glorot((3,)), "a weight has at least two axes, (..., in, out), got the shape (3,)"),
        (lambda: nn.Dropout(None), "Dropout: p must be at least 0 and below 1, got None"),
        (lambda: nn.Dropout(1.0), "Dropout: p must be at least 0 and below 1, got 1.0"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(make: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        make()
    assert str(refusal.value) == said


@modest
@given(p=st.floats(0, 0.95), seed=seeds)
def test_dropout_is_the_identity_outside_training(p: float, seed: int) -> None:
    x = nn.Dropout(p).eval()(Tensor(numpy.random.default_rng(seed).standard_normal((5, 5))))
    assert_array_equal(x.numpy(), numpy.random.default_rng(seed).standard_normal((5, 5)))


class TestRunningStatistics:
    @modest
    @given(batches=st.lists(tensors((4, 2, 3), dtype="float32"), min_size=1, max_size=4), momentum=st.floats(0, 0.99))
    def test_move_towards_those_of_each_batch(self, batches: list[Tensor], momentum: float) -> None:
        layer, mean, var = nn.BatchNorm(3, momentum), numpy.zeros(3), numpy.ones(3)
        held = layer.running_mean, layer.running_var, layer.running_mean.data, layer.running_var.data
        for x in batches:
            layer(x).sum().backward()
            mean = momentum * mean + (1 - momentum) * x.numpy().astype("float64").mean((0, 1))
            var = momentum * var + (1 - momentum) * x.numpy().astype("float64").var((0, 1))
        assert_allclose(layer.running_mean.numpy(), mean, rtol=1e-5, atol=1e-6)
        assert_allclose(layer.running_var.numpy(), var, rtol=1e-5)
        now = layer.running_mean, layer.running_var, layer.running_mean.data, layer.running_var.data
        assert all(a is b for a, b in zip(now, held, strict=True))
        assert all(t.node is None and not t.requires_grad and t.grad is None for t in held[:2])

    def test_become_those_of_the_data_and_serve_outside_training(self) -> None:
        layer, data = nn.BatchNorm(2), numpy.random.default_rng(0).normal([3, -1], [0.5, 4], (64, 2)).astype("float32")
        for _ in range(200):  # 0.9^200 is 7e-10
            layer(Tensor(data))
        assert_allclose(layer.running_mean.numpy(), data.mean(0), rtol=1e-4)
        assert_allclose(layer.running_var.numpy(), data.var(0), rtol=1e-4)
        one = layer.eval()(Tensor(data[:1])).numpy()
        assert_allclose(one, (data[:1] - data.mean(0)) / numpy.sqrt(data.var(0) + 1e-5), rtol=1e-3)
