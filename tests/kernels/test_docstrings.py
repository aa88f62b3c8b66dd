"""What the docstrings of the kernels show is computed here: the table of a convolution, and the line that each convolution is."""

import doctest
import itertools
import re
from types import ModuleType
from typing import Any

import numpy
import pytest
from tinygen_kernels import reference
from tinygen_kernels.cpu import conv, winograd_matrices


@pytest.mark.parametrize(("module", "lines"), [(conv, 6), (winograd_matrices, 10)])
def test_what_is_printed_is_what_is_computed(module: ModuleType, lines: int) -> None:
    results = doctest.testmod(module)
    assert results.attempted == lines and results.failed == 0


def test_seven_loops_around_one_line_are_each_convolution() -> None:
    lines = dict(re.findall(r"^    (conv2d\w*) +(\w\[\w,\w,\w,\w\] \+= .*)$", reference.__doc__ or "", re.MULTILINE))
    (sh, sw), ((top, _), (left, _)), (dh, dw) = geometry = (2, 1), ((1, 0), (1, 2)), (1, 2)
    random = numpy.random.default_rng(0)
    arrays = {"x": random.normal(size=(2, 4, 5, 3)), "w": random.normal(size=(3, 2, 3, 2)), "y": random.normal(size=(2, 2, 6, 2))}
    x, w, y = arrays.values()
    expected = {
        "conv2d": reference.conv2d(x, w, None, *geometry),
        "conv2d_data": reference.conv2d_data(y, w, None, (4, 5), *geometry),
        "conv2d_weight": reference.conv2d_weight(x, y, (3, 2), *geometry),
    }
    assert list(lines) == list(expected)
    for name, line in lines.items():
        names: dict[str, Any] = {**arrays, line[0]: numpy.zeros_like(arrays[line[0]])}
        for n, i, j, k, a, b, c in itertools.product(*map(range, (*y.shape, *w.shape[:3]))):
            p, q = i * sh - top + a * dh, j * sw - left + b * dw
            if 0 <= p < 4 and 0 <= q < 5:
                exec(line, {**names, "n": n, "i": i, "j": j, "k": k, "a": a, "b": b, "c": c, "p": p, "q": q})
        numpy.testing.assert_allclose(names[line[0]], expected[name], rtol=1e-12, atol=1e-12)
