"""Every optimiser against its formula, written here from the paper: a generator of the points that it visits."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy import ndarray
from numpy.testing import assert_allclose, assert_array_equal

from tinygen import Tensor, nn, optim, tensor
from tinygen.backend import device_of, to_device
from tinygen.optim import Optimizer, clip_grad_norm

modest = settings(deadline=None, max_examples=25)

Gradient = Callable[[ndarray], ndarray]


def momentum(x: ndarray, gradient: Gradient, lr: float = 1e-2, momentum: float = 0.0) -> Iterator[ndarray]:
    """Sutskever et al., 2013, equations 1 and 2."""
    v = numpy.zeros_like(x)
    while True:
        v = momentum * v - lr * gradient(x)
        x = x + v
        yield x


def nesterov(x: ndarray, gradient: Gradient, lr: float, momentum: float, nesterov: bool) -> Iterator[ndarray]:
    """Sutskever et al., 2013, equations 3 and 4. The parameter of a framework is the point ahead, where the gradient is taken."""
    v = numpy.zeros_like(x)
    while True:
        v = momentum * v - lr * gradient(x + momentum * v)
        x = x + v
        yield x + momentum * v


def adam(
    x: ndarray,
    gradient: Gradient,
    lr: float = 1e-3,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> Iterator[ndarray]:
    """Kingma & Ba, 2015, algorithm 1; with weight_decay Loshchilov & Hutter, 2019, algorithm 2, line 12, lambda = lr weight_decay."""
    m, v = numpy.zeros_like(x), numpy.zeros_like(x)
    for t in itertools.count(1):
        g = gradient(x)
        m = betas[0] * m + (1 - betas[0]) * g
        v = betas[1] * v + (1 - betas[1]) * g**2
        m_hat, v_hat = m / (1 - betas[0] ** t), v / (1 - betas[1] ** t)
        x = x - (lr * m_hat / (numpy.sqrt(v_hat) + eps) + lr * weight_decay * x)
        yield x


def adamw(x: ndarray, gradient: Gradient, weight_decay: float = 1e-2, **options: Any) -> Iterator[ndarray]:
    return adam(x, gradient, weight_decay=weight_decay, **options)


def rmsprop(x: ndarray, gradient: Gradient, lr: float = 1e-3, decay: float = 0.99, eps: float = 1e-8) -> Iterator[ndarray]:
    """Tieleman & Hinton, 2012, slide 29."""
    mean_square = numpy.zeros_like(x)
    while True:
        g = gradient(x)
        mean_square = decay * mean_square + (1 - decay) * g**2
        x = x - lr * g / (numpy.sqrt(mean_square) + eps)
        yield x


@dataclass(frozen=True)
class Rule:
    """One row: an optimiser with its options, and its formula."""

    optimizer: Callable[..., Optimizer]
    formula: Callable[..., Iterator[ndarray]]
    options: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([self.optimizer.__name__, *self.options])

    def __call__(self, *parameters: Tensor) -> Optimizer:
        return self.optimizer(parameters, **self.options)


# A large eps shows where it stands in the formula; without options, the defaults show.
RULES = [
    Rule(optim.SGD, momentum),
    Rule(optim.SGD, momentum, {"lr": 0.03, "momentum": 0.9}),
    Rule(optim.SGD, nesterov, {"lr": 0.03, "momentum": 0.9, "nesterov": True}),
    Rule(optim.Adam, adam),
    Rule(optim.Adam, adam, {"lr": 0.05, "betas": (0.5, 0.9), "eps": 0.1}),
    Rule(optim.AdamW, adamw),
    Rule(optim.AdamW, adamw, {"lr": 0.05, "betas": (0.5, 0.9), "eps": 0.1, "weight_decay": 0.3}),
    Rule(optim.RMSprop, rmsprop),
    Rule(optim.RMSprop, rmsprop, {"lr": 0.05, "decay": 0.8, "eps": 0.1}),
]
every_rule = pytest.mark.parametrize("rule", RULES, ids=str)


def slope(x: ndarray) -> ndarray:
    """The gradient of a function that is curved, and steeper in some places than in others."""
    return 2 * x + numpy.cos(3 * x)


def leaf(*values: float, dtype: str = "float32") -> Tensor:
    return tensor(values, dtype, requires_grad=True)


def descend(optimizer: Optimizer, steps: int) -> None:
    for _ in range(steps):
        for p in optimizer.parameters:
            p.grad = Tensor(to_device(slope(p.numpy()), p.device))
        optimizer.step()


def points(optimizer: Optimizer) -> list[bytes]:
    return [p.numpy().tobytes() for p in optimizer.parameters]


@every_rule
@modest
@given(start=stn.arrays("float64", (2, 3), elements=st.floats(-2, 2)))
def test_steps_follow_the_formula(rule: Rule, start: ndarray, device: str) -> None:
    p = Tensor(to_device(start.copy(), device), requires_grad=True)
    optimizer = rule(p)
    for expected in itertools.islice(rule.formula(start, slope, **rule.options), 6):
        descend(optimizer, 1)
        assert_allclose(p.numpy(), expected, rtol=1e-11, atol=1e-13)
    assert {device_of(array) for state in optimizer.state for array in state.values()} == {p.device}


@every_rule
def test_finds_the_minimum_of_a_quadratic(rule: Rule) -> None:
    p = leaf(-1, 2)
    optimizer = rule.optimizer([p], **{**rule.options, "lr": 0.02})
    for _ in range(400):
        optimizer.minimize(((p - tensor([1.0, -0.5])) ** 2 * tensor([1.0, 4.0])).sum())
    # RMSprop ends in steps of about lr, and a weight decay of 0.3 pulls the minimum itself 0.13 towards 0.
    assert_allclose(p.numpy(), [1, -0.5], atol=0.03 if rule.options.get("weight_decay") is None else 0.14)


@every_rule
def test_a_parameter_without_a_gradient_is_left_alone(rule: Rule) -> None:
    moved, still = leaf(1, 2), leaf(3)
    optimizer = rule(moved, still)
    for _ in range(2):
        moved.grad = leaf(1, -1).detach()
        optimizer.step()
    assert (moved.numpy() != [1, 2]).all()
    assert still.numpy() == 3 and not any(array.any() for array in optimizer.state[1].values())


def test_minimizing_moves_the_optimiser_s_own_parameters_by_the_gradient_of_this_loss() -> None:
    p, other = leaf(1, 2), leaf(3)
    optimizer = optim.SGD([p], lr=0.5)
    for _ in range(2):
        optimizer.minimize((p * tensor([4.0, 2.0]) * other).sum())
    assert p.numpy().tolist() == [1 - 2 * 0.5 * 4 * 3, 2 - 2 * 0.5 * 2 * 3]
    assert other.numpy() == 3 and other.grad is None


@every_rule
def test_a_gradient_or_a_parameter_that_has_grown_moves_nothing(rule: Rule) -> None:
    """A kernel would write beyond the arrays."""
    p, q = leaf(1, 2), leaf(3)
    optimizer = rule(p, q)
    p.grad, q.grad = leaf(1, 1).detach(), leaf(1, 1).detach()
    with pytest.raises(ValueError, match=r": parameter 1 is float32 \(1,\), but its gradient or state is float32 \(2,\); make"):
        optimizer.step()
    q.data = leaf(3, 4).data
    with pytest.raises(ValueError, match=r": parameter 1 is float32 \(2,\), but its gradient or state is float32 \(1,\); make"):
        optimizer.step()
    assert p.numpy().tolist() == [1, 2] and q.numpy().tolist() == [3, 4] and optimizer.steps == 0


@every_rule
def test_updates_are_in_place_and_leave_the_gradients(rule: Rule) -> None:
    p, g = leaf(1, 2), leaf(0.5, -1).detach()
    optimizer, array = rule(p), p.data
    p.grad = g
    optimizer.step()
    optimizer.step()
    assert p.data is array and p.grad is g
    assert g.numpy().tolist() == [0.5, -1]
    assert {a.dtype for a in [p.data, *optimizer.state[0].values()]} == {numpy.dtype("float32")}
    optimizer.zero_grad()
    assert p.grad is None


@every_rule
@modest
@given(before=st.integers(0, 4), after=st.integers(1, 4))
def test_a_saved_state_goes_on_as_if_never_stopped(rule: Rule, before: int, after: int) -> None:
    optimizer = rule(leaf(1, 2), leaf(-0.5))
    descend(optimizer, before)
    saved = optimizer.state_dict()
    resumed = rule(*[tensor(p, requires_grad=True) for p in optimizer.parameters])
    descend(optimizer, after)
    resumed.load_state_dict(saved)
    descend(resumed, after)
    assert resumed.steps == optimizer.steps == before + after
    assert points(resumed) == points(optimizer)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (optim.Adam([leaf(1, 2)]), "missing 1.m, 1.v"),
        (optim.Adam([leaf(1, 2), leaf(3), leaf(4)]), "unexpected 2.t, 2.m, 2.v"),
        (optim.RMSprop([leaf(1, 2), leaf(3)]), "missing 0.m, 1.m; unexpected decay"),
        (
            optim.Adam([leaf(1, 2, 3), leaf(3, dtype="float64")]),
            "0.m is float32 (3,) instead of float32 (2,); 0.v is float32 (3,) instead of float32 (2,); "
            "1.m is float64 (1,) instead of float32 (1,); 1.v is float64 (1,) instead of float32 (1,)",
        ),
    ],
)
def test_the_state_of_other_parameters_is_refused_and_changes_nothing(other: Optimizer, said: str) -> None:
    optimizer = optim.Adam([leaf(1, 2), leaf(3)])
    descend(optimizer, 3)
    before = optimizer.state_dict()
    with pytest.raises(ValueError) as refusal:
        optimizer.load_state_dict(other.state_dict())
    assert str(refusal.value) == f"this state does not fit Adam: {said}"
    after = optimizer.state_dict()
    assert list(after) == ["steps", "lr", "betas", "eps", "weight_decay", "0.t", "1.t", "0.m", "0.v", "1.m", "1.v"]
    for name, array in before.items():
        assert_array_equal(after[name], array)


@every_rule
def test_a_state_without_settings_and_counts_of_each_parameter_is_read(rule: Rule) -> None:
    """Such were the states before both were saved."""
    optimizer = rule(leaf(1, 2), leaf(-0.5))
    descend(optimizer, 3)
    saved = {name: array for name, array in optimizer.state_dict().items() if name not in optimizer.settings and name[2:] != "t"}
    resumed = rule(*[tensor(p, requires_grad=True) for p in optimizer.parameters])
    resumed.load_state_dict(saved)
    descend(resumed, 2)
    descend(optimizer, 2)
    assert points(resumed) == points(optimizer)


@pytest.mark.parametrize(
    ("saved", "loading", "said"),
    [
        (optim.Adam, {"betas": (0.0, 0.1)}, "Adam with betas [0.9, 0.999], this one has [0.0, 0.1]"),
        (optim.Adam, {"eps": 1}, "Adam with eps 1e-08, this one has 1.0"),
        (optim.AdamW, {"weight_decay": 0.5}, "AdamW with weight_decay 0.01, this one has 0.5"),
        (optim.RMSprop, {"decay": 0.5}, "RMSprop with decay 0.99, this one has 0.5"),
        (optim.SGD, {"momentum": 0.5}, "SGD with momentum 0.0, this one has 0.5"),
    ],
)
def test_a_state_of_other_settings_is_refused(saved: Any, loading: dict[str, Any], said: str) -> None:
    optimizer = saved([leaf(1)], **loading)
    with pytest.raises(ValueError) as refusal:
        optimizer.load_state_dict(saved([leaf(1)]).state_dict())
    assert str(refusal.value) == f"this state is of {said}"


def test_the_state_of_adam_with_weight_decay_is_not_one_of_adam_without() -> None:
    with pytest.raises(ValueError, match=r"^this state is of Adam with weight_decay 0\.01, this one has 0\.0$"):
        optim.Adam([leaf(1)]).load_state_dict(optim.AdamW([leaf(1)]).state_dict())


def test_adam_counts_the_steps_of_each_parameter() -> None:
    """The first step is of length lr, however late it comes."""
    early, late = leaf(1), leaf(1)
    optimizer = optim.Adam([early, late], lr=0.01)
    for _ in range(5000):
        early.grad = leaf(1).detach()
        optimizer.step()
    late.grad = leaf(3).detach()
    optimizer.step()
    assert optimizer.updates == [5001, 1]
    assert late.item() == pytest.approx(0.99, abs=1e-6)


@every_rule
def test_what_is_frozen_stays_where_it_is(rule: Rule) -> None:
    """Its last gradient is still there, and its state has momentum."""
    trained, frozen = leaf(1, 2), leaf(3)
    optimizer = rule(trained, frozen)
    descend(optimizer, 2)
    frozen.requires_grad = False
    before = frozen.item()
    assert frozen.grad is not None
    trained.grad = leaf(1, -1).detach()
    optimizer.step()
    optimizer.minimize((trained * frozen).sum())
    assert frozen.item() == before and frozen.grad is None
    assert optimizer.updates == [4, 2]


class TestNothingToMove:
    NOTHING = r"^SGD: none of its parameters has a gradient; call backward\(\) on a loss that depends on them "

    def test_parameters_without_part_in_the_loss(self) -> None:
        """As after a layer was replaced: the optimiser holds the old layer's."""
        optimizer, other = optim.SGD([leaf(1, 2)]), leaf(3)
        with pytest.raises(ValueError, match=self.NOTHING):
            optimizer.minimize(other.sum())
        assert optimizer.steps == 0

    def test_a_step_before_backward(self) -> None:
        with pytest.raises(ValueError, match=self.NOTHING):
            optim.SGD([leaf(1)]).step()

    def test_all_frozen(self) -> None:
        p, other = leaf(1), leaf(3)
        optimizer = optim.SGD([p])
        p.requires_grad = False
        with pytest.raises(ValueError, match=self.NOTHING):
            optimizer.minimize((p * other).sum())


@pytest.mark.parametrize(
    ("parameters", "got"),
    [
        (lambda: [("weight", leaf(1))], "takes Tensors, got a tuple"),
        (lambda: {"weight": leaf(1)}, "takes Tensors, got a str"),
        (lambda: [{"params": [leaf(1)], "lr": 0.1}], "takes Tensors, got a dict"),
        (lambda: "weights", "takes Tensors, got a str"),
        (lambda: None, "takes Tensors, got a NoneType"),
        (lambda: nn.Dense(1, 2), "takes Tensors, got a Dense"),
        (lambda: numpy.zeros(3), "takes Tensors, got a float64"),
    ],
)
def test_what_is_not_a_list_of_tensors_is_refused(parameters: Callable[[], Any], got: str) -> None:
    cure = "; pass model.parameters(), and make two optimisers for two groups"
    for name, call in [("AdamW", optim.AdamW), ("clip_grad_norm", lambda given: clip_grad_norm(given, 1.0))]:
        with pytest.raises(TypeError) as refusal:
            call(parameters())
        assert str(refusal.value) == f"{name} {got}{cure}"


def test_one_tensor_is_not_a_list_of_its_rows() -> None:
    with pytest.raises(TypeError, match=r"^SGD takes a list of Tensors, got one Tensor; put it in a list$"):
        optim.SGD(leaf(1, 2))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: optim.Adam([]), "Adam: there are no parameters to optimise"),
        (lambda: optim.SGD([leaf(1), leaf(1, 2) * 2.0]), "SGD: parameter 1 of shape (2,) is not a leaf tensor with requires_grad=True"),
        (lambda: optim.SGD([leaf(1).detach()]), "SGD: parameter 0 of shape (1,) is not a leaf tensor with requires_grad=True"),
        (lambda: optim.RMSprop([leaf(1)], lr=0), "RMSprop: lr must be positive, got 0"),
        (lambda: optim.AdamW([leaf(1)], lr=-0.1), "AdamW: lr must be positive, got -0.1"),
        (lambda: optim.SGD([leaf(1)], lr=math.nan), "SGD: lr must be positive, got nan"),
        (lambda: optim.SGD([leaf(1)], lr=math.inf), "SGD: lr must be positive, got inf"),
        (lambda: optim.SGD([leaf(1)], momentum=1.0), "SGD: momentum must be at least 0 and below 1, got 1.0"),
        (lambda: optim.Adam([leaf(1)], betas=(0.9, 1.0)), "Adam: a beta must be at least 0 and below 1, got 1.0"),
        (lambda: optim.Adam([leaf(1)], eps=-1.0), "Adam: eps must be at least 0 and below inf, got -1.0"),
        (lambda: optim.AdamW([leaf(1)], weight_decay=-1.0), "AdamW: weight_decay must be at least 0 and below inf, got -1.0"),
        (lambda: optim.RMSprop([leaf(1)], decay=2.0), "RMSprop: decay must be at least 0 and below 1, got 2.0"),
        (lambda: optim.RMSprop([leaf(1)], eps=-1.0), "RMSprop: eps must be at least 0 and below inf, got -1.0"),
        (lambda: optim.SGD([leaf(1)], lr="fast"), "SGD: lr must be positive, got 'fast'"),
        (lambda: optim.SGD([leaf(1)], momentum=None), "SGD: momentum must be at least 0 and below 1, got None"),
        (lambda: optim.Adam([leaf(1)], betas=0.9), "Adam: betas must be two numbers, got 0.9"),
        (lambda: optim.Adam([leaf(1)], betas=(0.9,)), "Adam: betas must be two numbers, got (0.9,)"),
        (lambda: optim.SGD([leaf(1)], nesterov=True), "SGD: nesterov needs a momentum above 0"),
        (lambda: clip_grad_norm([leaf(1)], 1.0), "clip_grad_norm: no parameter has a gradient"),
        (lambda: clip_grad_norm([], 1.0), "clip_grad_norm: no parameter has a gradient"),
        (lambda: clip_grad_norm([leaf(1)], -1.0), "clip_grad_norm: max_norm must be positive, got -1.0"),
    ],
)
def test_what_cannot_be_meant_is_refused(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        make()
    assert str(refusal.value) == said


class TestClipGradNorm:
    @modest
    @given(
        gradients=st.lists(stn.arrays("float32", st.integers(1, 4), elements=st.floats(-1e3, 1e3, width=32)), min_size=1, max_size=3),
        max_norm=st.floats(1e-2, 1e4),
    )
    def test_scales_all_gradients_alike(self, gradients: list[ndarray], max_norm: float) -> None:
        parameters = [leaf(0), *[leaf(*g) for g in gradients]]
        kept = [Tensor(g.copy()) for g in gradients]
        for p, g in zip(parameters[1:], kept, strict=True):
            p.grad = g
        norm = math.hypot(*numpy.concatenate(gradients).tolist())
        assert clip_grad_norm((p for p in parameters), max_norm) == pytest.approx(norm, rel=1e-12)
        assert parameters[0].grad is None
        for p, g, original in zip(parameters[1:], kept, gradients, strict=True):
            assert p.grad is not None and p.grad.dtype == numpy.float32
            assert_allclose(p.grad.numpy(), original * min(1, max_norm / max(norm, 1e-30)), rtol=1e-6, atol=1e-30)
            assert_array_equal(g.numpy(), original)  # whoever else holds the gradient keeps it
            assert norm > max_norm or p.grad is g

    def test_a_gradient_of_two_parameters_is_scaled_once(self) -> None:
        """As addition leaves it: the gradients of both terms are one Tensor."""
        a, b = leaf(1, 2), leaf(3, 4)
        ((a + b) * tensor([3.0, 4.0])).sum().backward()
        assert clip_grad_norm([a, b], 1.0) == pytest.approx(math.sqrt(50))
        for p in (a, b):
            assert p.grad is not None
            assert_allclose(p.grad.numpy(), numpy.array([3, 4]) / math.sqrt(50), rtol=1e-6)

    def test_what_is_frozen_does_not_count(self) -> None:
        p, frozen = leaf(1), leaf(1)
        p.grad, frozen.grad = leaf(3).detach(), leaf(4).detach()
        frozen.requires_grad = False
        assert clip_grad_norm([p, frozen], 1.0) == pytest.approx(3)
        assert frozen.grad is not None and frozen.grad.item() == 4
