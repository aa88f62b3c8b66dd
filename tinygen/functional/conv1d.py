"""Convolution of sequences: that of images of one row."""

from tinygen.engine.tensor import Tensor
from tinygen.functional.conv import conv2d
from tinygen.functional.shape import expand_dims, reshape

EndsLike = int | str | tuple[int, int]


def conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int = 1,
    padding: EndsLike = 0,
    dilation: int = 1,
    groups: int = 1,
) -> Tensor:
    """The convolution of sequences, x (N, T, C), weight (k, C, K), bias (K,) -> (N, T', K): `conv2d` of images of one row.

    `padding` is the number of zeros at both ends, (before, after), "valid" or "same". With
    (dilation (k - 1), 0) a step sees none that come later. Raises ValueError and TypeError as
    `conv2d` does.
    """
    if x.ndim != 3 or weight.ndim != 3:
        raise ValueError(f"conv1d: x must be (N, T, C) and weight (k, C, K), got {x.shape} and {weight.shape}")
    sides = padding if isinstance(padding, str) else ((0, 0), (padding, padding) if isinstance(padding, int) else padding)
    y = conv2d(expand_dims(x, 1), expand_dims(weight, 0), bias, (1, stride), sides, (1, dilation), groups)
    return reshape(y, (len(x), *y.shape[2:]))
