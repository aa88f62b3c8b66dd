"""Numbers that are known without a computer."""

import math
from typing import Any

import numpy
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import tinygen.functional as F
from tinygen import Tensor, grad, manual_seed, tensor
from tinygen.functional.selection import WhereFunction
from tinygen.testing import images, shapes, tensors

modest = settings(deadline=None, max_examples=30)


def float64(values: object) -> Tensor:
    return tensor(values, "float64", requires_grad=True)


class TestBatchNorm:
    @modest
    @given(x=images(channels=3))
    def test_channels_have_mean_beta_and_variance_gamma_squared(self, x: Tensor) -> None:
        assume(x.size > 3)
        gamma, beta = float64([0.5, -2.0, 3.0]), float64([1.0, 0.0, -7.0])
        y = F.batch_norm(x, gamma, beta, eps=0.0).numpy()
        assert_allclose(y.mean((0, 1, 2)), beta.numpy(), atol=1e-10)
        assert_allclose(y.var((0, 1, 2)), gamma.numpy() ** 2, rtol=1e-10)

    @modest
    @given(x=images(channels=2), momentum=st.floats(0, 1))
    def test_running_statistics_move_towards_those_of_the_batch(self, x: Tensor, momentum: float) -> None:
        assume(x.size > 2)
        mean, var, array = float64([5.0, 6.0]).detach(), float64([7.0, 8.0]).detach(), x.numpy()
        kept = mean.data
        F.batch_norm(x, float64([1.0, 1.0]), float64([0.0, 0.0]), mean, var, momentum=momentum)
        assert_allclose(mean.numpy(), momentum * numpy.array([5.0, 6.0]) + (1 - momentum) * array.mean((0, 1, 2)), rtol=1e-12)
        assert_allclose(var.numpy(), momentum * numpy.array([7.0, 8.0]) + (1 - momentum) * array.var((0, 1, 2)), rtol=1e-12)
        assert mean.data is kept  # whoever holds the array, as a checkpoint does, sees it move
        assert mean.node is None and var.node is None and not mean.requires_grad

    def test_outside_training_the_statistics_rest_and_examples_do_not_meet(self) -> None:
        x, gamma, beta = float64([[1.0], [5.0]]), float64([2.0]), float64([0.5])
        mean, var = float64([3.0]).detach(), float64([4.0]).detach()
        y = F.batch_norm(x, gamma, beta, mean, var, training=False, eps=0.0)
        assert_array_equal(y.numpy(), [[-1.5], [2.5]])
        assert (mean.item(), var.item()) == (3, 4)
        assert_array_equal(grad(y[0, 0], x).numpy(), [[1], [0]])

    def test_a_mean_a_thousand_times_the_deviation(self) -> None:
        x = (1000 + numpy.random.default_rng(0).standard_normal((4000, 1))).astype("float32")
        y = F.batch_norm(tensor(x), F.ones((1,)), F.zeros((1,))).numpy()
        exact = x.astype("float64")
        assert_allclose(y, (exact - exact.mean()) / exact.std(), atol=1e-3)


def test_layer_norm_does_to_examples_what_batch_norm_does_to_channels() -> None:
    x, one, zero = float64(numpy.random.default_rng(0).standard_normal((4, 6))), numpy.ones, numpy.zeros
    by_rows = F.layer_norm(x, float64(one(6)), float64(zero(6)))
    by_columns = F.batch_norm(x.T, float64(one(4)), float64(zero(4)))
    assert_allclose(by_rows.numpy(), by_columns.T.numpy(), rtol=1e-12)


@pytest.mark.parametrize(("axis", "keepdims"), [((0, 1, 2), False), ((-4, -3, -2), True), ((0, 1), False), (None, True)])
def test_many_ones_add_up_to_their_number(axis: tuple[int, ...] | None, keepdims: bool) -> None:
    """Also with so many that a kernel adds them up, and as the column of a bias."""
    ones = numpy.ones((64, 40, 40, 3), "float32")
    y = F.sum(tensor(ones, "float32"), axis, keepdims).numpy()
    assert_array_equal(y, ones.sum(axis, keepdims=keepdims))
    assert y.shape == ones.sum(axis, keepdims=keepdims).shape
    assert_array_equal(F.sum(tensor(ones.reshape(-1, 1)), 0).numpy(), [ones.size])


def test_same_padding_puts_the_odd_column_on_the_right() -> None:
    """y[j] = x[j] + 10 x[j + 1], as in TensorFlow."""
    x, w = float64([[[[1.0], [2.0], [3.0]]]]), float64([[[[1.0]], [[10.0]]]])
    assert F.conv2d(x, w, padding="same").numpy().ravel().tolist() == [21, 32, 3]
    assert F.conv2d(x, w, padding="same", stride=2).numpy().ravel().tolist() == [21, 3]
    assert F.conv_transpose2d(x, w, padding="same", stride=(1, 2)).numpy().ravel().tolist() == [1, 10, 2, 20, 3, 30]


class TestDropout:
    @pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
    def test_keeps_the_mean_and_drops_at_its_rate(self, p: float) -> None:
        """Of n elements n p fall, give or take five deviations sqrt(n p (1 - p))."""
        manual_seed(0)
        n = 40_000
        y = F.dropout(F.ones((n,)), p).numpy()
        assert set(y) == {0, numpy.float32(1 / (1 - p))}
        bound = 5 * math.sqrt(n * p * (1 - p))
        assert abs((y == 0).sum() - n * p) < bound
        assert abs(y.mean() - 1) < bound / n / (1 - p)

    def test_the_seed_settles_the_mask_and_the_gradient_has_the_same(self) -> None:
        x = F.ones((100,), requires_grad=True)
        masks = []
        for seed in (1, 1, 2):
            manual_seed(seed)
            y = F.dropout(x, 0.5)
            assert_array_equal(grad(y.sum(), x).numpy(), y.numpy())
            masks.append(y.numpy().tobytes())
        assert masks[0] == masks[1] != masks[2]

    @modest
    @given(x=tensors())
    def test_is_the_identity_for_p_0_and_outside_training(self, x: Tensor) -> None:
        assert_array_equal(F.dropout(x, 0.0).numpy(), x.numpy())
        assert_array_equal(F.dropout(x, 0.9, training=False).numpy(), x.numpy())


class TestLosses:
    def test_gaussian_kl(self) -> None:
        """KL(N(m, s^2) || N(0, 1)) = (m^2 + s^2 - 1 - log s^2) / 2, summed over dimensions, averaged over examples."""
        assert F.gaussian_kl(float64(numpy.zeros((3, 4))), float64(numpy.zeros((3, 4)))).item() == 0
        mean, log_var = float64([[1.0, 2.0], [0.0, 0.0]]), float64([[0.0, math.log(4)], [0.0, 0.0]])
        assert_allclose(F.gaussian_kl(mean, log_var).item(), (1 / 2 + (4 + 4 - 1 - math.log(4)) / 2 + 0) / 2, rtol=1e-14)

    @modest
    @given(n=st.integers(1, 4), classes=st.integers(1, 9), level=st.floats(-800, 800))
    def test_cross_entropy_of_uniform_logits_is_log_classes(self, n: int, classes: int, level: float) -> None:
        labels = numpy.arange(n) % classes
        assert_allclose(F.cross_entropy(float64(numpy.full((n, classes), level)), labels).item(), math.log(classes), atol=1e-12)

    def test_sigmoid_keeps_its_precision_far_out(self) -> None:
        x = tensor([-80.0, -20.0, -1.0, 0.0, 1.0, 20.0], "float32")
        assert_allclose(F.sigmoid(x).numpy(), 1 / (1 + numpy.exp(-x.numpy().astype("float64"))), rtol=1e-6)

    def test_softplus_keeps_its_precision_far_out(self) -> None:
        x = tensor([-80.0, -20.0, -1.0, 0.0, 1.0, 20.0], "float32")
        assert_allclose(F.softplus(x).numpy(), numpy.log1p(numpy.exp(x.numpy().astype("float64"))), rtol=3e-7)
        x = tensor([-math.inf, -1000.0, 1000.0, math.inf, math.nan], "float32")
        assert_array_equal(F.softplus(x).numpy(), [0, 0, 1000, math.inf, math.nan])

    @pytest.mark.filterwarnings("ignore:divide by zero")
    def test_logsumexp_of_infinities(self) -> None:
        rows = float64([[-math.inf, -math.inf], [-math.inf, 1.0], [1.0, math.inf]])
        assert_array_equal(F.logsumexp(rows, axis=1).numpy(), [-math.inf, 1.0, math.inf])

    @pytest.mark.filterwarnings("ignore:invalid value", "ignore:divide by zero")
    def test_rows_of_nothing_but_minus_infinity_are_no_distribution(self) -> None:
        rows = float64([[-math.inf, -math.inf], [-math.inf, 1.0]])
        for function, whole in ((F.softmax, [0, 1]), (F.log_softmax, [-math.inf, 0])):
            assert_array_equal(function(rows).numpy(), [[math.nan, math.nan], whole])

    @pytest.mark.parametrize("logit", [-1000.0, 1000.0])
    @pytest.mark.parametrize("target", [0.0, 1.0])
    def test_binary_cross_entropy_far_out(self, logit: float, target: float) -> None:
        """A wrong answer costs |logit|, a right one nothing; the gradient is sigmoid(logit) - target."""
        right = (logit > 0) == (target == 1)
        for z in (float64([logit]), float64(logit)):
            loss = F.binary_cross_entropy_with_logits(z, target)
            assert loss.item() == (0 if right else 1000)
            assert grad(loss, z).item() == (0 if right else math.copysign(1, logit))

    def test_means_of_errors(self) -> None:
        assert F.mse_loss(float64([1.0, 4.0]), float64([0.0, 2.0])).item() == 2.5
        assert F.l1_loss(float64([1.0, 4.0]), float64([3.0, 3.0])).item() == 1.5


class TestTies:
    """The subgradient that is taken at a kink is a promise too."""

    def test_the_smallest_of_bytes(self) -> None:
        assert tensor([5, 3, 0], "uint8").min().item() == 0
        assert_array_equal(F.minimum(tensor([5, 0], "uint8"), tensor([2, 2], "uint8")).numpy(), [2, 0])

    def test_equal_elements_share_the_gradient(self) -> None:
        x, y = float64([3.0, 1.0, 3.0]), float64([3.0, 2.0, 0.0])
        assert_array_equal(grad(x.max(), x).numpy(), [0.5, 0, 0.5])
        assert_array_equal(grad((-x).min(), x).numpy(), [-0.5, 0, -0.5])
        for function, to_x, to_y in [(F.maximum, [0.5, 0, 1], [0.5, 1, 0]), (F.minimum, [0.5, 1, 0], [0.5, 0, 1])]:
            for found, expected in zip(grad(function(x, y).sum(), [x, y]), (to_x, to_y), strict=True):
                assert_array_equal(found.numpy(), expected)

    @pytest.mark.parametrize("function", [F.maximum, F.minimum])
    def test_only_the_gradient_that_is_wanted_is_computed(self, function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        computed = list[Any]()
        where = WhereFunction.forward
        monkeypatch.setattr(WhereFunction, "forward", lambda *arguments: computed.append(arguments) or where(*arguments))
        x, y = float64([3.0, 1.0]), float64([3.0, 2.0])
        for wanted, count in [([x], 2), ([y], 2), ([x, y], 3)]:
            computed.clear()
            grad(function(x, y).sum(), wanted)
            assert len(computed) == count

    def test_the_first_of_equal_pixels_gets_the_gradient(self) -> None:
        x = float64(numpy.ones((1, 2, 2, 1)))
        assert_array_equal(grad(F.max_pool2d(x, 2).sum(), x).numpy().ravel(), [1, 0, 0, 0])

    def test_at_zero(self) -> None:
        x = float64([0.0])
        known = [(F.relu, 0), (F.leaky_relu, 0.2), (F.abs, 0), (lambda x: F.clip(x, 0, 1), 1), (lambda x: x**0, 0), (lambda x: x**2, 0)]
        known += [(lambda x: x ** numpy.float32(0), 0), (lambda x: x ** float64([0.0]), 0), (lambda x: x ** float64([1.0]), 1)]
        assert [grad(function(x).sum(), x).item() for function, _ in known] == [slope for _, slope in known]


class TestRelu:
    def test_selects(self) -> None:
        x = float64([-1.0, -0.0, -numpy.inf, numpy.nan, numpy.inf])
        y = F.relu(x).numpy()
        assert_array_equal(y, [0, 0, 0, numpy.nan, numpy.inf])
        assert not numpy.signbit(y[:3]).any()

    def test_selects_the_gradient(self) -> None:
        x = float64([-1.0, 0.0, -numpy.inf, numpy.nan, 1.0])
        g_x = grad(F.relu(x), x, Tensor(numpy.array([-1.0, numpy.inf, numpy.nan, 2.0, numpy.inf]))).numpy()
        assert_array_equal(g_x, [0, 0, 0, 2, numpy.inf])
        assert not numpy.signbit(g_x).any()

    def test_batch_norm_selects_as_well(self) -> None:
        x, gamma, beta = float64([[1.0], [3.0]]), float64([1.0]), float64([0.0])
        y = F.batch_norm(x, gamma, beta, negative_slope=0.0)
        assert y.numpy()[0] == 0 and not numpy.signbit(y.numpy()[0])
        assert grad(y, beta, Tensor(numpy.array([[numpy.inf], [2.0]]))).item() == 2

    def test_of_an_infinity_a_leaky_one_is_infinite(self) -> None:
        assert F.leaky_relu(float64([-numpy.inf])).item() == -numpy.inf


class TestCreation:
    @modest
    @given(shape=shapes(), seed=st.integers(0, 9))
    def test_random_leaves_come_from_the_one_stream(self, shape: tuple[int, ...], seed: int) -> None:
        for draw in (F.rand, F.randn):
            manual_seed(seed)
            first, then = draw(shape, requires_grad=True), draw(shape)
            manual_seed(seed)
            assert first.numpy().tobytes() == draw(shape).numpy().tobytes() != then.numpy().tobytes()
            assert first.shape == shape and first.dtype == numpy.float32 and first.requires_grad and first.node is None

    def test_tensor_copies_and_takes_float32_for_numbers_with_a_point(self) -> None:
        array = numpy.ones(2)
        copy, shared = tensor(array), Tensor(array)
        array[0] = 5
        assert copy.numpy().tolist() == [1, 1] and shared.data is array
        assert [tensor(data).dtype for data in (1.5, [1, 2], array, [True])] == ["float32", "int64", "float64", "bool"]

    def test_takes_either_byte_order_and_tensors_and_gives_them_to_numpy(self) -> None:
        x = tensor(numpy.arange(3, dtype=">f4"))
        assert x.dtype.isnative and x.numpy().tolist() == [0, 1, 2]
        assert tensor([x, x]).numpy().tolist() == [[0, 1, 2]] * 2
        assert_array_equal(numpy.asarray(x), x.numpy())
        with pytest.raises(TypeError, match="the kernels take float32 and float64, not >f4"):
            F.relu(Tensor(numpy.arange(3, dtype=">f4")))

    def test_an_index_in_a_tuple_may_be_one(self) -> None:
        x = float64(numpy.zeros((3, 2)))
        assert (
            grad(x[(0, 0, 1), :].sum(), x).numpy().tolist() == grad(x[[0, 0, 1], :].sum(), x).numpy().tolist() == [[2, 2], [1, 1], [0, 0]]
        )

    def test_labels_may_be_a_list(self) -> None:
        logits = float64([[1.0, 2.0], [3.0, 5.0]])
        assert F.cross_entropy(logits, [0, 1]).item() == F.cross_entropy(logits, numpy.array([0, 1])).item()
        assert_array_equal(F.embedding(logits, [1, 0]).numpy(), logits.numpy()[::-1])

    def test_comparisons_give_masks_without_gradients(self) -> None:
        x = float64([1.0, 2.0, 3.0])
        masks = [x < 2, x <= 2, x > 2, x >= 2, x == 2, x != 2, x < x * x]
        assert [mask.numpy().tolist() for mask in masks] == [
            *([True, False, False], [True, True, False], [False, False, True], [False, True, True]),
            *([False, True, False], [True, False, True], [False, True, True]),
        ]
        assert not any(mask.requires_grad for mask in masks) and x in {x}
