"""Every rung of the ladder is the same convolution."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from kernel_shapes import Convolution, convolutions, error
from tinygen_kernels import ladder, reference


@pytest.mark.parametrize("rung", ladder.RUNGS)
@settings(deadline=None, max_examples=25)
@given(convolution=convolutions(), bias=st.booleans(), seed=st.integers(0, 2**32 - 1))
def test_it_is_the_reference(rung: str, convolution: Convolution, bias: bool, seed: int) -> None:
    if rung == "loops":  # in the interpreter
        convolution = convolution._replace(images=1, channels=2, outputs=3)
    x, w, _ = convolution.arrays(numpy.float32, seed)
    b = numpy.random.default_rng(seed).standard_normal(convolution.outputs).astype(numpy.float32) if bias else None
    exact = reference.conv2d(*(None if a is None else a.astype(numpy.float64) for a in (x, w, b)), *convolution.window)
    y = ladder.conv2d(rung, x, w, b, *convolution.window)
    assert y.dtype == numpy.float32 and y.shape == exact.shape
    assert error(y, exact, convolution.terms["y"]) < 2e-6


def test_the_docstring_lists_the_rungs_in_their_order() -> None:
    lines = [line.split()[0] for line in (ladder.__doc__ or "").splitlines() if line.startswith("    ")]
    assert tuple(lines) == ladder.RUNGS
