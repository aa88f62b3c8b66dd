"""Layers, optimisers and the engine's functions refuse an argument of a wrong type in one sentence, or do what is meant."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wrong_arguments import ARRAY, try_each

import tinygen as tg
from tinygen import Tensor, nn, optim

x, w = tg.tensor(ARRAY, requires_grad=True), nn.Parameter(ARRAY)
images, sequences = tg.ones((2, 4, 4, 8)), tg.ones((2, 3, 4))

# The arguments of each layer's constructor, and an input or a tuple of them.
LAYERS: dict[type[nn.Module], tuple[tuple[Any, ...], Any]] = {
    nn.AvgPool2D: ((2, 2, 0), images),
    nn.BatchNorm: ((8, 0.9, 1e-5, 1.0), images),
    nn.Conv1D: ((4, 2, 3, 1, (2, 0), 1, 2, True), sequences),
    nn.Conv2D: ((8, 2, 3, 1, 1, 1, 2, True, "reflect"), images),
    nn.ConvTranspose2D: ((8, 2, 3, 2, 1, 1, True, 1), images),
    nn.CrossAttention: ((8, 4, 2), (tg.ones((2, 3, 8)), sequences)),
    nn.Dense: ((3, 2, True), x),
    nn.DifferentiableAugment: ((("colour", "translation"),), images),
    nn.Dropout: ((0.5,), x),
    nn.ELU: ((1.0,), x),
    nn.Embedding: ((4, 2), [1, 2]),
    nn.Flatten: ((), images),
    nn.GlobalAvgPool2D: ((), images),
    nn.GELU: ((), x),
    nn.GroupNorm: ((2, 8, 1e-5), images),
    nn.GRU: ((4, 2), sequences),
    nn.Identity: ((), x),
    nn.InstanceNorm: ((8, 1e-5), images),
    nn.Lambda: ((tg.exp,), x),
    nn.LayerNorm: ((8, 1e-5), images),
    nn.LearnedPosition: ((3, 4), sequences),
    nn.LeakyReLU: ((0.2,), x),
    nn.LSTM: ((4, 2), sequences),
    nn.MaxPool2D: ((2, 2, 0), images),
    nn.MinibatchDeviation: ((), images),
    nn.PixelShuffle: ((2,), images),
    nn.PReLU: ((3, 0.25), x),
    nn.ReLU: ((), x),
    nn.Reshape: ((3,), x),
    nn.Residual: ((nn.Dense(3, 2), nn.Dense(3, 2)), x),
    nn.RNN: ((4, 2), sequences),
    nn.SelfAttention: ((4, 2, True, "dot"), sequences),
    nn.SelfAttention2D: ((8,), images),
    nn.Sequential: ((nn.ReLU(), nn.Tanh()), x),
    nn.Sigmoid: ((), x),
    nn.SiLU: ((), x),
    nn.SinusoidalEncoding: ((4, 100.0), x),
    nn.SinusoidalPosition: ((), sequences),
    nn.Softplus: ((), x),
    nn.SpectralNorm: ((nn.Dense(3, 2),), x),
    nn.Tanh: ((), x),
    nn.Upsample2D: ((2, "bilinear"), images),
}


def trained() -> nn.Parameter:
    weight = nn.Parameter(ARRAY)
    weight.grad = tg.ones_like(weight)
    return weight


def steps(optimizer: type[optim.Optimizer]) -> Callable[..., None]:
    return lambda *arguments: optimizer(*arguments).step()


def step_with(gradient: Any) -> None:
    weight = trained()
    weight.grad = gradient
    optim.SGD([weight], 0.1).step()


def clip_with(gradient: Any) -> None:
    weight = trained()
    weight.grad = gradient
    optim.clip_grad_norm([weight], 1.0)


OTHERS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "SGD": (steps(optim.SGD), ([trained()], 0.1, 0.9, True)),
    "Adam": (steps(optim.Adam), ([trained()], 0.1, (0.9, 0.99), 1e-8)),
    "AdamW": (steps(optim.AdamW), ([trained()], 0.1, (0.9, 0.99), 1e-8, 0.1)),
    "RMSprop": (steps(optim.RMSprop), ([trained()], 0.1, 0.9, 1e-8)),
    "minimize": (lambda loss: optim.SGD([w], 0.1).minimize(loss), ((w * 2.0).sum(),)),
    "clip_grad_norm": (optim.clip_grad_norm, ([trained()], 1.0)),
    "a gradient of one's own": (step_with, (tg.ones((2, 3)),)),
    "a gradient of one's own, clipped": (clip_with, (tg.ones((2, 3)),)),
    "Adam.load_state_dict": (lambda state: optim.Adam([w]).load_state_dict(state), (optim.Adam([w]).state_dict(),)),
    "grad": (tg.grad, ((x * x).sum(), x, None, False, True)),
    "backward": (lambda *arguments: (x * 2.0).sum().backward(*arguments), (None, False, None, False)),
    "Tensor": (lambda *arguments: repr(Tensor(*arguments)), (ARRAY, False)),
    "Parameter": (lambda data: nn.Parameter(data) * 2.0, (ARRAY,)),
    "Buffer": (lambda data: nn.Buffer(data) * 2.0, (ARRAY,)),
    "manual_seed": (tg.manual_seed, (0,)),
    "set_random_state": (tg.set_random_state, (tg.random_state(),)),
    "summary": (nn.summary, (nn.Dense(3, 2), (1, 3))),
    "evaluating": (lambda model: nn.evaluating(model).__enter__(), (nn.ReLU(),)),
    "listening": (lambda listener: tg.listening(listener), (tg.Listener(),)),
    "Module.to": (nn.Dense(3, 2).to, ("cpu",)),
    "train": (nn.Dense(3, 2).train, (True,)),
    "requires_grad_": (nn.Dense(3, 2).requires_grad_, (True,)),
    "glorot": (nn.init.glorot, ((2, 3),)),
    "he": (nn.init.he, ((2, 3),)),
    "normal": (nn.init.normal, ((2, 3), 0.02)),
    "orthogonal": (nn.init.orthogonal, ((2, 3),)),
    "initialize": (nn.init.initialize, (nn.Dense(3, 2), nn.init.he)),
    "load_state_dict": (nn.Dense(3, 2).load_state_dict, (nn.Dense(3, 2).state_dict(),)),
}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer.__name__)
def test_layers(layer: type[nn.Module]) -> None:
    arguments, given = LAYERS[layer]
    inputs = given if isinstance(given, tuple) else (given,)
    layer(*arguments)(*inputs)
    try_each(lambda *arguments: layer(*arguments)(*inputs), arguments, {})
    try_each(layer(*arguments), inputs, {})


def test_every_layer_is_among_them() -> None:
    named = {value for value in vars(nn).values() if isinstance(value, type) and issubclass(value, nn.Module)}
    assert named - {nn.Module} == set(LAYERS)


@pytest.mark.parametrize("name", OTHERS)
def test_everything_else(name: str) -> None:
    function, arguments = OTHERS[name]
    function(*arguments)
    try_each(function, arguments, {})


def test_saving_and_loading(tmp_path: Path) -> None:
    arguments = tmp_path / "weights", {"w": ARRAY}, {"from": "a test"}
    tg.save(*arguments)
    try_each(tg.load, arguments[:1], {})
    try_each(lambda *others: tg.save(arguments[0], *others), arguments[1:], {})


def test_the_sentence_names_the_argument_and_the_layer() -> None:
    with pytest.raises(TypeError) as caught:
        nn.Sequential(nn.GRU(4, 2))([1.0, 2.0])
    assert str(caught.value) == "Sequential: x must be a Tensor, got list [1.0, 2.0]; make one with tinygen.tensor(...)"
    with pytest.raises(TypeError) as caught:
        nn.GRU(4, 2)(sequences, ARRAY)
    assert str(caught.value) == "GRU: state must be a tuple of Tensors or None, got an array float32 (2, 3)"
