"""How PyTorch calls each layer, as text.

LAYERS has a function for each layer. One that PyTorch has only in parts stands as several: a
padding of its own where one side is wider (as with "same" and a stride), an activation behind a
batch norm. CLASSES has the text of the modules that PyTorch lacks.
"""

import math
from collections.abc import Callable
from typing import Any

from tinygen_kernels.geometry import resolve_padding, transposed_size

from tinygen import nn
from tinygen.command_line import UsageError
from tinygen.engine.tensor import Shape

Parts = dict[str, str]  # the calls for one layer, by what is appended to its number; the layer itself is ""

DEFAULTS = {
    "stride": 1,
    "padding": 0,
    "output_padding": 0,
    "dilation": 1,
    "groups": 1,
    "padding_mode": "'zeros'",
    "mode": "'nearest'",
    "bias": True,
    "eps": 1e-5,
    "momentum": 0.1,
}

RECURRENT = "RNN", "GRU", "LSTM"

# Modules whose forward takes or returns more in PyTorch than here.
CLASSES = {
    "Recurrent": '''\
class {name}(nn.{name}):
    def forward(self, x, state=None):
        return super().forward(x, state)[0]
''',
    "SelfAttention": '''\
class SelfAttention(nn.MultiheadAttention):
    def forward(self, x):
        return super().forward(x, x, x, need_weights=False)[0]
''',
    "CausalSelfAttention": '''\
class CausalSelfAttention(nn.MultiheadAttention):
    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], x.device)
        return super().forward(x, x, x, need_weights=False, attn_mask=mask)[0]
''',
    "CrossAttention": '''\
class CrossAttention(nn.Module):
    def __init__(self, features, context_features, heads):
        super().__init__()
        self.query = nn.Linear(features, features, bias=False)
        self.key = nn.Linear(context_features, features, bias=False)
        self.value = nn.Linear(context_features, features, bias=False)
        self.out, self.heads = nn.Linear(features, features), heads

    def forward(self, x, context):
        each = self.query(x), self.key(context), self.value(context)
        query, key, value = (t.reshape(len(x), t.shape[1], self.heads, -1).transpose(1, 2) for t in each)
        weights = (query @ key.transpose(2, 3) / query.shape[3] ** 0.5).softmax(dim=3)
        return self.out((weights @ value).transpose(1, 2).reshape(x.shape))
''',
    "SinusoidalEncoding": '''\
class SinusoidalEncoding(nn.Module):
    def __init__(self, features, max_period):
        super().__init__()
        self.features, self.max_period = features, max_period

    def forward(self, t):
        angles = t[..., None] * self.max_period ** (-torch.arange(self.features // 2, device=t.device) * 2 / self.features)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)
''',
    "SinusoidalPosition": '''\
class SinusoidalPosition(nn.Module):
    def forward(self, x):
        frequencies = 10000 ** (-torch.arange(x.shape[2] // 2, device=x.device) * 2 / x.shape[2])
        angles = torch.arange(x.shape[1], device=x.device)[:, None] * frequencies
        return x + torch.cat([angles.sin(), angles.cos()], dim=-1)
''',
    "LearnedPosition": '''\
class LearnedPosition(nn.Module):
    def __init__(self, length, features):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(length, features))

    def forward(self, x):
        return x + self.weight[: x.shape[1]]
''',
    "SelfAttention2D": '''\
class SelfAttention2D(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.query = nn.Conv2d(channels, channels // 8, 1)
        self.key = nn.Conv2d(channels, channels // 8, 1)
        self.value = nn.Conv2d(channels, channels, 1)
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        query, key, value = (layer(x).flatten(2) for layer in (self.query, self.key, self.value))
        weights = (query.transpose(1, 2) @ key).softmax(dim=2)
        return x + self.gamma * (value @ weights.transpose(1, 2)).reshape(x.shape)
''',
    "SequenceConv1d": '''\
class SequenceConv1d(nn.Conv1d):
    def forward(self, x):
        return super().forward(x.transpose(1, 2)).transpose(1, 2)
''',
    "ChannelNorm": '''\
class ChannelNorm(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
''',
    "MinibatchDeviation": '''\
class MinibatchDeviation(nn.Module):
    def forward(self, x):
        s, axis = (x.var(0, correction=0) + 1e-8).sqrt().mean(), 2 if x.ndim == 3 else 1
        return torch.cat([x, s.expand_as(x.narrow(axis, 0, 1))], dim=axis)
''',
    "Residual": '''\
class Residual(nn.Module):
    def __init__(self, layer, shortcut=None):
        super().__init__()
        self.layer, self.shortcut = layer, shortcut

    def forward(self, x):
        return (x if self.shortcut is None else self.shortcut(x)) + self.layer(x)
''',
    "Reshape": '''\
class Reshape(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.shape = shape

    def forward(self, x):
        return x.permute(0, 2, 3, 1).reshape(len(x), *self.shape)
''',
}  # fmt: skip


def call(name: str, *arguments: Any, **options: Any) -> str:
    """The call of a class of torch.nn, or of one of CLASSES. Options that are PyTorch's defaults are left out."""
    words = [_plain(value) for value in arguments]
    words += [f"{key}={_plain(value)}" for key, value in options.items() if _plain(value) != _plain(DEFAULTS.get(key))]
    return f"{name if name in (*CLASSES, *RECURRENT) else 'nn.' + name}({', '.join(words)})"


def _plain(value: Any) -> str:
    """A value as Python writes it; one number for two that are equal."""
    if isinstance(value, tuple) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    return 'float("-inf")' if value == -math.inf else repr(value)


def convolution(layer: nn.Conv2D, shape: Shape) -> Parts:
    (kh, kw, channels, filters), mode = layer.weight.shape, layer.padding_mode
    sides = resolve_padding(layer.padding, (shape[1], shape[2]), (kh, kw), layer.stride, layer.dilation)
    before, padding = _padding_before({"zeros": "ZeroPad2d", "reflect": "ReflectionPad2d", "replicate": "ReplicationPad2d"}[mode], sides)
    options = {"stride": layer.stride, "padding": padding, "dilation": layer.dilation, "groups": layer.groups}
    options |= {"bias": layer.bias is not None, "padding_mode": "zeros" if before else mode}
    return {**before, "": call("Conv2d", channels * layer.groups, filters, (kh, kw), **options)}


def convolution_of_sequences(layer: nn.Conv1D, shape: Shape) -> Parts:
    (size, channels, filters), padding = layer.weight.shape, layer.padding if isinstance(layer.padding, str) else ((0, 0), layer.padding)
    before, after = resolve_padding(padding, (1, shape[1]), (1, size), (1, layer.stride), (1, layer.dilation))[1]
    if before != after:
        raise UsageError(f"PyTorch: {layer.describe()} pads one end more than the other, which no convolution of sequences there does")
    options = {"stride": layer.stride, "padding": before, "dilation": layer.dilation, "groups": layer.groups}
    return {"": call("SequenceConv1d", channels * layer.groups, filters, size, **options, bias=layer.bias is not None)}


def _padding_before(name: str, sides: Any, *value: float) -> tuple[Parts, tuple[int, int]]:
    """A layer that pads, where the sides differ, and what is left for the layer itself."""
    (top, bottom), (left, right) = sides
    if top == bottom and left == right:
        return {}, (top, left)
    return {"_padding": call(name, (left, right, top, bottom), *value)}, (0, 0)


def transposed_convolution(layer: nn.ConvTranspose2D, shape: Shape) -> Parts:
    """PyTorch crops as much at the end as at the beginning; a negative padding crops what is left."""
    kh, kw, filters, channels = layer.weight.shape
    size, sides = transposed_size((shape[1], shape[2]), (kh, kw), layer.stride, layer.padding, layer.output_padding, None, layer.dilation)
    padding = min(sides[0]), min(sides[1])
    whole = [(shape[1 + i] - 1) * layer.stride[i] + ((kh, kw)[i] - 1) * layer.dilation[i] + 1 for i in range(2)]
    extra = tuple(max(0, size[i] + sides[i][0] + padding[i] - whole[i]) for i in range(2))
    options = {
        "stride": layer.stride,
        "padding": padding,
        "output_padding": extra,
        "bias": layer.bias is not None,
        "dilation": layer.dilation,
    }
    parts = {"": call("ConvTranspose2d", channels, filters, (kh, kw), **options)}
    before = [sides[i][0] - padding[i] for i in range(2)]
    after = [whole[i] - 2 * padding[i] + extra[i] - before[i] - size[i] for i in range(2)]
    return {**parts, "_crop": call("ZeroPad2d", (-before[1], -after[1], -before[0], -after[0]))} if any(before + after) else parts


def pooling(layer: Any, shape: Shape) -> Parts:
    sides = resolve_padding(layer.padding, (shape[1], shape[2]), layer.kernel_size, layer.stride, (1, 1))
    if isinstance(layer, nn.MaxPool2D):
        before, padding = _padding_before("ConstantPad2d", sides, float("-inf"))
        return {**before, "": call("MaxPool2d", layer.kernel_size, layer.stride, padding=padding)}
    before, padding = _padding_before("ZeroPad2d", sides)
    if before:
        raise UsageError(f"PyTorch: {layer.describe()} pads one side more than the other, and no mean there leaves such a padding out")
    return {"": call("AvgPool2d", layer.kernel_size, layer.stride, padding=padding, count_include_pad=False)}


def batch_norm(layer: nn.BatchNorm, shape: Shape) -> Parts:
    if len(shape) == 3:
        raise UsageError("PyTorch: a BatchNorm of sequences (N, T, C) has no module there, which would take (N, C, T)")
    kind = "BatchNorm2d" if len(shape) == 4 else "BatchNorm1d"
    norm = call(kind, layer.gamma.size, eps=layer.eps, momentum=round(1 - layer.momentum, 12))
    return {"": norm} if layer.negative_slope == 1 else {"": norm, "_activation": call("LeakyReLU", layer.negative_slope)}


def layer_norm(layer: nn.LayerNorm, shape: Shape) -> Parts:
    sizes = layer.gamma.shape
    if len(shape) == 4 and len(sizes) == 2:
        raise UsageError(f"PyTorch: {layer.describe()} of images (N, H, W, C) takes the mean over W and C, which no module there does")
    name = "ChannelNorm" if len(shape) == 4 and len(sizes) == 1 else "LayerNorm"
    return {"": call(name, (sizes[2], *sizes[:2]) if len(sizes) == 3 else sizes[0], eps=layer.eps)}


def group_norm(layer: nn.GroupNorm, shape: Shape) -> Parts:
    if len(shape) == 3:
        raise UsageError(f"PyTorch: {layer.describe()} of sequences (N, T, C) has no module there, which would take (N, C, T)")
    return {"": call("GroupNorm", layer.groups, layer.gamma.size, eps=layer.eps)}


def of_one_s_own(layer: nn.Lambda, shape: Shape) -> Parts:
    raise UsageError(f"PyTorch: {layer.describe()} is a function of your own, which no module there computes; write a Module in its place")


def reshape(layer: nn.Reshape, shape: Shape) -> Parts:
    if len(shape) == 4:
        return {"": call("Reshape", *layer.shape)}
    if len(layer.shape) == 3:
        rows, columns, channels = layer.shape
        return {"": call("Unflatten", 1, (channels, rows, columns))}
    return {"": f"nn.Sequential(nn.Flatten(), {call('Unflatten', 1, layer.shape)})"}


def recurrent(layer: Any, shape: Shape) -> Parts:
    return {"": call(type(layer).__name__, layer.in_features, layer.features, batch_first=True)}


def attention(layer: nn.SelfAttention, shape: Shape) -> Parts:
    name = "CausalSelfAttention" if layer.causal else "SelfAttention"
    return {"": call(name, layer.features, layer.heads, batch_first=True)}


LAYERS: dict[type[nn.Module], Callable[[Any, Shape], Parts]] = {
    nn.Dense: lambda layer, _: {"": call("Linear", *layer.weight.shape, bias=layer.bias is not None)},
    nn.Conv2D: convolution,
    nn.Conv1D: convolution_of_sequences,
    nn.ConvTranspose2D: transposed_convolution,
    nn.BatchNorm: batch_norm,
    nn.LayerNorm: layer_norm,
    nn.GroupNorm: group_norm,
    nn.MinibatchDeviation: lambda layer, _: {"": call("MinibatchDeviation")},
    nn.Embedding: lambda layer, _: {"": call("Embedding", *layer.weight.shape)},
    nn.RNN: recurrent,
    nn.GRU: recurrent,
    nn.LSTM: recurrent,
    nn.SelfAttention: attention,
    nn.CrossAttention: lambda layer, _: {"": call("CrossAttention", layer.features, layer.context_features, layer.heads)},
    nn.SinusoidalEncoding: lambda layer, _: {"": call("SinusoidalEncoding", layer.features, layer.max_period)},
    nn.SinusoidalPosition: lambda layer, _: {"": call("SinusoidalPosition")},
    nn.LearnedPosition: lambda layer, _: {"": call("LearnedPosition", *layer.weight.shape)},
    nn.SelfAttention2D: lambda layer, _: {"": call("SelfAttention2D", layer.channels)},
    nn.MaxPool2D: pooling,
    nn.AvgPool2D: pooling,
    nn.GlobalAvgPool2D: lambda layer, _: {"": "nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())"},
    nn.Upsample2D: lambda layer, _: {"": call("Upsample", scale_factor=layer.factor, mode=layer.mode)},
    nn.PixelShuffle: lambda layer, _: {"": call("PixelShuffle", layer.factor)},
    nn.Flatten: lambda layer, _: {"": call("Flatten")},
    nn.Reshape: reshape,
    nn.Dropout: lambda layer, _: {"": call("Dropout", layer.p)},
    nn.ReLU: lambda layer, _: {"": call("ReLU")},
    nn.LeakyReLU: lambda layer, _: {"": call("LeakyReLU", layer.negative_slope)},
    nn.Tanh: lambda layer, _: {"": call("Tanh")},
    nn.Sigmoid: lambda layer, _: {"": call("Sigmoid")},
    nn.Softplus: lambda layer, _: {"": call("Softplus")},
    nn.ELU: lambda layer, _: {"": call("ELU", layer.alpha)},
    nn.PReLU: lambda layer, _: {"": call("PReLU", layer.slope.size)},
    nn.SiLU: lambda layer, _: {"": call("SiLU")},
    nn.GELU: lambda layer, _: {"": call("GELU", approximate="tanh")},
    nn.Identity: lambda layer, _: {"": call("Identity")},
    nn.Lambda: of_one_s_own,
}
