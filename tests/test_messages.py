"""What a user reads when something is wrong: one sentence, with the function's name and the numbers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest

import tinygen
import tinygen.functional as F
from tinygen import Function, Tensor, detect_anomaly, grad, tensor

a, b = F.ones((2, 3), requires_grad=True), F.ones((4,), requires_grad=True)
double = F.ones((2, 3), "float64", requires_grad=True)
raw = numpy.ones((2, 3), "float32")
image = F.ones((1, 4, 4, 1))
weight = F.ones((3, 3, 1, 2))
one_dtype = "all of them and the result must have one floating dtype"
make_one = "make it a Tensor with tinygen.tensor(...)"
keep_or_detach = "keep it there with retain_graph=True, or leave it out here with h.detach(), where h is what both have in common"
both_on_cpu = "float32 (2, 3) on cpu, float32 (4,) on cpu"


class Double(Function):
    """y = 2x with whatever gradient it is told to give."""

    def __init__(self, gradient: Any) -> None:
        self.gradient = gradient

    def forward(self, x: numpy.ndarray) -> numpy.ndarray:
        return 2 * x

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Any:
        return self.gradient


class TensorsInForward(Double):
    def forward(self, x: numpy.ndarray) -> Any:
        return F.exp(x)  # type: ignore[arg-type]


class TensorFromForward(Double):
    def forward(self, x: numpy.ndarray) -> Any:
        return F.exp(Tensor(x))


class ForgetsTheOutput(Double):
    def backward(self, g: Tensor, x: Tensor) -> Any:  # type: ignore[override]
        return g


class NumpyInBackward(Double):
    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Any:
        return g * numpy.exp(x)  # type: ignore[operator]


class Plain(Function):
    """Without parameters."""


def freed() -> Tensor:
    y = (a * a).sum()
    grad(y, a)
    return grad(y, a)


REFUSED: list[tuple[Callable[[], Any], type[Exception], str]] = [
    # operands
    (lambda: a + raw, TypeError, f"Add takes Tensors and Python numbers, got an array of shape (2, 3); {make_one}"),
    (lambda: raw * a, TypeError, f"Mul takes Tensors and Python numbers, got an array of shape (2, 3); {make_one}"),
    (lambda: a - [1.0], TypeError, f"Sub takes Tensors and Python numbers, got list [1.0]; {make_one}"),
    (lambda: a * b, ValueError, f"Mul: operands could not be broadcast together with shapes (2,3) (4,) ; arguments: {both_on_cpu}"),
    (lambda: a + double, TypeError, f"Add: arguments float32 (2, 3) on cpu, float64 (2, 3) on cpu; {one_dtype}"),
    (lambda: a + tensor([1, 2, 3]), TypeError, f"Add: arguments float32 (2, 3) on cpu, int64 (3,) on cpu; {one_dtype}"),
    (lambda: a @ b, ValueError, "matmul: (2, 3) @ (4,): the last axis of the first and the last but one of the second must agree"),
    (lambda: a[2], IndexError, "GetItem: index 2 is out of bounds for axis 0 with size 2; arguments: float32 (2, 3) on cpu"),
    (lambda: a.sum(axis=2), ValueError, "Sum: axis 2 is out of bounds for array of dimension 2; arguments: float32 (2, 3) on cpu"),
    (lambda: F.zeros((0, 3)).mean(axis=0), ValueError, "there is no mean of no elements: shape (0, 3) over axis 0"),
    (lambda: a.item(), ValueError, "item() takes a tensor of one element, this one has shape (2, 3); .tolist() gives them all"),
    # tensors that require gradients
    (
        lambda: tensor([1, 2], requires_grad=True),
        TypeError,
        "only floating-point tensors can require gradients, this one is int64 of shape (2,)",
    ),
    # grad and backward
    (lambda: grad(a.sum(), [a, image]), ValueError, "input 1 of shape (1, 4, 4, 1) does not require gradients"),
    (lambda: (b * image).sum().backward(inputs=[image]), ValueError, "input 0 of shape (1, 4, 4, 1) does not require gradients"),
    (lambda: image.sum().backward(), ValueError, "there is no gradient: the output does not depend on any tensor that requires gradients"),
    (
        lambda: (a * 2.0).backward(),
        ValueError,
        "the gradient of an output of shape (2, 3) needs a grad_output of that shape; only one element can do without",
    ),
    (lambda: grad(a * 2.0, a, b), ValueError, "grad_output is float32 (4,) on cpu, but its output is float32 (2, 3) on cpu"),
    (lambda: grad(a * 2.0, a, double), ValueError, "grad_output is float64 (2, 3) on cpu, but its output is float32 (2, 3) on cpu"),
    (
        lambda: (a * 2.0).backward(raw),
        TypeError,
        "backward: grad_output must be a Tensor or None, got an array float32 (2, 3); make one with tinygen.tensor(...)",
    ),
    (
        lambda: grad(a.sum(), a, 1.0),
        TypeError,
        "grad: grad_outputs must be a Tensor, a list of Tensors or None, got float 1.0; make one with tinygen.tensor(...)",
    ),
    (lambda: grad(a * 2.0, a, [a, a]), ValueError, "grad: 1 outputs but 2 grad_outputs"),
    (freed, ValueError, f"the graph behind Sum was freed by an earlier backward; {keep_or_detach}"),
    # functions that users write
    (
        lambda: TensorsInForward(a)(a),
        TypeError,
        "TensorsInForward: forward takes and returns arrays, but exp takes Tensors; "
        "compute with array_module(x), as in array_module(x).exp(x); arguments: float32 (2, 3) on cpu",
    ),
    (
        lambda: TensorFromForward(a)(a),
        TypeError,
        "TensorFromForward: forward gave a Tensor, but it takes and returns arrays; "
        "compute with array_module(x), as in array_module(x).exp(x)",
    ),
    (
        lambda: ForgetsTheOutput(a)(a).sum().backward(),
        TypeError,
        "ForgetsTheOutput.backward takes g, y and the inputs, in this order: write def backward(self, g, y, x)",
    ),
    (
        lambda: NumpyInBackward(a)(a).sum().backward(),
        TypeError,
        "Mul takes Tensors, got an array of shape (2, 3); in backward use tinygen's functions, not NumPy's",
    ),
    (lambda: Plain(a), TypeError, "Plain has no parameters; to apply it write Plain()(x), not Plain(x)"),
    (
        lambda: Double(b)(a).sum().backward(),
        ValueError,
        "Double.backward gave a gradient float32 (4,) on cpu for an input float32 (2, 3) on cpu",
    ),
    (
        lambda: Double(double)(a).sum().backward(),
        ValueError,
        "Double.backward gave a gradient float64 (2, 3) on cpu for an input float32 (2, 3) on cpu",
    ),
    (
        lambda: Double(raw)(a).sum().backward(),
        ValueError,
        "Double.backward gave a ndarray, not a Tensor, for an input float32 (2, 3) on cpu; write it with tinygen's functions, not NumPy's",
    ),
    (
        lambda: Double(F.ones((5, 2, 3)))(a).sum().backward(),
        ValueError,
        "Double.backward gave a gradient float32 (5, 2, 3) on cpu for an input float32 (2, 3) on cpu",
    ),
    (lambda: Double((a, a))(a).sum().backward(), ValueError, "Double.backward gave 2 gradients for 1 inputs"),
    (lambda: Function()(a), NotImplementedError, "Function has no forward"),
    # layers
    (
        lambda: F.conv2d(F.ones((64, 28, 28, 3)), weight),
        ValueError,
        "conv2d: input has 3 channels but weight (3, 3, 1, 2) takes 1; x is (64, 28, 28, 3), NHWC",
    ),
    (lambda: F.conv2d(image, weight, b), ValueError, "conv2d: bias has shape (4,) but weight (3, 3, 1, 2) gives 2 channels"),
    (lambda: F.conv2d(a, weight), ValueError, "conv2d: input must be (N, H, W, C), got (2, 3)"),
    (lambda: F.conv2d(image, a), ValueError, "conv2d: weight must have four axes, two of them the kernel's size, got (2, 3)"),
    (
        lambda: F.conv2d(F.ones((1, 4, 4, 1), "uint8"), weight),
        TypeError,
        "conv2d: input must be floating point, got uint8 (1, 4, 4, 1); convert it, say with tensor(x, dtype='float32')",
    ),
    (
        lambda: F.conv_transpose2d(F.ones((1, 4, 4, 2), "float64"), weight),
        TypeError,
        "conv_transpose2d: input is float64 but weight is float32; both must have one floating dtype",
    ),
    (lambda: F.conv2d(image, weight, stride=0), ValueError, "stride must be at least 1, got 0"),
    (lambda: F.conv2d(image, weight, dilation=(1, -2)), ValueError, "dilation must be at least 1, got (1, -2)"),
    (lambda: F.max_pool2d(image, 0), ValueError, "kernel_size must be at least 1, got 0"),
    (lambda: F.upsample2d(a, 2), ValueError, "upsample2d: input must be (N, H, W, C), got (2, 3)"),
    (lambda: F.dense(a, F.ones((4, 5))), ValueError, "dense: x (2, 3) must end in the 4 features that weight (4, 5) (in, out) takes"),
    (lambda: F.dense(a, F.ones((3, 4)), F.ones((4, 1))), ValueError, "dense: bias has shape (4, 1) but weight (3, 4) gives 4 features"),
    (lambda: F.batch_norm(a, b, b), ValueError, "batch_norm: gamma has shape (4,) but x (2, 3) has 3 channels"),
    (lambda: F.batch_norm(F.ones((1, 4)), b, b), ValueError, "batch_norm: training needs more than one value per channel, x is (1, 4)"),
    (
        lambda: F.batch_norm(F.ones((2, 4)), b, b, training=False),
        ValueError,
        "batch_norm: outside training it needs running_mean and running_var",
    ),
    (
        lambda: F.batch_norm(F.ones((2, 4)), b, b, negative_slope=-1.0),
        ValueError,
        "batch_norm: negative_slope must be at least 0, got -1.0",
    ),
    (
        lambda: F.lstm(F.zeros((5, 2, 12)), F.zeros((3, 12)), F.zeros((4, 3)), F.zeros((2, 3))),
        ValueError,
        "lstm: x (5, 2, 12), weight (3, 12) and state (4, 3), (2, 3) must be (T, N, 4 features) with at least one step, "
        "(features, 4 features) and (N, features)",
    ),
    (
        lambda: F.rnn(F.zeros((0, 2, 3)), F.zeros((3, 3)), F.zeros((2, 3))),
        ValueError,
        "rnn: x (0, 2, 3), weight (3, 3) and state (2, 3) must be (T, N, features) with at least one step, (features, features) and "
        "(N, features)",
    ),
    (lambda: F.layer_norm(a, b, b), ValueError, "layer_norm: x (2, 3) must end in the shape of gamma (4,) and beta (4,)"),
    (lambda: F.cross_entropy(a, numpy.array([0, 3])), ValueError, "cross_entropy: labels from 0 to 3, but 3 classes count from 0 to 2"),
    (lambda: F.embedding(a, numpy.array([[0], [2]])), ValueError, "embedding: labels from 0 to 2, but 2 classes count from 0 to 1"),
    (lambda: F.embedding(a, numpy.array([-1])), ValueError, "embedding: labels from -1 to -1, but 2 classes count from 0 to 1"),
    (lambda: F.gradient_penalty(F.sum, a, a[:1]), ValueError, "gradient_penalty: real (2, 3) and fake (1, 3) must have one shape"),
    (
        lambda: F.cross_entropy(a, numpy.zeros(2)),
        TypeError,
        "cross_entropy: labels must be integers, got float64; the classes count from 0, say labels.astype('int64')",
    ),
    (
        lambda: F.cross_entropy(a, numpy.array([0])),
        ValueError,
        "cross_entropy: logits must be (N, classes) and labels (N,), got (2, 3) and (1,)",
    ),
    (lambda: F.dropout(a, 1.0), ValueError, "dropout: p must be at least 0 and below 1, got 1.0"),
    (
        lambda: F.dropout(F.ones((2, 3), "int64")),
        TypeError,
        "Dropout: the kernels take float32 and float64, not int64; arguments: int64 (2, 3) on cpu",
    ),
    (lambda: F.leaky_relu(a, -0.1), ValueError, "leaky_relu: negative_slope must be at least 0, got -0.1"),
    (lambda: F.clip(a, 1.0, 0.0), ValueError, "clip: low 1.0 is above high 0.0"),
    (lambda: F.transpose(a, 0, 0), ValueError, "transpose: axes (0, 0) are not a permutation of the 2 axes of shape (2, 3)"),
    (lambda: F.transpose(a, 3, 0), ValueError, "transpose: axes (3, 0) are not a permutation of the 2 axes of shape (2, 3)"),
    (lambda: a.sum_to((3, 2)), ValueError, "sum_to: (3, 2) does not broadcast to (2, 3)"),
    (lambda: F.stack([a, a], 5), ValueError, "stack: axis 5 is out of bounds for array of dimension 3"),
    (lambda: F.flip(a, 5), ValueError, "flip: axis 5 is out of bounds for array of dimension 2"),
    (lambda: F.concatenate([a, a], 2), ValueError, "concatenate: axis 2 is out of bounds for array of dimension 2"),
    (
        lambda: F.ones((1000, 300)).sum(axis=2),
        ValueError,
        "Sum: axis 2 is out of bounds for array of dimension 2; arguments: float32 (1000, 300) on cpu",
    ),
    (lambda: a.sum().mean(axis=0), ValueError, "axis 0 is out of bounds for array of dimension 0"),
    (lambda: tensor("abc"), TypeError, "tensor: takes integers, booleans and floating-point numbers, not <U3: 'abc'"),
    (lambda: tensor(None), TypeError, "tensor: takes integers, booleans and floating-point numbers, not object: None"),
    (lambda: F.mse_loss(F.ones((2, 1)), F.ones((2,))), ValueError, "mse_loss: the target (2,) does not broadcast to (2, 1)"),
    (lambda: F.l1_loss(a, F.ones((1, 2, 3))), ValueError, "l1_loss: the target (1, 2, 3) does not broadcast to (2, 3)"),
    (
        lambda: F.binary_cross_entropy_with_logits(F.ones((2, 1)), F.ones((2, 2))),
        ValueError,
        "binary_cross_entropy_with_logits: the target (2, 2) does not broadcast to (2, 1)",
    ),
    (lambda: F.gaussian_kl(a, F.ones((2, 1))), ValueError, "gaussian_kl: mean (2, 3) and log_var (2, 1) must have one shape"),
    (
        lambda: F.attention_weights(a, a, mask=numpy.zeros((2, 2), "float32")),
        ValueError,
        "attention: mask must be booleans, true where a query may look, got float32",
    ),
    (lambda: a @ [[1.0]], TypeError, "matmul takes two Tensors, got Tensor and list; make one with tinygen.tensor(...)"),
    (lambda: F.concatenate([]), ValueError, "concatenate: there is nothing to concatenate"),
    (lambda: list(a.sum()), TypeError, "a tensor of shape () has no length and no rows; .item() is its number"),
    (lambda: F.stack([a, b]), ValueError, "stack: takes tensors of one shape, got [(2, 3), (4,)]"),
    (lambda: F.add(1.0, 2), TypeError, "Add takes at least one Tensor, got 1.0, 2; make one with tinygen.tensor(...)"),
    (lambda: F.where(b > 0, 1.0, 0.0), TypeError, "Where takes at least one Tensor, got 1.0, 0.0; make one with tinygen.tensor(...)"),
    (
        lambda: F.where(True, a, 0.0),
        TypeError,
        "where: condition must be a Tensor or an array, got bool True; make one with tinygen.tensor(...)",
    ),
    (lambda: F.pad(a, [(1, 1)]), ValueError, "pad: takes one (before, after) >= 0 for each of the 2 axes of (2, 3), got [(1, 1)]"),
]


def test_a_node_is_applied_once() -> None:
    double = Double(tensor([1.0, 1.0]))
    double(F.ones((2,), requires_grad=True))
    with pytest.raises(ValueError, match=r"^this Double has been applied before; an instance is one node of the graph, so make a new one"):
        double(F.ones((2,), requires_grad=True))


@pytest.mark.parametrize("ask, kind, message", REFUSED, ids=[message[:40] for _, _, message in REFUSED])
def test_refused_in_one_sentence(ask: Callable[[], Any], kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as caught:
        ask()
    assert str(caught.value) == message


@pytest.mark.parametrize("scalar", [2, 2.0, numpy.float64(2), numpy.float32(2), numpy.int64(2)], ids=lambda scalar: type(scalar).__name__)
def test_numbers_of_any_kind_keep_float32(scalar: Any) -> None:
    x = tensor([1.0, 3.0], requires_grad=True)
    for y in (scalar * x, x * scalar, scalar + x, scalar - x, x / scalar, scalar / x, x**scalar, scalar**x, F.maximum(x, scalar)):
        assert y.dtype == grad(y.sum(), x).dtype == numpy.float32
    assert (scalar * x).numpy().tolist() == [2, 6]


class TestDetectAnomaly:
    """The message ends with the line that the user wrote: here, the one of this file that applies the function."""

    def message(self, run: Callable[[], Any]) -> str:
        with numpy.errstate(all="ignore"), detect_anomaly(), pytest.raises(FloatingPointError) as caught:
            run()
        return str(caught.value)

    def test_forward(self) -> None:
        message = self.message(lambda: F.log(tensor([1.0, 0.0])))
        start = re.escape("Log: output is not finite; arguments: float32 (2,) on cpu; applied at ")
        assert re.fullmatch(
            start + r".*test_messages\.py:\d+: message = self\.message\(lambda: F\.log\(tensor\(\[1\.0, 0\.0\]\)\)\)", message
        )

    @pytest.mark.parametrize("create_graph", [False, True])
    def test_backward_names_the_line_of_the_forward(self, create_graph: bool) -> None:
        def run() -> None:
            x = tensor([4.0, 0.0], requires_grad=True)
            y = F.sqrt(x)
            y.sum().backward(create_graph=create_graph)

        start = re.escape("Sqrt: gradient is not finite; arguments: float32 (2,) on cpu; applied at ")
        assert re.fullmatch(start + r".*test_messages\.py:\d+: y = F\.sqrt\(x\)", self.message(run))

    def test_in_a_file_beside_the_package_whose_path_begins_like_its(self, monkeypatch: pytest.MonkeyPatch) -> None:
        beside = str(Path(tinygen.__file__).parent) + "_demo.py"
        code = compile("F.log(x)", beside, "exec")
        assert f"applied at {beside}:1" in self.message(lambda: exec(code, {"F": F, "x": tensor([0.0])}))

    def test_a_gradient_that_a_user_made(self) -> None:
        x = F.ones((2,), requires_grad=True)
        message = self.message(lambda: Double(tensor([1.0, numpy.nan]))(x).sum().backward())
        assert message.startswith("Double: gradient is not finite; arguments: float32 (2,) on cpu; applied at ")

    def test_a_graph_made_before_has_no_line_to_name(self) -> None:
        y = F.sqrt(F.zeros((1,), requires_grad=True))
        expected = "Sqrt: gradient is not finite; arguments: float32 (1,) on cpu; applied at a line not recorded"
        assert self.message(y.backward) == expected

    def test_finite_numbers_pass_and_outside_nothing_is_looked_at(self) -> None:
        with detect_anomaly():
            grad((a * 2.0).sum(), a)
        with numpy.errstate(all="ignore"):
            assert F.log(F.zeros((1,))).item() == -numpy.inf
