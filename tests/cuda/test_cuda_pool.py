"""The poolings of the GPU beside the reference."""

import types
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from device_arrays import make_results_full_of_nan, on_device
from hypothesis import example, given, settings
from hypothesis import strategies as st
from kernel_shapes import DTYPES, Convolution, error, in_any_layout, poolings
from tinygen_kernels import reference

pytestmark = pytest.mark.gpu

seeds = st.integers(0, 2**32 - 1)
small = poolings().map(lambda p: p._replace(images=min(p.images, 2), channels=min(p.channels, 3), outputs=min(p.channels, 3)))
LOPSIDED = Convolution(3, (7, 5), 11, 11, (3, 4), (2, 1), ((2, 0), (1, 3)), (1, 1))  # several blocks; no two numbers of it are alike
ONE = Convolution(1, (1, 1), 1, 1, (3, 2), (4, 3), ((1, 1), (1, 0)), (1, 1))
every_dtype = pytest.mark.parametrize("dtype", DTYPES)


@pytest.fixture(scope="module")
def cuda(cuda_kernels: types.ModuleType) -> Iterator[types.ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        make_results_full_of_nan(cuda_kernels.pool, patch)
        yield cuda_kernels


@every_dtype
@settings(deadline=None, max_examples=20)
@given(small, st.sampled_from(["plain", "ties", "nan", "infinite"]), seeds)
@example(LOPSIDED, "ties", 0)
@example(LOPSIDED, "nan", 0)
@example(ONE, "plain", 0)
def test_the_maximum_and_its_place(cuda: Any, dtype: Any, p: Convolution, kind: str, seed: int) -> None:
    random = numpy.random.default_rng(seed)
    x = random.standard_normal((p.images, *p.size, p.channels)).astype(dtype) - 3  # a padding of zeros would be larger
    if kind == "ties":
        x = numpy.round(x)
    elif kind == "nan":
        x[random.random(x.shape) < 0.2] = numpy.nan
    elif kind == "infinite":
        x[random.random(x.shape) < 0.8] = -numpy.inf
    x = in_any_layout(x, random)
    y, indices = cuda.max_pool2d(on_device(x), p.kernel_size, p.stride, p.padding)
    expected, places = reference.max_pool2d(x, p.kernel_size, p.stride, p.padding)
    assert y.dtype == dtype and indices.dtype == numpy.int32
    numpy.testing.assert_array_equal(indices.get(), places)
    numpy.testing.assert_array_equal(y.get(), expected)


@every_dtype
@settings(deadline=None, max_examples=20)
@given(small, seeds)
@example(LOPSIDED, 0)
@example(ONE, 0)
def test_the_reference_is_met(cuda: Any, dtype: Any, p: Convolution, seed: int) -> None:
    x, _, g = p.arrays(dtype, seed)
    window = p.kernel_size, p.stride, p.padding
    indices = numpy.asfortranarray(reference.max_pool2d(x, *window)[1])
    on_device_x, on_device_g, on_device_indices = on_device(x), on_device(g), on_device(indices)
    gathered = cuda.max_pool2d_gather(on_device_x, on_device_indices).get()
    numpy.testing.assert_array_equal(gathered, reference.max_pool2d_gather(x, indices))
    for result, exact in (
        (
            cuda.max_pool2d_scatter(on_device_g, on_device_indices, p.size, *window),
            reference.max_pool2d_scatter(g, indices, p.size, *window),
        ),
        (cuda.avg_pool2d(on_device_x, *window), reference.avg_pool2d(x, *window)),
        (cuda.avg_pool2d_data(on_device_g, p.size, *window), reference.avg_pool2d_data(g, p.size, *window)),
    ):
        assert result.dtype == dtype and result.flags.c_contiguous
        assert error(result.get(), exact, 1) < 10 * numpy.finfo(dtype).eps
