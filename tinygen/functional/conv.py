"""Convolution and transposed convolution: three functions, each the derivative of the others.

<a, b> is the sum of the products of the elements of a and b, which have one shape. A function f that
is linear in x has an adjoint f* with <f(x), g> = <x, f*(g)> for all x and g. Its derivative needs no
more than that. With g the gradient of the loss L to the output y = f(x), a small change dy changes L
by <dy, g>. Hold g fixed: L and <y, g> then have the same derivative in x. And <y, g> is <x, f*(g)>,
the sum of x[i] times f*(g)[i]: its derivative in x[i] is f*(g)[i]. So backward returns f*(g).

A convolution y = conv2d(x, w) is linear in x and in w, so it has an adjoint for each:

    <conv2d(x, w), g> = <x, conv2d_data(g, w)> = <w, conv2d_weight(x, g)>

x is always the large image, y and g are small ones, and w is the weight. Each of the three functions
is linear in both of its inputs, and the identity names all of their adjoints. Take conv2d_data, whose
output is a large image, so that its gradient is one, too: call it G. Rename in the identity: G for x,
since both are large, and y for g, since both are small. It says

    <conv2d_data(y, w), G> = <y, conv2d(G, w)> = <w, conv2d_weight(G, y)>

y is multiplied with conv2d(G, w), which is its gradient, and w with conv2d_weight(G, y), which is its
own. That is the second row of this table, where the gradient that comes in is called g again; the
other rows are found in the same way:

    function                         backward to the first      backward to the second
    conv2d(x, w)                     conv2d_data(g, w)          conv2d_weight(x, g)
    conv2d_data(y, w)                conv2d(g, w)               conv2d_weight(g, y)
    conv2d_weight(x, y)              conv2d_data(y, g)          conv2d(x, g)

conv2d_data is the transposed convolution: it takes the small image y and gives a large one, x. Images
are (N, H, W, C). The weight of a convolution from C to K channels is (kh, kw, C, K), and a transposed
convolution takes the weight of the convolution that it transposes (Dumoulin & Visin, 2016).

The nodes are `Conv2DFunction`, `Conv2DDataFunction` and `Conv2DWeightFunction`. They take their
geometry in pairs, the padding as ((top, bottom), (left, right)):

    to_w = Conv2DWeightFunction((kh, kw), stride, padding, dilation)(g, y)     # the second row's
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tinygen_kernels import Padding, Pair, for_array
from tinygen_kernels.geometry import output_size, pair, resolve_padding, transposed_size

from tinygen.backend import Array, array_module
from tinygen.engine.function import Function
from tinygen.engine.fused import Fused
from tinygen.engine.mode import is_recording
from tinygen.engine.tensor import Tensor
from tinygen.functional.activation import LeakyReLUGradientFunction, leaky_relu
from tinygen.functional.selection import where
from tinygen.functional.shape import concatenate, split, tile

# Below so many input channels a convolution is not faster than one of twice as many.
_WIDE = 16

PairLike = int | Pair
PaddingLike = int | str | Pair | Padding


def image_size(x: Tensor) -> Pair:
    """The rows and columns of images (N, H, W, C)."""
    return x.shape[1], x.shape[2]


def expect_images(name: str, x: Tensor) -> None:
    """Raise an error unless x is a batch of images (N, H, W, C) of floating-point numbers."""
    if x.ndim != 4:
        cure = "; one image is x[None], and images of one channel are x[..., None]" if x.ndim == 3 else ""
        raise ValueError(f"{name}: input must be (N, H, W, C), got {x.shape}{cure}")
    if x.dtype.kind != "f":
        cure = "tinygen.data.to_float(images, low, high) scales bytes" if x.dtype == "uint8" else "convert it with .astype('float32')"
        raise TypeError(f"{name}: input must be floating point, got {x.dtype} {x.shape}; {cure}")


def positive_pair(value: PairLike, what: str) -> Pair:
    """(rows, columns), each at least 1, from one integer or two."""
    both = pair(value, what)
    if min(both) < 1:
        raise ValueError(f"{what} must be at least 1, got {value}")
    return both


def _kernel_size(w: Tensor) -> Pair:
    """The rows and columns of a weight (kh, kw, C, K)."""
    return w.shape[0], w.shape[1]


@dataclass(slots=True, eq=False)
class Conv2DFunction(Function):
    """A convolution, by the kernel of the device of its arrays."""

    stride: Pair
    padding: Padding
    dilation: Pair

    def forward(self, x: Array, w: Array, bias: Array | None, negative_slope: float = 1.0) -> Array:
        return for_array(x, w, bias).conv2d(x, w, bias, self.stride, self.padding, self.dilation, negative_slope)

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], x: Tensor, w: Tensor, bias: Tensor | None) -> tuple[Tensor | None, ...]:
        geometry = self.stride, self.padding, self.dilation
        # The weight's gradient comes first, because it is the smaller one to hold while the other is computed.
        to_w = Conv2DWeightFunction(_kernel_size(w), *geometry)(x, g) if needs[1] else None
        to_x = Conv2DDataFunction(image_size(x), *geometry)(g, w, None) if needs[0] else None
        return to_x, to_w, g.sum(axis=(0, 1, 2)) if needs[2] else None


@dataclass(slots=True, eq=False)
class Conv2DDataFunction(Function):
    """The gradient of a convolution to its images, which is the transposed convolution."""

    size: Pair
    stride: Pair
    padding: Padding
    dilation: Pair

    def forward(self, y: Array, w: Array, bias: Array | None, negative_slope: float = 1.0) -> Array:
        return for_array(y, w, bias).conv2d_data(y, w, bias, self.size, self.stride, self.padding, self.dilation, negative_slope)

    def backward(self, g: Tensor, x: Tensor, needs: Sequence[bool], y: Tensor, w: Tensor, bias: Tensor | None) -> tuple[Tensor | None, ...]:
        geometry = self.stride, self.padding, self.dilation
        to_w = Conv2DWeightFunction(_kernel_size(w), *geometry)(g, y) if needs[1] else None
        to_y = Conv2DFunction(*geometry)(g, w, None) if needs[0] else None
        return to_y, to_w, g.sum(axis=(0, 1, 2)) if needs[2] else None


@dataclass(slots=True, eq=False)
class Conv2DWeightFunction(Function):
    """The gradient of a convolution to its weight, of the large x and the small y."""

    size: Pair
    stride: Pair
    padding: Padding
    dilation: Pair

    def forward(self, x: Array, y: Array) -> Array:
        return for_array(x, y).conv2d_weight(x, y, self.size, self.stride, self.padding, self.dilation)

    def backward(self, g: Tensor, w: Tensor, needs: Sequence[bool], x: Tensor, y: Tensor) -> tuple[Tensor | None, ...]:
        geometry = self.stride, self.padding, self.dilation
        to_x = Conv2DDataFunction(image_size(x), *geometry)(y, g, None) if needs[0] else None
        return to_x, Conv2DFunction(*geometry)(x, g, None) if needs[1] else None


@dataclass(slots=True, eq=False)
class ConvLeakyReLUFunction(Fused):
    """A convolution and a leaky ReLU in one pass. The gradient passes the latter by the sign of the result."""

    convolution: Conv2DFunction | Conv2DDataFunction
    negative_slope: float

    def composite(self, x: Tensor, w: Tensor, bias: Tensor | None) -> Tensor:
        return leaky_relu(replace(self.convolution)(x, w, bias), self.negative_slope)

    def forward(self, x: Array, w: Array, bias: Array | None) -> Array:
        return self.convolution.forward(x, w, bias, self.negative_slope)

    def backward(self, g: Tensor, y: Tensor, needs: Sequence[bool], x: Tensor, w: Tensor, bias: Tensor | None) -> tuple[Tensor | None, ...]:
        if is_recording() or not needs[2]:
            g_z = LeakyReLUGradientFunction(y.data, self.negative_slope)(g)
            return self.convolution.backward(g_z, y, needs, x, w, bias)
        g_z, to_bias = map(Tensor, for_array(g.data, y.data).bias_leaky_relu_backward(g.data, y.data, self.negative_slope))
        return (*self.convolution.backward(g_z, y, (*needs[:2], False), x, w, bias)[:2], to_bias)


def conv2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    dilation: PairLike = 1,
    groups: int = 1,
    negative_slope: float = 1.0,
) -> Tensor:
    """The convolution of images with a kernel.

        y[n, i, j, k] = bias[k] + sum over a, b, c of x[n, p, q, c] weight[a, b, c, k]
        p = i stride + a dilation - top,    q = j stride + b dilation - left

    x (N, H, W, C), weight (kh, kw, C, K), bias (K,) -> y (N, H', W', K) with

        H' = (H + top + bottom - dilation (kh - 1) - 1) // stride + 1

    Pixels outside of x count as zeros, the padding. `padding` is the number of them on all sides,
    (rows, columns), ((top, bottom), (left, right)), "valid" (none) or "same": as many as make
    H' = ceil(H / stride), an odd one at the bottom and right, as in TensorFlow. A leaky ReLU of
    `negative_slope` follows in the same pass over memory: 0 gives a ReLU, and 1 none. With `groups` the
    input and output channels form so many groups of neighbours, and each group of outputs sees its own
    group of inputs only; the weight is (kh, kw, C / groups, K), and with C groups depthwise.

    Raises ValueError where shapes do not agree, groups does not divide K, the window does not fit or
    negative_slope is negative, and TypeError where dtypes do not agree.
    """
    _expect("conv2d", x, weight, weight.shape[2:3], bias, weight.shape[3:], groups)
    if groups > 1:
        return _in_groups(x, weight, bias, groups, stride, padding, dilation, negative_slope)
    kernel_size, strides, dilations = _kernel_size(weight), positive_pair(stride, "stride"), positive_pair(dilation, "dilation")
    sides = resolve_padding(padding, image_size(x), kernel_size, strides, dilations)
    output_size(image_size(x), kernel_size, strides, sides, dilations)
    return _activated("conv2d", Conv2DFunction(strides, sides, dilations), negative_slope)(x, weight, bias)


def _in_groups(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    groups: int,
    stride: PairLike,
    padding: PaddingLike,
    dilation: PairLike,
    negative_slope: float,
) -> Tensor:
    """The groups one after the other, but thin ones together, by a weight that is 0 from each group to the others."""
    taken, given = weight.shape[2], weight.shape[3] // groups
    together = max(n for n in range(1, groups + 1) if groups % n == 0 and (n == 1 or n * taken <= _WIDE))
    parts, xp = groups // together, array_module(weight.data)
    own = Tensor(xp.arange(together * taken)[:, None] // taken == xp.arange(together * given) // given)
    biases = [None] * parts if bias is None else split(bias, parts)
    ys = []
    for part, w, b in zip(split(x, parts, 3), split(weight, parts, 3), biases, strict=True):
        block = where(own, tile(w, (1, 1, together, 1)), 0.0) if together > 1 else w
        ys.append(conv2d(part, block, b, stride, padding, dilation, 1, negative_slope))
    return concatenate(ys, 3)


def conv_transpose2d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: PairLike = 1,
    padding: PaddingLike = 0,
    output_padding: PairLike = 0,
    output_size: PairLike | None = None,
    dilation: PairLike = 1,
    negative_slope: float = 1.0,
) -> Tensor:
    """The transposed convolution: each pixel of x adds its multiple of the kernel to the output.

    It is the adjoint of the convolution with this weight, stride and padding, plus bias: conv2d_data,
    to which the input x is the small image y, as to that convolution it is the output.
    x (N, H, W, C_in), weight (kh, kw, C_out, C_in), bias (C_out,) -> (N, H', W', C_out) with

        H' = (H - 1) stride + dilation (kh - 1) + 1 - top - bottom + output_padding

    or H' = H stride with padding "same". A convolution maps several sizes to one, so `output_size`
    may choose among them. A leaky ReLU of `negative_slope` follows in the same pass, as in `conv2d`.

    Raises ValueError where shapes do not agree, no convolution leads from output_size to the size of x
    or negative_slope is negative, and TypeError where dtypes do not agree.
    """
    _expect("conv_transpose2d", x, weight, weight.shape[3:], bias, weight.shape[2:3])
    strides, dilations = positive_pair(stride, "stride"), positive_pair(dilation, "dilation")
    size, sides = transposed_size(image_size(x), _kernel_size(weight), strides, padding, output_padding, output_size, dilations)
    return _activated("conv_transpose2d", Conv2DDataFunction(size, strides, sides, dilations), negative_slope)(x, weight, bias)


def _activated(name: str, convolution: Conv2DFunction | Conv2DDataFunction, negative_slope: float) -> Function:
    if not negative_slope >= 0:
        raise ValueError(f"{name}: negative_slope must be at least 0, got {negative_slope}")
    return convolution if negative_slope == 1 else ConvLeakyReLUFunction(convolution, negative_slope)


def _expect(
    name: str, x: Tensor, weight: Tensor, takes: tuple[int, ...], bias: Tensor | None, gives: tuple[int, ...], groups: int = 1
) -> None:
    """Raise an error unless the shapes and dtypes of the arguments agree."""
    expect_images(name, x)
    if weight.ndim != 4:
        raise ValueError(f"{name}: weight must have four axes, two of them the kernel's size, got {weight.shape}")
    if 0 in _kernel_size(weight):
        raise ValueError(f"{name}: the kernel of weight {weight.shape} has no pixels")
    if groups < 1 or gives[0] % groups:
        raise ValueError(f"{name}: the channels that weight {weight.shape} gives cannot be divided into {groups} groups")
    if x.shape[3] != takes[0] * groups:
        parts = f"{weight.shape} in {groups} groups" if groups > 1 else str(weight.shape)
        cure = "; x.transpose(0, 2, 3, 1) makes NHWC of NCHW" if x.shape[1] == takes[0] * groups else ""
        raise ValueError(
            f"{name}: input has {x.shape[3]} channels but weight {parts} takes {takes[0] * groups}; x is {x.shape}, NHWC{cure}"
        )
    if x.dtype != weight.dtype:
        raise TypeError(f"{name}: input is {x.dtype} but weight is {weight.dtype}; convert one with .astype('float32')")
    if bias is not None and bias.shape != gives:
        raise ValueError(f"{name}: bias has shape {bias.shape} but weight {weight.shape} gives {gives[0]} channels")
