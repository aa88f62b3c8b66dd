"""Sizes, paddings and tables: examples worked out by hand, and properties that hold for all."""

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from kernel_shapes import Convolution, convolutions
from tinygen_kernels.geometry import (
    inverse_table,
    output_size,
    pair,
    pooled_size,
    resolve_padding,
    source_tables,
    transposed_size,
)


def test_pair() -> None:
    assert pair(3, "stride") == (3, 3)
    assert pair((1, 2), "stride") == (1, 2)
    assert pair([numpy.int64(1), 2], "stride") == (1, 2)


@pytest.mark.parametrize("value", [1.5, "3", (1,), (1, 2, 3), (1, 2.0), None, True])
def test_pair_refuses(value: object) -> None:
    with pytest.raises(ValueError, match="stride is an integer or a pair of integers"):
        pair(value, "stride")


@pytest.mark.parametrize(
    ("padding", "resolved"),
    [
        (1, ((1, 1), (1, 1))),
        ((1, 2), ((1, 1), (2, 2))),
        (((1, 2), (3, 4)), ((1, 2), (3, 4))),
        ((1, (3, 4)), ((1, 1), (3, 4))),
        ("valid", ((0, 0), (0, 0))),
    ],
)
def test_resolve_padding(padding: object, resolved: object) -> None:
    assert resolve_padding(padding, (7, 7), (3, 3), (1, 1), (1, 1)) == resolved


def test_same_padding_puts_the_odd_row_at_the_bottom_and_right() -> None:
    assert resolve_padding("same", (28, 28), (4, 3), (1, 1), (1, 1)) == ((1, 2), (1, 1))
    assert resolve_padding("same", (28, 29), (3, 3), (2, 2), (1, 1)) == ((0, 1), (1, 1))
    assert resolve_padding("same", (9, 9), (1, 1), (3, 3), (1, 1)) == ((0, 0), (0, 0))


@given(convolutions())
def test_same_padding_makes_the_size_over_the_stride(c: Convolution) -> None:
    padding = resolve_padding("same", c.size, c.kernel_size, c.stride, c.dilation)
    output = output_size(c.size, c.kernel_size, c.stride, padding, c.dilation)
    assert output == (-(-c.size[0] // c.stride[0]), -(-c.size[1] // c.stride[1]))


@pytest.mark.parametrize(
    ("padding", "message"),
    [(-1, "cannot be negative"), (((0, -1), (0, 0)), "cannot be negative"), ("full", 'padding is "same"'), (1.5, "padding is an integer")],
)
def test_resolve_padding_refuses(padding: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resolve_padding(padding, (7, 7), (3, 3), (1, 1), (1, 1))


def test_a_window_that_does_not_fit_is_told_with_all_numbers() -> None:
    message = r"a window of 5x3 \(kernel 3x3, dilation \(2, 1\)\) does not fit into an image of 4x9 \(2x9 with padding \(\(1, 1\), "
    with pytest.raises(ValueError, match=message):
        output_size((2, 9), (3, 3), (1, 1), ((1, 1), (0, 0)), (2, 1))


def test_a_pooling_window_without_a_pixel_is_refused() -> None:
    assert pooled_size((4, 4), (2, 2), (2, 2), ((1, 1), (0, 0))) == (3, 2)
    with pytest.raises(ValueError, match="without a pixel"):
        pooled_size((4, 4), (2, 2), (2, 2), ((2, 0), (0, 0)))
    for size in ((0, 4), (4, 0)):  # where windows of padding alone would fit
        with pytest.raises(ValueError, match=r"an image of .x. has no pixel to pool"):
            pooled_size(size, (2, 2), (2, 2), ((1, 1), (1, 1)))


@given(convolutions(), st.data())
def test_a_transposed_size_is_mapped_back(c: Convolution, data: st.DataObject) -> None:
    padding = data.draw(st.sampled_from(["same", "valid", 0, 1, (0, 1)]))
    extra = (0, 0) if padding == "same" else (data.draw(st.integers(0, c.stride[0] - 1)), data.draw(st.integers(0, c.stride[1] - 1)))
    try:
        size, sides = transposed_size(c.size, c.kernel_size, c.stride, padding, extra, None, c.dilation)
    except ValueError as refused:
        assert "nothing is left" in str(refused)
        return
    assert output_size(size, c.kernel_size, c.stride, sides, c.dilation) == c.size
    assert transposed_size(c.size, c.kernel_size, c.stride, padding, 0, size, c.dilation) == (size, sides)
    if padding == "same":
        assert size == (c.size[0] * c.stride[0], c.size[1] * c.stride[1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"output_size": (16, 16)}, "13 to 14 rows and 13 to 14 columns"),
        ({"output_padding": 2}, "smaller than stride"),
        ({"output_padding": -1}, "smaller than stride"),
        ({"output_padding": 1, "output_size": 14}, "leave it out"),
        ({"padding": 8}, "nothing is left"),
    ],
)
def test_transposed_size_refuses(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        transposed_size(**{"size": (7, 7), "kernel_size": (3, 3), "stride": (2, 2), "padding": 1, **arguments})  # type: ignore[arg-type]


def test_source_tables_by_hand() -> None:
    rows, columns = source_tables((1, 3), (1, 2), (1, 2), ((0, 0), (1, 0)), (1, 1))
    assert rows.tolist() == [[0]]
    assert columns.tolist() == [[-1, 0], [1, 2]]
    assert inverse_table(columns, 3).tolist() == [[-1, 0], [1, -1], [-1, 1]]


@given(convolutions())
def test_the_inverse_table_leads_back(c: Convolution) -> None:
    for source, inputs in zip(source_tables(c.size, c.kernel_size, *c.window), c.size, strict=True):
        inverse = inverse_table(source, inputs)
        for there, back in ((source, inverse), (inverse, source)):
            i, tap = numpy.nonzero(there >= 0)
            assert (back[there[i, tap], tap] == i).all()
        assert (source >= 0).sum() == (inverse >= 0).sum()
