"""All layers in one table: text, function, shapes and tensors of each. A new layer is a new row."""

import pytest
from layer_functions import attended, attended_2d, by_steps, coloured, crossed, spectral_dense
from layer_row import Row

import tinygen.functional as F
from tinygen import Tensor, nn

AFFINE = {"gamma": (3,), "beta": (3,)}
RUNNING = {"running_mean": (3,), "running_var": (3,)}


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
    Row(nn.MinibatchDeviation, "MinibatchDeviation()", lambda m, x: F.minibatch_deviation(x), (4, 2, 2, 3), (4, 2, 2, 4)),
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
