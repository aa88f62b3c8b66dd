"""What a user reads when the engine refuses something: one sentence, with the function's name and the numbers."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from refusals import Refusal, expect

import tinygen
import tinygen.functional as F
from tinygen import Function, Tensor, detect_anomaly, grad, tensor

a, b = F.ones((2, 3), requires_grad=True), F.ones((4,), requires_grad=True)
double = F.ones((2, 3), "float64", requires_grad=True)
raw = numpy.ones((2, 3), "float32")
image = F.ones((1, 4, 4, 1))
one_dtype = "all of them and the result must have one floating dtype; convert with .astype('float32')"
make_one = "make it a Tensor with tinygen.tensor(...)"
on_nothing = (
    "the output does not depend on any tensor that requires gradients; "
    "make one with requires_grad=True, and compute the output outside of no_grad()"
)
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


REFUSED: list[Refusal] = [
    # operands
    (lambda: a + raw, TypeError, f"Add takes Tensors and Python numbers, got an array of shape (2, 3); {make_one}"),
    (lambda: raw * a, TypeError, f"Mul takes Tensors and Python numbers, got an array of shape (2, 3); {make_one}"),
    (lambda: a - [1.0], TypeError, f"Sub takes Tensors and Python numbers, got list [1.0]; {make_one}"),
    (lambda: a * b, ValueError, f"Mul: operands could not be broadcast together with shapes (2,3) (4,); arguments: {both_on_cpu}"),
    (lambda: a + double, TypeError, f"Add: arguments float32 (2, 3) on cpu, float64 (2, 3) on cpu; {one_dtype}"),
    (lambda: a + tensor([1, 2, 3]), TypeError, f"Add: arguments float32 (2, 3) on cpu, int64 (3,) on cpu; {one_dtype}"),
    (lambda: a @ b, ValueError, "matmul: (2, 3) @ (4,): the last axis of the first and the last but one of the second must agree"),
    (lambda: a[2], IndexError, "GetItem: index 2 is out of bounds for axis 0 with size 2; arguments: float32 (2, 3) on cpu"),
    (lambda: a.sum(axis=2), ValueError, "Sum: axis 2 is out of bounds for array of dimension 2; arguments: float32 (2, 3) on cpu"),
    (
        lambda: F.zeros((0, 3)).mean(axis=0),
        ValueError,
        "Mean: there are no elements in (0, 3) over axis 0; arguments: float32 (0, 3) on cpu",
    ),
    (lambda: a.item(), ValueError, "item() takes a tensor of one element, this one has shape (2, 3); .tolist() gives them all"),
    # tensors that require gradients
    (
        lambda: tensor([1, 2], requires_grad=True),
        TypeError,
        "only floating-point tensors can require gradients, this one is int64 of shape (2,); say dtype='float32'",
    ),
    # grad and backward
    (
        lambda: grad(a.sum(), [a, image]),
        ValueError,
        "input 1 of shape (1, 4, 4, 1) does not require gradients; make it with requires_grad=True",
    ),
    (
        lambda: (b * image).sum().backward(inputs=[image]),
        ValueError,
        "input 0 of shape (1, 4, 4, 1) does not require gradients; make it with requires_grad=True",
    ),
    (lambda: image.sum().backward(), ValueError, f"there is no gradient: {on_nothing}"),
    (
        lambda: (a * 2.0).backward(),
        ValueError,
        "the gradient of an output of shape (2, 3) needs a grad_output of that shape; of its .mean() or .sum() it is 1",
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
]


def test_a_node_is_applied_once() -> None:
    double = Double(tensor([1.0, 1.0]))
    double(F.ones((2,), requires_grad=True))
    with pytest.raises(ValueError, match=r"^this Double has been applied before; an instance is one node of the graph, so make a new one"):
        double(F.ones((2,), requires_grad=True))


@pytest.mark.parametrize("refusal", REFUSED, ids=lambda refusal: refusal[2][:40])
def test_refused_in_one_sentence(refusal: Refusal) -> None:
    expect(refusal)


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
