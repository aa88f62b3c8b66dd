"""Strides, paddings, dilations and sizes for hypothesis: all ways to say a padding, sizes the stride does not divide, single pixels."""

from typing import Any

from hypothesis import strategies as st
from tinygen_kernels import Padding, Pair
from tinygen_kernels.geometry import output_size, resolve_padding

from tinygen.engine.tensor import Shape

one_or_two, up_to_three = st.integers(1, 2), st.integers(1, 3)


@st.composite
def sides(draw: st.DrawFn, most: int) -> Any:
    """A padding, in one of the ways to say it, of at most so many zeros on a side."""
    width = st.integers(0, most)
    pair = st.tuples(width, width)
    return draw(st.sampled_from(["same", "valid"]) | width | pair | st.tuples(pair, pair))


@st.composite
def geometries(draw: st.DrawFn, dilated: bool = True, whole: bool = True) -> tuple[Pair, Pair, Pair, Any, Pair, Padding]:
    """Image size, kernel size, stride, padding as a user says it, dilation, and the padding resolved.

    Without `whole`, no side of the padding is as large as the kernel, so that every window holds a pixel.
    """
    kernel_size = draw(st.tuples(up_to_three, up_to_three))
    stride = draw(st.tuples(up_to_three, up_to_three))
    dilation = draw(st.tuples(one_or_two, one_or_two)) if dilated else (1, 1)
    padding = draw(sides(most=2 if whole else min(kernel_size) - 1))
    # Sizes from the smallest image that the window fits into.
    resolved = resolve_padding(0 if padding == "same" else padding, (1, 1), kernel_size, stride, dilation)
    least = [
        1 if padding == "same" else max(1, (k - 1) * d + 1 - sum(both)) for k, d, both in zip(kernel_size, dilation, resolved, strict=True)
    ]
    size = least[0] + draw(st.integers(0, 3)), least[1] + draw(st.integers(0, 3))
    return size, kernel_size, stride, padding, dilation, resolve_padding(padding, size, kernel_size, stride, dilation)


@st.composite
def convolutions(draw: st.DrawFn, bias: bool) -> tuple[list[Shape], dict[str, Any]]:
    """The shapes of x, weight and bias of a conv2d, and its other arguments."""
    size, kernel_size, stride, padding, dilation, _ = draw(geometries())
    n, c, k = draw(st.tuples(one_or_two, one_or_two, up_to_three))
    taken: list[Shape] = [(n, *size, c), (*kernel_size, c, k), (k,)]
    return taken[: 2 + bias], {"stride": stride, "padding": padding, "dilation": dilation}


@st.composite
def grouped_convolutions(draw: st.DrawFn) -> tuple[list[Shape], dict[str, Any]]:
    """Two or three groups, each of one or two input channels."""
    (x, (*kernel_size, c, k), _), arguments = draw(convolutions(bias=True))
    groups = draw(st.integers(2, 3))
    return [(*x[:3], c * groups), (*kernel_size, c, k * groups), (k * groups,)], {**arguments, "groups": groups}


@st.composite
def transposed_convolutions(draw: st.DrawFn, bias: bool) -> tuple[list[Shape], dict[str, Any]]:
    """The same of a conv_transpose2d: a convolution is drawn, and transposed."""
    size, kernel_size, stride, padding, dilation, resolved = draw(geometries())
    made = output_size(size, kernel_size, stride, resolved, dilation)
    n, c, k = draw(st.tuples(one_or_two, one_or_two, up_to_three))
    arguments = {"stride": stride, "padding": padding, "dilation": dilation}
    if padding == "same" or draw(st.booleans()):
        arguments["output_size"] = size
    else:
        arguments["output_padding"] = tuple(
            n - ((m - 1) * s + (t - 1) * d + 1 - sum(both))
            for n, m, s, t, d, both in zip(size, made, stride, kernel_size, dilation, resolved, strict=True)
        )
    taken: list[Shape] = [(n, *made, c), (*kernel_size, k, c), (k,)]
    return taken[: 2 + bias], arguments


@st.composite
def pools(draw: st.DrawFn) -> tuple[list[Shape], dict[str, Any]]:
    """The shape of x and the other arguments of a pooling."""
    size, kernel_size, stride, padding, _, _ = draw(geometries(dilated=False, whole=False))
    n, c = draw(st.tuples(one_or_two, up_to_three))
    default = stride == kernel_size
    return [(n, *size, c)], {"kernel_size": kernel_size, "padding": padding, "stride": None if default else stride}
