"""The mistakes of a first week: what is written, and the sentence that answers, which names the cure."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from refusals import Refusal, expect

import tinygen as tg
from tinygen import nn, optim
from tinygen.command_line import UsageError
from tinygen.data import to_float
from tinygen.interchange import to_torch, torch_source
from tinygen.report.pictures import grid, save_png
from tinygen.testing import gradcheck

array = numpy.ones((2, 3), "float32")
x = tg.tensor(array, requires_grad=True)
images = tg.ones((4, 28, 28, 1))
arguments = "arguments: float32 (2, 3) on cpu"


class Net(nn.Module):
    def __init__(self) -> None:
        self.layer = nn.Dense(3, 2)


def changed(change: Callable[[Any], Any]) -> Callable[[], Any]:
    return lambda: change(tg.ones((2,), requires_grad=True))


def own_step(w: Any) -> None:
    (w * w).sum().backward()
    w -= 0.1 * w.grad


def own_gradient(w: Any) -> None:
    w.grad = numpy.ones(2)
    optim.SGD([w]).step()


def write_to(w: Any) -> None:
    w[0] = 1.0


def twice(w: Any) -> None:
    y = (w * w).sum()
    y.backward()
    y.backward()


MISTAKES: list[Refusal] = [
    # arrays and numbers
    (lambda: tg.abs(array), TypeError, "abs: x must be a Tensor, got an array float32 (2, 3); make one with tinygen.tensor(...)"),
    (lambda: tg.Tensor([1, 2]), TypeError, "Tensor takes an array, got a list; tinygen.tensor(...) makes one of numbers and lists"),
    (lambda: tg.tensor([[1, 2], [3]]), ValueError, "tensor: all lists of one depth must have one length, got [[1, 2], [3]]"),
    (lambda: tg.zeros(2, 3), TypeError, "zeros: takes the shape as one tuple, zeros((2, 3)), and then the dtype"),
    (lambda: tg.randn(2, 3), TypeError, "randn: takes the shape as one tuple, randn((2, 3)), and then the dtype"),
    (lambda: tg.ones(3.0), TypeError, "ones: shape must be an integer or a tuple of integers, got float 3.0"),
    (lambda: tg.zeros((-1,)), ValueError, "zeros: sizes must be at least 0, got (-1,)"),
    (lambda: tg.zeros((2,), "flaot32"), TypeError, "zeros: dtype must be a dtype such as \"float32\", got 'flaot32'"),
    (lambda: tg.zeros((2,), device="gpu"), ValueError, 'unknown device "gpu": devices are "cpu", "cuda" and "cuda:1", "cuda:2", ...'),
    (lambda: x.to(0), ValueError, 'unknown device "0": devices are "cpu", "cuda" and "cuda:1", "cuda:2", ...'),
    (lambda: 1 if x > 0 else 0, ValueError, "a tensor of shape (2, 3) is neither true nor false; ask x.numpy().all() or x.numpy().any()"),
    (lambda: int(x), ValueError, "item() takes a tensor of one element, this one has shape (2, 3); .tolist() gives them all"),
    (lambda: len(x.sum()), TypeError, "a tensor of shape () has no length and no rows; .item() is its number"),
    (lambda: f"{x:.3f}", ValueError, "the format '.3f' is for one number, this tensor has shape (2, 3); take one, say its .mean()"),
    (
        lambda: numpy.exp(x * 2.0),
        TypeError,
        "NumPy's functions record no gradients, and this tensor of shape (2, 3) is part of a graph; use tinygen's functions, "
        "or take the values with .numpy()",
    ),
    (
        lambda: tg.exp(tg.tensor([1, 2])),
        TypeError,
        "Exp: arguments int64 (2,) on cpu give float64; all of them and the result must have one floating dtype; "
        "convert with .astype('float32')",
    ),
    (lambda: tg.sum(x, dim=1), TypeError, "sum: got an unexpected keyword argument 'dim'; it takes (x, axis, keepdims)"),  # type: ignore[call-arg]
    # shapes
    (lambda: x.reshape(4, 2), ValueError, f"Reshape: 6 elements cannot make the shape (4, 2); {arguments}"),
    (
        lambda: images.transpose(0, 1),
        ValueError,
        "transpose: axes (0, 1) are not a permutation of the 4 axes of shape (4, 28, 28, 1); x.swapaxes(0, 1) exchanges two",
    ),
    (lambda: tg.concatenate(x, x), TypeError, "concatenate: xs must be a list of Tensors, got a Tensor float32 (2, 3); put it in a list"),
    (lambda: tg.max(x, x), TypeError, "max: axis must be an integer, a tuple of integers or None, got a Tensor float32 (2, 3)"),
    (lambda: tg.split(x, 2, axis=1), ValueError, "split: axis 1 of (2, 3) cannot be divided into 2 equal parts"),
    (lambda: x.squeeze(0), ValueError, "squeeze: only axes of size 1 can be dropped, not axis 0 of shape (2, 3)"),
    (lambda: tg.tril(tg.ones(3)), ValueError, "tril: takes matrices (..., n, m), got (3,)"),
    (lambda: tg.zeros((0,)).argmax(), ValueError, "argmax: there is no element in (0,)"),
    (lambda: tg.arange(0, 3, 0), ValueError, "arange: step must not be 0"),
    (lambda: tg.one_hot([0, 3], 3), ValueError, "one_hot: labels from 0 to 3, but 3 classes count from 0 to 2"),
    (lambda: tg.einsum("ij,jk", x), ValueError, 'einsum: "ij,jk" takes 2 operands, got 1'),
    (lambda: tg.einsum("ij,jk", x, x), ValueError, 'einsum: "ij,jk": j is 3 and 2; shapes [(2, 3), (2, 3)]'),
    (
        lambda: tg.einsum("ijk->i", x),
        ValueError,
        'einsum: "ijk->i" does not name the axes of an operand of shape (2, 3), one letter for each',
    ),
    (
        lambda: tg.einsum("ij->ik", x),
        ValueError,
        'einsum: "ij->ik": the result takes letters of the operands, each once, and "..." where they have it',
    ),
    # gradients
    (
        changed(own_step),
        TypeError,
        "this would make a new tensor in the place of a leaf that requires gradients; a step of one's own is "
        "`w.data -= lr * w.grad.data`, an optimiser's is optim.SGD, and for a new tensor write x = x + y",
    ),
    (
        changed(write_to),
        TypeError,
        "a tensor cannot be written to, for a graph may have read it; x.data[...] = y writes outside of any graph",
    ),
    (
        changed(twice),
        ValueError,
        "the graph behind Sum was freed by an earlier backward; keep it there with retain_graph=True, "
        "or leave it out here with h.detach(), where h is what both have in common",
    ),
    (
        lambda: tg.graph(x.sum(), nn.ReLU()),  # type: ignore[arg-type]
        TypeError,
        'graph: names is a dict of tensors and modules, as in names={"model": model}, got ReLU ReLU()',
    ),
    (lambda: tg.graph(x.sum(), {"x": 3}), TypeError, 'graph: names["x"] must be a tensor or a module, got int 3'),
    # layers
    (
        lambda: nn.Conv2D(1, 8, 3)(images.transpose(0, 3, 1, 2)),
        ValueError,
        "conv2d: input has 28 channels but weight (3, 3, 1, 8) takes 1; x is (4, 1, 28, 28), NHWC; "
        "x.transpose(0, 2, 3, 1) makes NHWC of NCHW",
    ),
    (
        lambda: nn.Conv2D(1, 8, 3)(images[0]),
        ValueError,
        "conv2d: input must be (N, H, W, C), got (28, 28, 1); one image is x[None], and images of one channel are x[..., None]",
    ),
    (
        lambda: nn.Conv2D(1, 8, 3)(images.astype("uint8")),
        TypeError,
        "conv2d: input must be floating point, got uint8 (4, 28, 28, 1); tinygen.data.to_float(images, low, high) scales bytes",
    ),
    (
        lambda: nn.Conv2D(1, 8, 3)(images.astype("float64")),
        TypeError,
        "conv2d: input is float64 but weight is float32; convert one with .astype('float32')",
    ),
    (
        lambda: nn.Conv2D(1, 8, 3)(images.numpy()),
        TypeError,
        "Conv2D: x must be a Tensor, got an array float32 (4, 28, 28, 1); make one with tinygen.tensor(...)",
    ),
    (
        lambda: nn.Dense(784, 10)(images),
        ValueError,
        "dense: x (4, 28, 28, 1) must end in the 784 features that weight (784, 10) (in, out) takes; flatten it first",
    ),
    (lambda: nn.Embedding(2, 4)([0, 5]), ValueError, "embedding: labels from 0 to 5, but 2 classes count from 0 to 1"),
    (lambda: Net()(x), NotImplementedError, "Net has no forward; define forward(self, x), which gives the output"),
    (lambda: nn.ReLU()(), TypeError, "ReLU: missing a required argument: 'x'; it takes (x)"),
    # losses and optimisers
    (
        lambda: tg.cross_entropy(x, tg.tensor([0.0, 1.0])),
        TypeError,
        "cross_entropy: labels must be integers, got float32; the classes count from 0, say labels.astype('int64')",
    ),
    (
        lambda: tg.cross_entropy(x, numpy.array([[0, 1, 0], [1, 0, 0]])),
        ValueError,
        "cross_entropy: logits must be (N, ..., classes) and labels (N, ...), got (2, 3) and (2, 3); "
        "labels.argmax(axis=-1) makes labels of one-hot rows",
    ),
    (
        lambda: tg.cross_entropy(x, numpy.array([[0], [1]])),
        ValueError,
        "cross_entropy: logits must be (N, ..., classes) and labels (N, ...), got (2, 3) and (2, 1); labels.reshape(-1) is (N,)",
    ),
    (
        lambda: tg.cross_entropy(x, ()),
        ValueError,
        "cross_entropy: logits must be (N, ..., classes) and labels (N, ...), got (2, 3) and (0,)",
    ),
    (
        lambda: tg.mse_loss(tg.ones((4, 1)), tg.ones((4,))),
        ValueError,
        "mse_loss: the target (4,) does not broadcast to (4, 1); write target.reshape(4, 1)",
    ),
    (
        lambda: tg.binary_cross_entropy_with_logits(tg.ones(2), tg.tensor([0, 1])),
        TypeError,
        "binary_cross_entropy_with_logits: the target is int64, but must be float32; convert it with .astype('float32')",
    ),
    (
        lambda: optim.Adam(Net().parameters),
        TypeError,
        "Adam takes Tensors, got a method; pass model.parameters(), and make two optimisers for two groups",
    ),
    (
        lambda: Net().load_state_dict(Net()),
        TypeError,
        "Module.load_state_dict: state must be a dict, got Net Net( layer: Dense(3 -> 2) ); pass its state_dict()",
    ),
    (lambda: tg.save("w", Net()), TypeError, "save: arrays must be a dict, got Net Net( layer: Dense(3 -> 2) ); pass its state_dict()"),
    (
        changed(own_gradient),
        TypeError,
        "SGD: the gradient of parameter 0 must be a Tensor, got an array float64 (2,); make one with tinygen.tensor(...)",
    ),
    (lambda: nn.init.initialize(Net(), "he"), TypeError, "initialize: initializer must be a function, got str 'he'"),  # type: ignore[arg-type]
    (lambda: Net().train(x), TypeError, "train: takes True or False, got a Tensor float32 (2, 3)"),  # type: ignore[arg-type]
    (lambda: Net().requires_grad_("no"), TypeError, "requires_grad_: takes True or False, got str 'no'"),  # type: ignore[arg-type]
    (lambda: nn.summary(Net()), TypeError, "summary: takes the shape of each input, as in summary(model, (1, 28, 28, 1)), got ()"),
    (lambda: nn.summary(Net(), 3), TypeError, "summary: takes the shape of each input, as in summary(model, (1, 28, 28, 1)), got (3,)"),  # type: ignore[arg-type]
    (
        lambda: torch_source(nn.ReLU(), (1, 28, 28, 1)),  # type: ignore[arg-type]
        TypeError,
        'torch_source: file is the name of the file of the weights, as in (model, "model.safetensors", (1, 28, 28, 1)), '
        "got tuple (1, 28, 28, 1)",
    ),
    (
        lambda: to_torch(nn.Sequential(nn.Dense(784, 1)), "model.safetensors", (1, 784)),  # type: ignore[arg-type]
        UsageError,
        "an input is a shape or an array with one row for each example, got str 'model.safetensors'",
    ),
    (
        lambda: save_png(Path("x.png"), images[0]),  # type: ignore[arg-type]
        TypeError,
        "save_png: takes a uint8 array (H, W, C), got a Tensor; grid(images.numpy()) makes one of images from 0 to 1",
    ),
    (lambda: to_float(array, -1, 1), ValueError, "to_float: images must be a uint8 array, 0 to 255, not float32"),
    (lambda: to_float([0, 255], -1, 1), ValueError, "to_float: images must be a uint8 array, 0 to 255, not a list"),  # type: ignore[arg-type]
    (
        lambda: grid(array),
        TypeError,
        "grid: takes an array (N, H, W, C), got (2, 3); one image is image[None]",
    ),
    (
        lambda: gradcheck(tg.exp(x), x),
        TypeError,
        "gradcheck: takes a function of its inputs, got a Tensor float32 (2, 3); write gradcheck(lambda x: ..., x)",
    ),  # type: ignore[arg-type]
    (
        lambda: gradcheck(tg.exp, array),
        TypeError,
        "gradcheck: input 0 must be a Tensor, got an array float32 (2, 3); make one with tinygen.tensor(...)",
    ),  # type: ignore[arg-type]
    (
        lambda: gradcheck(lambda x: x.data, x.astype("float64")),
        TypeError,
        "gradcheck: the function must give a Tensor, got an array float64 (2, 3)",
    ),
]


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake[2][:40])
def test_is_answered_with_the_cure(mistake: Refusal) -> None:
    expect(mistake)


def test_the_cures_work() -> None:
    """What the sentences tell to write."""
    w = tg.ones((2,), requires_grad=True)
    (w * w).sum().backward()
    assert w.grad is not None
    w.data -= 0.5 * w.grad.data
    assert w.tolist() == [0, 0]
    total = tg.zeros(())
    for _ in range(3):
        total += w.sum() + 1.0
    assert total.item() == 3 and total.requires_grad
    assert images.swapaxes(0, 1).shape == (28, 4, 28, 1)
    assert tg.cross_entropy(x, (0, 2)).item() == tg.cross_entropy(x, numpy.array([0, 2])).item()
    assert ((x > 0) & ~(x > 2) | (x < 0)).numpy().all()
    assert nn.Conv2D(1, 8, 3)(tg.tensor(to_float(images.astype("uint8").numpy(), -1, 1))).shape == (4, 26, 26, 8)
