"""ONNX files against two programs by others that run them: onnx.reference and onnxruntime."""

import importlib
import inspect
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import onnx
import onnxruntime
import pytest
from known_models import FLAGS, LAYERS, opened_run, random_inputs, shaken
from numpy.testing import assert_allclose
from onnx.reference import ReferenceEvaluator

import tinygen as tg
from tinygen import functional, nn
from tinygen.command_line import UsageError
from tinygen.commands.export import calls_of
from tinygen.engine.function import Function
from tinygen.engine.fused import Fused
from tinygen.interchange import to_onnx
from tinygen.interchange.onnx import TABLE
from tinygen.interchange.trace import module_of

Inputs = dict[str, numpy.ndarray]


def by_reference(path: Path, inputs: Inputs) -> Any:
    return ReferenceEvaluator(str(path)).run(None, inputs)


def by_runtime(path: Path, inputs: Inputs) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options).run(None, inputs)


def assert_the_file_computes_the_same(
    call: Callable[..., Any], path: Path, *inputs: Any, by: tuple[Callable[..., Any], ...] = (by_reference, by_runtime)
) -> onnx.ModelProto:
    """For one example and for four, which is neither of the numbers that the file was written from."""
    to_onnx(call, path, *inputs)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    for n in (1, 4):
        arrays = random_inputs(inputs, n)
        with nn.evaluating(module_of(call)):
            ours = call(*(tg.tensor(x) if x.dtype == "float32" else x for x in arrays))
        for run in by:
            theirs = run(path, dict(zip([x.name for x in model.graph.input], arrays, strict=True)))
            for mine, other in zip(ours if isinstance(ours, tuple) else (ours,), theirs, strict=True):
                assert mine.shape == other.shape
                size = numpy.abs(mine.numpy()).max()
                assert 0.001 < size < 100
                assert_allclose(other, mine.numpy(), rtol=1e-5, atol=1e-5 * max(0.1, size))
    return model


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name: str, tmp_path: Path) -> None:
    make, example = LAYERS[name]
    tg.manual_seed(0)
    assert_the_file_computes_the_same(shaken(make()), tmp_path / "model.onnx", example)


def test_a_layer_of_two_sequences(tmp_path: Path) -> None:
    assert_the_file_computes_the_same(shaken(nn.CrossAttention(6, 4, 2)), tmp_path / "model.onnx", (1, 3, 6), (1, 5, 4))


def test_a_model_is_written_from_where_it_is(device: str, tmp_path: Path) -> None:
    make, example = LAYERS["spectral norm"]
    tg.manual_seed(0)
    model = make()
    to_onnx(model, tmp_path / "host", example)
    to_onnx(model.to(device), tmp_path / "device", example)
    host, there = (onnx.load(tmp_path / name).graph for name in ("host", "device"))
    assert [node.op_type for node in host.node] == [node.op_type for node in there.node]
    for one, other in zip(host.initializer, there.initializer, strict=True):
        assert_allclose(*map(onnx.numpy_helper.to_array, (one, other)), rtol=1e-5)
    to_onnx(nn.Embedding(5, 3).to(device), tmp_path / "labels", LAYERS["embedding"][1])
    assert "labels" in onnx.load(tmp_path / "labels").graph.node[0].input


def test_padding_around_a_maximum_is_no_pixel(tmp_path: Path) -> None:
    """The reference evaluator takes the sides in another order than the standard's."""
    model = nn.MaxPool2D(3, 2, padding=((1, 0), (0, 2)))
    assert_the_file_computes_the_same(model, tmp_path / "model.onnx", (1, 5, 4, 2), by=(by_runtime,))


class Computes(nn.Module):
    """A function as a model."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def forward(self, x: tg.Tensor) -> Any:
        return self.function(x)


MASK = numpy.arange(12).reshape(3, 4) % 3 == 0

FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "operators": lambda x: (2 - x) / (1.5 + x * x) + (-x) ** 2 - 3 * x,
    "powers": lambda x: tg.exp(-(x**2)) + tg.log(x * x + 1) + tg.sqrt(x * x + 2.0) + 2.0**x,
    "trigonometry": lambda x: tg.sin(x) * tg.cos(x) + tg.sign(x),
    "selection": lambda x: tg.maximum(x, 0.5) + tg.minimum(x, x * 2) + tg.where(MASK, x, 0.0),
    "straight through": lambda x: tg.straight_through(tg.sign(x), x),
    "activations": lambda x: tg.softplus(x) + tg.softmax(x, axis=1) + tg.log_softmax(x),
    "reductions": lambda x: (x.sum(axis=(1, 2)), x.max(axis=-1), x.min(axis=1, keepdims=True), tg.logsumexp(x, axis=2), x.cumsum(axis=1)),
    "over the batch": lambda x: x - x.mean(axis=0) / (x.var() + 1),
    "sums of all": lambda x: (x * 1.0 / x.sum(), x * len(x)),
    "slices": lambda x: x[:, 1:, ::-2] + x[:, -1, None, 0:1] + x[..., 2, 3, None, None],
    "gathers": lambda x: (x[:, numpy.array([[2, 0], [1, 1]])], x[..., None, 1:, numpy.array([1, 3])]),
    "shapes": lambda x: (x.transpose(0, 2, 1).reshape(-1, 6), x.reshape(len(x) * 2, 6), x.reshape(len(x) * 4, -1).reshape(len(x), 12)),
    "joined": lambda x: tg.concatenate([x, tg.pad(x, [(0, 0), (1, 0), (0, 0)]), tg.zeros((len(x), 1, 4)) + 2], axis=1),
    "stacked": lambda x: tg.stack([x, x * 2], axis=1).broadcast_to((3, len(x), 2, 3, 4)),
    "products": lambda x: (x @ x.transpose(0, 2, 1), tg.einsum("nij,nkj->nik", x, x)),
    "itself": lambda x: (x, x.detach() + x, tg.ones((3,)), tg.ones((2 * len(x), 3))),
    "a recurrence of its own": lambda x: tg.functional.gru(x.swapaxes(0, 1) @ tg.ones((4, 9)), tg.ones((3, 9)) * 0.2, x[:, 0, :3]).swapaxes(
        0, 1
    ),
    "moved": lambda x: x.to("cpu").astype("float64").astype("float32"),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str, tmp_path: Path) -> None:
    assert_the_file_computes_the_same(Computes(FUNCTIONS[name]), tmp_path / "model.onnx", (1, 3, 4))


def test_every_function_has_a_rule_or_a_reason() -> None:
    gradients = {"ScatterFunction", "MaxPool2DScatterFunction", "MaxPool2DGatherFunction", "AvgPool2DDataFunction", "Conv2DWeightFunction"}
    training = {"DropoutFunction", "LeakyReLUGradientFunction", "SharedMeanFunction"}
    modules = [importlib.import_module(f"tinygen.functional.{part.name}") for part in pkgutil.iter_modules(functional.__path__)]
    kinds = {kind for module in modules for _, kind in inspect.getmembers(module, inspect.isclass) if issubclass(kind, Function)}
    missing = {kind.__name__ for kind in kinds - set(TABLE) if not issubclass(kind, Fused)} - {"Function"}
    assert missing == gradients | training | {"RollFunction"}


def test_the_nearest_code_is_not_in_a_graph(tmp_path: Path) -> None:
    network, inputs = calls_of(opened_run(tmp_path / "run", "vqvae", {}))["model"]
    with pytest.raises(UsageError, match="by a comparison; write it in tinygen's functions, or export a part"):
        to_onnx(network, tmp_path / "model.onnx", *inputs)


WRITTEN = [(name, flags) for name, flags in FLAGS if name != "vqvae"]


@pytest.mark.parametrize(("example", "flags"), WRITTEN, ids=[" ".join([name, *flags]) for name, flags in WRITTEN])
def test_the_networks_of_the_examples(example: str, flags: dict[str, Any], tmp_path: Path) -> None:
    for name, (call, inputs) in calls_of(opened_run(tmp_path / "run", example, flags)).items():
        assert_the_file_computes_the_same(call, tmp_path / f"{name}.onnx", *inputs, by=(by_runtime,))


def test_the_model_stays_as_it_was(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Embedding(3, 2), nn.Dropout(0.5), nn.SpectralNorm(nn.Dense(2, 2)))
    model[0].requires_grad_(False)
    model[1].eval()
    before = model.state_dict()
    to_onnx(model, tmp_path / "model.onnx", numpy.array([0, 2]))
    assert [p.requires_grad for p in model.parameters()] == [False, True, True]
    assert [layer.training for layer in model] == [True, False, True]
    assert all((array == before[name]).all() for name, array in model.state_dict().items())


def test_weights_have_their_names_and_equal_models_equal_files(tmp_path: Path) -> None:
    tg.manual_seed(0)
    model = nn.Sequential(nn.Conv2D(1, 2, 3), nn.Conv2D(2, 2, 1))
    for name in "ab":
        to_onnx(model, tmp_path / name, (1, 4, 4, 1))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    constants = {proto.name: tuple(proto.dims) for proto in onnx.load(tmp_path / "a").graph.initializer}
    shapes = {"layers.0.weight": (2, 1, 3, 3), "layers.0.bias": (2,), "layers.1.weight": (2, 2, 1, 1), "layers.1.bias": (2,)}
    assert constants == shapes


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no rule": (lambda x: tg.functional.roll(x, 1), "there is no rule for the function Roll"),
    "random": (lambda x: x + tg.randn(x.shape), r"an array of shape \(2, 3\) changes from call to call .* random numbers"),
    "NumPy": (lambda x: x * tg.tensor(x.numpy().sum(axis=1, keepdims=True)), r"an array of shape \(2, 1\) changes .* by NumPy"),
    "a number read": (lambda x: x * x.sum().item(), "a number that is .* for 2 examples and .* for 3"),
    "a comparison": (lambda x: tg.where(x > 0, x, 0.0), r"an array of shape \(2, 3\) changes .* by a comparison"),
    "a branch": (lambda x: x.exp() if len(x) > 2 else x, "other functions for three examples"),
    "the size squared": (lambda x: x.reshape(1, 1, -1).broadcast_to((len(x) ** 2, 1, x.size)), "a shape that is .* for 2 examples"),
    "the last but N": (lambda x: x.reshape(-1)[len(x) :], "an index depends on the number of examples"),
    "a mask": (lambda x: x[:, numpy.array([True, False, True])], "an index by a mask"),
    "a number": (lambda x: 3, "must return a Tensor, .* not a int"),
    "nothing": (lambda x: (), "must return a Tensor, .* not a dict"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_graph_cannot_say(name: str, tmp_path: Path) -> None:
    function, message = REFUSED[name]
    with pytest.raises(UsageError, match=message):
        to_onnx(Computes(function), tmp_path / "model.onnx", (1, 3))
    assert not list(tmp_path.iterdir())


def test_wrong_arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(UsageError, match=r"two different numbers at least, .* all are 0"):
        to_onnx(nn.Embedding(3, 2), path, numpy.zeros(2, int))
    with pytest.raises(UsageError, match=r"one row for each example, got an array int64 \(\)"):
        to_onnx(nn.Embedding(3, 2), path, numpy.array(1))
    with pytest.raises(TypeError, match=r"a Module or a method of one, .*, got a function"):
        to_onnx(lambda x: x, path, (1, 2))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"needs the package onnx, .*: pip install 'tinygen\[export\]'"):
        to_onnx(nn.ReLU(), path, (1, 2))
