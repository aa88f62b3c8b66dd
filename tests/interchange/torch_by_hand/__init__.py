"""The modules of torch.nn as their documentation defines them, in NumPy and single operators of ONNX, to run the lines of `torch_source`.

Images are (N, C, H, W). A tensor of a module is whatever attribute is an array; `load_state_dict`
is strict.
"""

import types
from typing import Any

import numpy
import pytest

from tinygen.saving import checkpoint
from torch_by_hand.layers import (
    BatchNorm1d,
    BatchNorm2d,
    Conv1d,
    Conv2d,
    ConvTranspose2d,
    Embedding,
    GroupNorm,
    LayerNorm,
    Linear,
    PReLU,
)
from torch_by_hand.module import Function, Module, ModuleList, Sequential
from torch_by_hand.sequences import GRU, LSTM, RNN, MultiheadAttention, Transformer
from torch_by_hand.stateless import AvgPool2d, Pool, elsewhere_constant, gelu, pad2d, pixel_shuffle, unflatten, upsample
from torch_by_hand.tensor import as_tensor, sigmoid, zeros

NN = types.SimpleNamespace(
    Module=Module, Sequential=Sequential, ModuleList=ModuleList, Linear=Linear, Conv1d=Conv1d,
    Conv2d=Conv2d, ConvTranspose2d=ConvTranspose2d,
    BatchNorm1d=BatchNorm1d, BatchNorm2d=BatchNorm2d, LayerNorm=LayerNorm, GroupNorm=GroupNorm,
    Embedding=Embedding, RNN=RNN, GRU=GRU, LSTM=LSTM,
    MultiheadAttention=MultiheadAttention, Transformer=Transformer, MaxPool2d=Pool, AvgPool2d=AvgPool2d,
    AdaptiveAvgPool2d=lambda size: Function(lambda x: x.mean(axis=(2, 3), keepdims=True)),
    Upsample=upsample, PixelShuffle=pixel_shuffle, ReflectionPad2d=pad2d("reflect"), ReplicationPad2d=pad2d("edge"),
    Flatten=lambda: Function(lambda x: x.reshape(len(x), -1)), Unflatten=unflatten,
    Dropout=lambda p: Function(lambda x: x), ReLU=lambda: Function(lambda x: numpy.maximum(x, 0)),
    LeakyReLU=lambda slope: Function(lambda x: numpy.where(x > 0, x, slope * x)),
    Tanh=lambda: Function(numpy.tanh), Sigmoid=lambda: Function(sigmoid), SiLU=lambda: Function(lambda x: x * sigmoid(x)), GELU=gelu,
    Softplus=lambda: Function(lambda x: numpy.log1p(numpy.exp(x))), Identity=lambda: Function(lambda x: x),
    ELU=lambda alpha: Function(lambda x: numpy.where(x > 0, x, alpha * (numpy.exp(x) - 1))), PReLU=PReLU,
    ZeroPad2d=elsewhere_constant, ConstantPad2d=elsewhere_constant, Parameter=lambda t: t,
)  # fmt: skip


def run_lines(lines: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names that the lines define, with these modules in the place of torch.nn."""
    torch: Any = types.ModuleType("torch")
    torch.nn, torch.zeros, torch.arange = NN, zeros, lambda n, device=None: as_tensor(numpy.arange(n))
    torch.cat = lambda parts, dim: as_tensor(numpy.concatenate(parts, dim))
    files: Any = types.ModuleType("safetensors.torch")
    files.load_file = lambda path: checkpoint.load(path)[0]
    monkeypatch.setitem(__import__("sys").modules, "torch", torch)
    monkeypatch.setitem(__import__("sys").modules, "safetensors.torch", files)
    names: dict[str, Any] = {}
    exec(lines, names)
    return names
