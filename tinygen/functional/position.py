"""Codes of a place in a sequence or of a time, which networks that treat all places alike take as an input."""

import math

from tinygen.engine.tensor import Tensor
from tinygen.functional.creation import arange
from tinygen.functional.elementwise import cos, exp, sin
from tinygen.functional.shape import concatenate, expand_dims


def sinusoidal_encoding(t: Tensor, features: int, max_period: float = 10_000.0) -> Tensor:
    """The sines and cosines of t at features / 2 frequencies (Vaswani et al., 2017).

        (sin(w_0 t), sin(w_1 t), ..., cos(w_0 t), cos(w_1 t), ...)  with  w_i = max_period^(-2 i / features)

    t (...), real places or times, -> (..., features). The periods, in the unit of t, are 2 pi to almost
    2 pi max_period, so times from 0 to 1 want a factor, such as 1000.

    Raises ValueError where features is odd or below 2 and where max_period is not positive, and TypeError
    where t is not floating point.
    """
    if features < 2 or features % 2:
        raise ValueError(f"sinusoidal_encoding: features must be even, a sine and a cosine for each frequency, got {features}")
    if not max_period > 0:
        raise ValueError(f"sinusoidal_encoding: max_period must be positive, got {max_period}")
    if t.dtype.kind != "f":
        raise TypeError(f"sinusoidal_encoding: t must be floating point, got {t.dtype}; convert it with .astype('float32')")
    half = features // 2
    frequencies = exp(arange(half, dtype=t.dtype, device=t.device) * (-math.log(max_period) / half))
    angles = expand_dims(t, -1) * frequencies
    return concatenate([sin(angles), cos(angles)], axis=-1)
