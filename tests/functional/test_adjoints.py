"""Linear functions and their adjoints, <f(x), g> = <x, f*(g)>, to rounding: no step, no oracle, and any mistake in a border shows."""

from typing import Any

import numpy
from geometry_strategies import geometries
from hypothesis import given, settings
from hypothesis import strategies as st
from tinygen_kernels.geometry import output_size

import tinygen.functional as F
from tinygen import Tensor
from tinygen.functional.conv import Conv2DDataFunction, Conv2DFunction, Conv2DWeightFunction
from tinygen.functional.indexing import GetItemFunction, ScatterFunction
from tinygen.functional.pool import (
    AvgPool2DDataFunction,
    AvgPool2DFunction,
    MaxPool2DFunction,
    MaxPool2DGatherFunction,
    MaxPool2DScatterFunction,
)
from tinygen.testing import shapes

thorough = settings(deadline=None, max_examples=100)
seeds = st.integers(0, 2**32 - 1)
up_to_three = st.integers(1, 3)


def normal(rng: numpy.random.Generator, *shape: int) -> Tensor:
    return Tensor(rng.standard_normal(shape))


def assert_same_products(*pairs: tuple[Tensor, Tensor]) -> None:
    """Assert that <a, b> is one number for all pairs (a, b)."""
    products = [float((a.data * b.data).sum()) for a, b in pairs]
    scale = max(float(abs(a.data * b.data).sum()) for a, b in pairs)
    assert max(products) - min(products) <= 1e-12 * scale, products


@thorough
@given(geometry=geometries(), n=up_to_three, c=up_to_three, k=up_to_three, seed=seeds)
def test_the_three_convolutions_are_one_trilinear_form(geometry: Any, n: int, c: int, k: int, seed: int) -> None:
    size, kernel_size, stride, _, dilation, padding = geometry
    made, rng = output_size(size, kernel_size, stride, padding, dilation), numpy.random.default_rng(seed)
    x, w, g = normal(rng, n, *size, c), normal(rng, *kernel_size, c, k), normal(rng, n, *made, k)
    assert_same_products(
        (Conv2DFunction(stride, padding, dilation)(x, w, None), g),
        (x, Conv2DDataFunction(size, stride, padding, dilation)(g, w, None)),
        (w, Conv2DWeightFunction(kernel_size, stride, padding, dilation)(x, g)),
    )


@thorough
@given(geometry=geometries(), seed=seeds)
def test_a_transposed_convolution_takes_the_arguments_of_the_convolution(geometry: Any, seed: int) -> None:
    """<conv2d(x, w), g> = <x, conv_transpose2d(g, w)> with the same weight array, stride and padding; only the size is left to name."""
    size, kernel_size, stride, padding, dilation, _ = geometry
    rng = numpy.random.default_rng(seed)
    x, w = normal(rng, 2, *size, 2), normal(rng, *kernel_size, 2, 3)
    y = F.conv2d(x, w, None, stride, padding, dilation)
    g = normal(rng, *y.shape)
    assert_same_products((y, g), (x, F.conv_transpose2d(g, w, None, stride, padding, output_size=size, dilation=dilation)))


@thorough
@given(geometry=geometries(dilated=False, whole=False), seed=seeds)
def test_pooling_and_its_adjoint(geometry: Any, seed: int) -> None:
    """Max pooling, once it has chosen its pixels, is a linear gather; average pooling is linear as it is."""
    size, kernel_size, stride, _, _, padding = geometry
    rng = numpy.random.default_rng(seed)
    x, other = normal(rng, 2, *size, 3), normal(rng, 2, *size, 3)
    windows = kernel_size, stride, padding
    pool = MaxPool2DFunction(*windows)
    g = normal(rng, *pool(x).shape)
    assert_same_products(
        (MaxPool2DGatherFunction(pool.indices, *windows)(other), g), (other, MaxPool2DScatterFunction(pool.indices, size, *windows)(g))
    )
    assert_same_products((AvgPool2DFunction(*windows)(other), g), (other, AvgPool2DDataFunction(size, *windows)(g)))


@thorough
@given(shape=shapes(1, 3, 4), data=st.data(), seed=seeds)
def test_places_that_are_read_twice_are_added_to_twice(shape: tuple[int, ...], data: st.DataObject, seed: int) -> None:
    rows = st.lists(st.integers(-shape[0], shape[0] - 1), min_size=1, max_size=6)
    index, rng = numpy.array(data.draw(rows)), numpy.random.default_rng(seed)
    x, g = normal(rng, *shape), normal(rng, len(index), *shape[1:])
    assert_same_products((GetItemFunction(index)(x), g), (x, ScatterFunction(index, shape)(g)))
