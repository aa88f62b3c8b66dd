"""Every rung of the ladder is the same convolution."""

from typing import Any

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


@pytest.mark.parametrize("rung", ["innermost", "block"])
def test_arrays_start_on_cache_lines(rung: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever those of the caller start: off a line, a vector in two lies on two lines, and rungs take up to twice as long."""
    module, function = ladder.module(rung), "_blocks" if rung == "block" else "convolve"
    starts: list[int] = []

    def moved(*arguments: Any) -> None:
        starts.extend(a.ctypes.data % 64 for a in arguments if isinstance(a, numpy.ndarray))

    monkeypatch.setattr(module, function, moved)
    memory = numpy.ones(1 << 18, numpy.float32)
    for first in range(16):
        x, w = memory[first:][: 2 * 64 * 64 * 3].reshape(2, 64, 64, 3), memory[first:][: 9 * 3 * 5].reshape(3, 3, 3, 5)
        with numpy.errstate(invalid="ignore"):  # nobody has written the result
            ladder.conv2d(rung, x, w, None, (1, 1), ((1, 1), (1, 1)), (1, 1))
    assert len(starts) == 16 * 3 and not any(starts)


def test_the_docstring_lists_the_rungs_in_their_order() -> None:
    lines = [line.split()[0] for line in (ladder.__doc__ or "").splitlines() if line.startswith("    ")]
    assert tuple(lines) == ladder.RUNGS
