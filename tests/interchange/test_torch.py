"""Weights in PyTorch's layout: the printed lines run on modules written from PyTorch's documentation (`torch_by_hand`)."""

import itertools
from pathlib import Path
from typing import Any

import numpy
import pytest
from known_models import FLAGS, LAYERS, opened_run, random_inputs, shaken
from numpy.testing import assert_allclose
from safetensors.numpy import save_file
from torch_by_hand import as_tensor, run_lines

import tinygen as tg
from tinygen import nn
from tinygen.command_line import UsageError
from tinygen.commands.export import networks_of
from tinygen.interchange import from_torch, to_torch, torch_source

Patch = pytest.MonkeyPatch


def in_torch(model: nn.Module, inputs: tuple[Any, ...], folder: Path, monkeypatch: Patch) -> dict[str, Any]:
    """What the printed lines define: `model`, with the weights loaded, and its classes."""
    monkeypatch.chdir(folder)
    save_file(to_torch(model, *inputs), "model.safetensors")
    return run_lines(torch_source(model, "model.safetensors", *inputs), monkeypatch)


def channels_first(x: numpy.ndarray) -> Any:
    return as_tensor(x.transpose(0, 3, 1, 2) if x.ndim == 4 else x)


def assert_both_compute_the_same(model: nn.Module, theirs: Any, inputs: tuple[Any, ...]) -> None:
    arrays = random_inputs(inputs, 3)
    with nn.evaluating(model):
        mine = model(*(tg.tensor(x) if x.dtype == "float32" else x for x in arrays)).numpy()
    other = theirs(*map(channels_first, arrays))
    assert 0.01 < numpy.abs(mine).max() < 100
    assert_allclose(numpy.asarray(other), channels_first(mine), rtol=1e-4, atol=1e-4)  # five layers of float32, in another order


def test_padding_around_a_maximum_is_no_pixel(tmp_path: Path, monkeypatch: Patch) -> None:
    model = nn.Sequential(nn.MaxPool2D(3, 2, padding=((2, 0), (0, 2))))
    theirs = in_torch(model, ((1, 5, 4, 2),), tmp_path, monkeypatch)["model"]
    assert_both_compute_the_same(model, theirs, ((1, 5, 4, 2),))


NO_MODULE = {"cosine attention"}


@pytest.mark.parametrize("name", sorted(set(LAYERS) - NO_MODULE))
def test_layers_go_out_and_come_in(name: str, tmp_path: Path, monkeypatch: Patch) -> None:
    make, example = LAYERS[name]
    tg.manual_seed(0)
    model = nn.Sequential(shaken(make()))
    theirs = in_torch(model, (example,), tmp_path, monkeypatch)["model"]
    assert_both_compute_the_same(model, theirs, (example,))
    if name != "spectral norm":
        state = {key: t + 0.05 * numpy.arange(t.size, dtype="float32").reshape(t.shape) / t.size for key, t in theirs.tensors()}
        state |= {key: 0 * t for key, t in theirs.tensors() if key.endswith(("bias_hh_l0", "in_proj_bias"))}
        theirs.load_state_dict(state)
        from_torch(model, {**state, "0.num_batches_tracked": numpy.int64(3)}, example)
        assert_both_compute_the_same(model, theirs, (example,))


class Judge(nn.Module):
    """A flattened image meets a label and has two heads, as in examples/cgan.py and infogan.py."""

    def __init__(self) -> None:
        self.features = nn.Sequential(nn.Conv2D(2, 3, 3), nn.BatchNorm(3, negative_slope=0.3), nn.Flatten())
        self.embedding, self.heads = nn.Embedding(4, 18), [nn.Dense(18, 2), nn.Sequential(nn.Dense(18, 5), nn.ReLU(), nn.Dense(5, 2))]
        self.scale = nn.Parameter([0.5, 2.0])

    def forward(self, x: tg.Tensor, labels: numpy.ndarray) -> tg.Tensor:
        h = self.features(x)
        return (
            self.heads[0](h) + self.scale * self.heads[1](h * self.embedding(labels)) + (h * self.embedding(labels)).sum(1, keepdims=True)
        )


def test_a_layer_of_two_sequences(tmp_path: Path, monkeypatch: Patch) -> None:
    model, inputs = shaken(nn.CrossAttention(6, 4, 2)), ((1, 3, 6), (1, 5, 4))
    assert_both_compute_the_same(model, in_torch(model, inputs, tmp_path, monkeypatch)["model"], inputs)


def test_a_module_of_one_s_own_lacks_only_its_forward(tmp_path: Path, monkeypatch: Patch) -> None:
    model, inputs = shaken(Judge()), ((1, 4, 5, 2), numpy.arange(4))
    defined = in_torch(model, inputs, tmp_path, monkeypatch)
    with pytest.raises(NotImplementedError, match=r"what the forward of Judge does, for images \(N, C, H, W\)"):
        defined["model"](0, 0)

    def forward(self: Any, x: Any, labels: Any) -> Any:
        h, e, heads = self.features(x), self.embedding(labels), list(self.heads.layers.values())
        return heads[0](h) + self.scale * heads[1](h * e) + (h * e).sum(axis=1, keepdims=True)

    defined["Judge"].forward = forward
    assert_both_compute_the_same(model, defined["model"], inputs)
    other = Judge()
    from_torch(other, dict(defined["model"].tensors()), *inputs)
    assert_both_compute_the_same(other, defined["model"], inputs)


@pytest.mark.parametrize(("example", "flags"), FLAGS, ids=[" ".join([name, *flags]) for name, flags in FLAGS])
def test_the_networks_of_the_examples(example: str, flags: dict[str, Any], tmp_path: Path) -> None:
    """All weights have a place, there and back. The lines say for each network, without PyTorch, what builds it."""
    for network, inputs in networks_of(opened_run(tmp_path / "run", example, flags)).values():
        state, before = to_torch(network, *inputs), network.state_dict()
        compile(torch_source(network, "network.safetensors", *inputs), example, "exec")
        if any(isinstance(part, nn.SpectralNorm) for part in network.modules()):
            continue
        for _, t in network.named_tensors():
            t.data[...] = 0.1
        from_torch(network, state, *inputs)
        after = network.state_dict()
        assert all((after[name] == array).all() for name, array in before.items())


def dcgan(width: int) -> nn.Sequential:
    """The generator of PyTorch's DCGAN tutorial, (N, 1, 1, 100) -> (N, 64, 64, 3)."""
    widths = [100, 8 * width, 4 * width, 2 * width, width]
    layers: list[nn.Module] = []
    for i, (inputs, outputs) in enumerate(itertools.pairwise(widths)):
        stride, padding = (2, 1) if i else (1, 0)
        layers += [nn.ConvTranspose2D(inputs, outputs, 4, stride, padding, bias=False), nn.BatchNorm(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.ConvTranspose2D(width, 3, 4, 2, 1, bias=False), nn.Tanh())


def test_the_dcgan_of_pytorch_s_tutorial(tmp_path: Path, monkeypatch: Patch) -> None:
    state = to_torch(dcgan(64))
    shapes = {name: array.shape for name, array in state.items() if array.ndim == 4}
    places = {"0": (100, 512), "3": (512, 256), "6": (256, 128), "9": (128, 64), "12": (64, 3)}
    assert shapes == {f"{place}.weight": (*channels, 4, 4) for place, channels in places.items()}
    norms = {f"{place}.{name}" for place in (1, 4, 7, 10) for name in ("weight", "bias", "running_mean", "running_var")}
    assert set(state) == norms | set(shapes)
    model = shaken(dcgan(2))
    theirs = in_torch(model, ((1, 1, 1, 100),), tmp_path, monkeypatch)["model"]
    assert_both_compute_the_same(model, theirs, ((1, 1, 1, 100),))


def test_weights_go_out_from_where_they_are_and_come_in_there(device: str) -> None:
    make, example = LAYERS["classifier"]
    model = shaken(make())
    state, before = to_torch(model, example), model.state_dict()
    model.to(device)
    assert all((array == state[name]).all() for name, array in to_torch(model, example).items())
    for _, t in model.named_tensors():
        t.data *= 2
    from_torch(model, state, example)
    assert all(t.device.startswith(device) and (t.numpy() == before[name]).all() for name, t in model.named_tensors())


def test_the_second_bias_is_added() -> None:
    for kind, gates in ((nn.RNN, 1), (nn.LSTM, 4)):
        layer = kind(2, 3)
        state = to_torch(layer)
        once, twice = dict(state), dict(state)
        once["bias_ih_l0"] = numpy.arange(3 * gates, dtype="float32")
        twice["bias_hh_l0"] = once["bias_ih_l0"] - state["bias_ih_l0"]
        results = []
        for given in (once, twice):
            from_torch(layer, given)
            results.append(layer.bias.numpy().copy())
        assert_allclose(results[0], results[1])
    gru = nn.GRU(2, 3)
    state = to_torch(gru)
    state["bias_hh_l0"][:6] = 1
    from_torch(gru, state)
    assert_allclose(gru.bias.numpy(), [1] * 6 + [0] * 3)
    state["bias_hh_l0"][7] = 1
    with pytest.raises(UsageError, match=r"no bias in the place of bias_hh_l0\[6:\], which must be zeros"):
        from_torch(gru, state)


def test_momentum_and_eps_are_said() -> None:
    lines = torch_source(nn.BatchNorm(3, momentum=0.8, eps=1e-3), "norm.safetensors", (1, 4, 4, 3))
    assert "norm = nn.BatchNorm2d(3, eps=0.001, momentum=0.2)\n" in lines
    assert "_2_norms = nn.BatchNorm1d(3)\n" in torch_source(nn.BatchNorm(3), "2 norms.safetensors", (1, 3))


def test_a_norm_divides_the_weight_that_goes_out() -> None:
    layer = nn.SpectralNorm(nn.Dense(3, 3))
    for _ in range(50):
        layer(tg.zeros((2, 3)))
    state = to_torch(layer)
    assert set(state) == {"weight", "bias"}
    assert_allclose(numpy.linalg.norm(state["weight"], 2), 1, rtol=1e-4)
    with pytest.raises(UsageError, match=r"layers\.0 would divide the weights once more"):
        from_torch(nn.Sequential(layer), {})


def test_what_does_not_fit_is_listed_at_once_and_nothing_is_changed() -> None:
    model = nn.Sequential(nn.Conv2D(1, 2, 3), nn.BatchNorm(2))
    before, state = model.state_dict(), to_torch(model)
    state = {"0.weight": state["0.weight"].transpose(2, 3, 1, 0), "1.weight": state["1.weight"] + 1, "2.bias": state["0.bias"]}
    message = "missing 0.bias, 1.bias, 1.running_mean, 1.running_var; unexpected 2.bias; 0.weight is float32 .3, 3, 1, 2. instead of"
    with pytest.raises(ValueError, match=message):
        from_torch(model, state)
    assert all((array == before[name]).all() for name, array in model.state_dict().items())


class Custom(nn.Module):
    def __init__(self, function: Any) -> None:
        self.function, self.layer = function, nn.Dense(3, 2)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        return self.layer(self.function(x))


def test_what_cannot_be_told_is_said(monkeypatch: Patch) -> None:
    flat = nn.Sequential(nn.Conv2D(1, 2, 3), nn.Flatten(), nn.Dense(8, 1))
    for function, arguments in ((to_torch, (flat,)), (from_torch, (flat, {}))):
        with pytest.raises(UsageError, match=rf"{function.__name__}: a flattened image .* the shape of the model's input is needed"):
            function(*arguments)
    assert "1.weight" in to_torch(nn.Sequential(nn.GlobalAvgPool2D(), nn.Dense(2, 2)))
    with pytest.raises(UsageError, match=r"have no place for layers\.0\.scale"):
        to_torch(nn.Sequential(nn.SelfAttention(2, similarity="cosine")))
    with pytest.raises(UsageError, match=r"an image \(2, 2, 2\), .* is flattened, and GetItem makes \(2, 3\) of it"):
        to_torch(Custom(lambda x: x.flatten()[:, :3]), (1, 2, 2, 2))
    with pytest.raises(UsageError, match=r"those of an image \(2, 1, 3\) and of one \(1, 3, 2\)"):
        to_torch(Custom(lambda x: x.flatten()[:, :3] + x.flatten().reshape(-1, 1, 3, 2).mean(axis=(1, 2)).sum()), (1, 2, 1, 3))
    for layer, shape, message in (
        (nn.BatchNorm(2), (1, 3, 2), r"a BatchNorm of sequences \(N, T, C\)"),
        (nn.LayerNorm((3, 2)), (1, 3, 3, 2), "the mean over W and C"),
        (nn.AvgPool2D(2, padding=((0, 1), (0, 0))), (1, 3, 4, 2), "AvgPool2D.* pads one side more"),
    ):
        with pytest.raises(UsageError, match=message):
            torch_source(layer, "layer.safetensors", shape)


def test_the_model_has_the_name_of_its_file(tmp_path: Path) -> None:
    lines = torch_source(nn.Sequential(nn.Dense(2, 1)), str(tmp_path / "my-net.safetensors"), (1, 2))
    assert f'my_net.load_state_dict(load_file("{tmp_path}/my-net.safetensors"))' in lines
