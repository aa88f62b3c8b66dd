"""The elementwise kernels of the GPU beside the reference."""

import types
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from device_arrays import make_results_full_of_nan, on_device
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_shapes import ADAM, DTYPES, error, in_any_layout
from numpy.testing import assert_array_equal
from tinygen_kernels import reference

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")]  # 0 * inf, by the simulator

seeds = st.integers(0, 2**64 - 1)
shapes = st.sampled_from([(), (0, 3), (1,), (7,), (256,), (5, 4, 3), (2, 129), (3, 200)])  # up to three blocks
slopes = st.sampled_from([0.0, 0.2, 1.0])
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
modest = settings(deadline=None, max_examples=20)


@pytest.fixture(scope="module")
def cuda(cuda_kernels: types.ModuleType) -> Iterator[types.ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        make_results_full_of_nan(cuda_kernels.elementwise, patch)
        yield cuda_kernels


def arrays(count: int, shape: tuple[int, ...], dtype: Any, seed: int) -> list[Any]:
    """Random arrays with every kind of number in them."""
    random = numpy.random.default_rng(seed)
    values = random.standard_normal((count, *shape))
    special = random.integers(20, size=values.shape)
    for i, number in enumerate([0.0, -0.0, numpy.nan, numpy.inf, -numpy.inf]):
        values = numpy.where(special == i, number, values)
    return [in_any_layout(value.astype(dtype), random) if shape else numpy.array(value, dtype) for value in values]


@every_dtype
@modest
@given(shapes, slopes, seeds)
@example((2, 129), 0.2, 0)
def test_leaky_relu_and_its_gradient(cuda: Any, dtype: Any, shape: tuple[int, ...], slope: float, seed: int) -> None:
    x, g = arrays(2, shape, dtype, seed)
    for result, exact in (
        (cuda.leaky_relu(on_device(x), slope), reference.leaky_relu(x, slope)),
        (cuda.leaky_relu_backward(on_device(g), on_device(x), slope), reference.leaky_relu_backward(g, x, slope)),
    ):
        assert result.dtype == dtype and result.flags.c_contiguous
        assert_array_equal(result.get(), exact)


@every_dtype
@modest
@given(shapes, seeds)
def test_the_gradient_of_tanh(cuda: Any, dtype: Any, shape: tuple[int, ...], seed: int) -> None:
    g, x = numpy.random.default_rng(seed).standard_normal((2, *shape)).astype(dtype)
    y = numpy.tanh(x)
    found = cuda.tanh_backward(on_device(g), on_device(y))
    assert found.dtype == dtype and close(found, reference.tanh_backward(g, y))


@every_dtype
@modest
@given(shapes, st.sampled_from([0.0, 1e-9, 0.3, 0.5, 0.999, 1 - 2**-53]), seeds)
@example((2, 129), 0.3, 2**40 + 7)
def test_dropout_is_the_reference_bit_for_bit(cuda: Any, dtype: Any, shape: tuple[int, ...], p: float, seed: int) -> None:
    (x,) = arrays(1, shape, dtype, seed)
    y, expected = cuda.dropout(on_device(x), p, seed), reference.dropout(x, p, seed)
    assert y.dtype == expected.dtype == dtype and y.flags.c_contiguous
    found = y.get()
    assert_array_equal(numpy.isnan(found), numpy.isnan(expected))
    kept = ~numpy.isnan(found)
    assert found[kept].tobytes() == expected[kept].tobytes()


def close(result: Any, exact: Any) -> bool:
    return not exact.size or error(result.get(), exact) < 20 * numpy.finfo(exact.dtype).eps


@every_dtype
@pytest.mark.parametrize("shape", [(2, 129), ()])
def test_sigmoid_softplus_and_cross_entropy(cuda: Any, dtype: Any, shape: tuple[int, ...]) -> None:
    """Targets are a number, one for each logit or one for each row. So is the gradient, or it is one for all."""
    random = numpy.random.default_rng(0)
    z, g, t = (in_any_layout(x.astype(dtype), random) if shape else numpy.array(x, dtype) for x in 8 * random.standard_normal((3, *shape)))
    own_z = on_device(z)
    assert close(cuda.sigmoid(own_z), reference.sigmoid(z))
    assert close(cuda.softplus(own_z), reference.softplus(z))
    for targets, (gradient, own_gradient) in (
        (0.75, (g, on_device(g))),
        (t, one_number(dtype, shape)),
        (t[:, :1].copy() if shape else t, (g, on_device(g))),
    ):
        own = targets if isinstance(targets, float) else on_device(targets)
        assert close(cuda.binary_cross_entropy(own_z, own), reference.binary_cross_entropy(z, targets))
        found = cuda.binary_cross_entropy_backward(own_gradient, own_z, own)
        assert found.dtype == dtype and found.flags.c_contiguous
        assert close(found, reference.binary_cross_entropy_backward(gradient, z, targets))


def one_number(dtype: Any, shape: tuple[int, ...]) -> tuple[Any, Any]:
    """A number seen as many, as the gradient of a mean is."""
    import cupy

    return numpy.broadcast_to(dtype(1.5), shape), cupy.broadcast_to(on_device(numpy.array(1.5, dtype)), shape)


def test_large_numbers(cuda: Any) -> None:
    z = on_device(numpy.array([-1000.0, 1000.0, numpy.nan], "f"))
    assert_array_equal(cuda.softplus(z).get(), numpy.array([0.0, 1000.0, numpy.nan], "f"))
    assert_array_equal(cuda.sigmoid(z).get(), numpy.array([0.0, 1.0, numpy.nan], "f"))
    assert_array_equal(cuda.binary_cross_entropy(z, 1.0).get(), numpy.array([1000.0, 0.0, numpy.nan], "f"))


@pytest.mark.parametrize("shares", [(0.75, 0.5), numpy.array([0.75, 0.5], "f")])
def test_blend(cuda: Any, shares: Any) -> None:
    """One array, and ten by two launches, of any layout."""
    random = numpy.random.default_rng(0)
    shapes = [(3,), (0,), (4, 2), (1,), (2, 2), (600,), (5,), (7,), (2,), ()]
    a, b = (tuple(numpy.asfortranarray(random.standard_normal(shape).astype("f")) for shape in shapes) for _ in range(2))
    together, alone, other = tuple(map(on_device, a)), tuple(map(on_device, a)), tuple(map(on_device, b))
    own_shares = shares if isinstance(shares, tuple) else on_device(shares)
    cuda.blend(together, other, own_shares)
    reference.blend(a, b, shares)
    for one, all_at_once, from_other, exact in zip(alone, together, other, a, strict=True):
        cuda.blend(one, from_other, own_shares)
        assert one.get().tobytes() == all_at_once.get().tobytes()
        assert close(one, exact)


@pytest.mark.parametrize("first", [1, 2])
def test_dropout_of_a_part_is_that_part_of_all(cuda: Any, first: int) -> None:
    x = numpy.ones(50, numpy.float32)
    assert_array_equal(cuda.dropout(on_device(x[first:]), 0.5, 7, first).get(), cuda.dropout(on_device(x), 0.5, 7).get()[first:])


def test_an_element_stays_whose_word_is_not_below_the_rate(cuda: Any) -> None:
    x = on_device(numpy.ones(2))
    for i, word in enumerate((0xFF1DAE59, 0x6CD10DF2)):  # the first two of seed 0, published with Salmon et al.'s Random123
        assert cuda.dropout(x, word / 2**32, 0).get()[i] != 0
        assert cuda.dropout(x, (word + 1) / 2**32, 0).get()[i] == 0


@every_dtype
@modest
@given(shapes, seeds)
@example((2, 129), 0)
def test_adam(cuda: Any, dtype: Any, shape: tuple[int, ...], seed: int) -> None:
    random = numpy.random.default_rng(seed)
    p, g, m, v = random.standard_normal((4, *shape)).astype(dtype)
    expected = [numpy.array(a) for a in (p, m, abs(v))]
    own = [on_device(in_any_layout(a, random) if shape else a) for a in (p, m, abs(v))]
    reference.adam(expected[0], g, *expected[1:], ADAM.astype(dtype))
    cuda.adam(own[0], on_device(in_any_layout(g, random) if shape else g), *own[1:], on_device(ADAM.astype(dtype)))
    for moved, exact in zip(own, expected, strict=True):
        assert moved.dtype == dtype
        assert not moved.size or error(moved.get(), exact) < 20 * numpy.finfo(dtype).eps


def test_adam_moves_many_arrays_as_it_moves_one(cuda: Any) -> None:
    """Ten by two launches. One of them has more elements than its row of blocks has threads."""
    random = numpy.random.default_rng(0)
    shapes = [(3,), (0,), (4, 2), (1,), (2, 2), (600,), (5,), (7,), (2,), ()]
    arrays = [[abs(random.standard_normal(shape)).astype("f") for shape in shapes] for _ in range(4)]
    together, alone = ([tuple(map(on_device, each)) for each in arrays] for _ in range(2))
    constants = on_device(ADAM.astype("f"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cuda.elementwise, "_MOST", 2)
        cuda.adam(*together, constants)
    for p, g, m, v in zip(*alone, strict=True):
        cuda.adam(p, g, m, v, constants)
    for i, changes in enumerate([True, False, True, True]):
        for moved, other, before in zip(together[i], alone[i], arrays[i], strict=True):
            assert moved.get().tobytes() == other.get().tobytes()
            assert not before.size or (moved.get() != before).all() == changes


@every_dtype
def test_adam_moves_arrays_of_any_layout(cuda: Any, dtype: Any) -> None:
    import cupy

    gradient = numpy.random.default_rng(0).standard_normal((30, 20)).astype(dtype)
    g = cupy.asarray(gradient)
    plain = [cupy.ones((30, 20), dtype) for _ in range(3)]
    backing = cupy.ones((3, 30, 40), dtype)
    views = [cupy.ones((20, 30), dtype).T, backing[1, :, ::2], backing[2, ::-1, :20]]
    cuda.adam(plain[0], g, *plain[1:], on_device(ADAM.astype(dtype)))
    cuda.adam(views[0], g, *views[1:], on_device(ADAM.astype(dtype)))
    for a, b in zip(plain, views, strict=True):
        assert (a.get() != 1).all()
        assert_array_equal(a.get(), b.get())
    assert_array_equal(g.get(), gradient)
    assert (backing[1, :, 1::2].get() == 1).all() and (backing[2, :, 20:].get() == 1).all() and (backing[0].get() == 1).all()


def test_a_gradient_that_is_one_number_seen_as_many(cuda_kernels: types.ModuleType) -> None:
    import cupy

    g = cupy.broadcast_to(cupy.full((1, 1), 2, "float32"), (1, 1))
    assert cuda_kernels.leaky_relu_backward(g, cupy.ones((1, 1), "float32"), 0.2).get() == 2
