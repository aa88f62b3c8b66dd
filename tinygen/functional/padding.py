"""Images and sequences with a border around them."""

from collections.abc import Sequence
from dataclasses import dataclass

from tinygen.backend import Array, array_module
from tinygen.engine.function import Function
from tinygen.engine.tensor import Tensor
from tinygen.functional.shape import broadcast_to, concatenate, flip, index_along


@dataclass(slots=True, eq=False)
class PadFunction(Function):
    widths: tuple[tuple[int, int], ...]

    def forward(self, x: Array) -> Array:
        return array_module(x).pad(x, self.widths)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return g[tuple(slice(before, before + n) for (before, _), n in zip(self.widths, x.shape, strict=True))]


def pad(x: Tensor, widths: Sequence[tuple[int, int]], mode: str = "constant") -> Tensor:
    """x within a border: widths[i] elements of it before and after axis i.

    They are 0 ("constant"), what lies opposite the outermost element, which is not repeated itself
    ("reflect"), or the outermost element ("replicate").

    Raises ValueError for negative widths, where a reflection is wider than what can be reflected, and
    for another mode.
    """
    if len(widths) != x.ndim or any(width < 0 for pair in widths for width in pair):
        raise ValueError(f"pad: takes one (before, after) >= 0 for each of the {x.ndim} axes of {x.shape}, got {widths}")
    if mode not in ("constant", "reflect", "replicate"):
        raise ValueError(f'pad: mode must be "constant", "reflect" or "replicate", got {mode!r}')
    if mode == "constant" or not any(map(any, widths)):
        return PadFunction(tuple((int(before), int(after)) for before, after in widths))(x)
    for axis, (before, after) in enumerate(widths):
        if before or after:
            x = (_reflected if mode == "reflect" else _replicated)(x, axis, before, after)
    return x


def _reflected(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    size = x.shape[axis]
    if max(before, after) >= size:
        raise ValueError(f"pad: a reflection of {max(before, after)} along axis {axis} needs more elements than the {size} of {x.shape}")
    first, last = (x[index_along(x.ndim, axis, part)] for part in (slice(1, before + 1), slice(size - 1 - after, size - 1)))
    return concatenate([flip(first, axis), x, flip(last, axis)], axis)


def _replicated(x: Tensor, axis: int, before: int, after: int) -> Tensor:
    size = x.shape[axis]
    if not size:
        raise ValueError(f"pad: there is nothing to replicate along axis {axis} of {x.shape}")

    def repeated(place: int, times: int) -> Tensor:
        return broadcast_to(x[index_along(x.ndim, axis, slice(place, place + 1))], (*x.shape[:axis], times, *x.shape[axis + 1 :]))

    return concatenate([repeated(0, before), x, repeated(size - 1, after)], axis)
