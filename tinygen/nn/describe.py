"""What layers share: the check of their sizes, and words of their descriptions."""

import numpy

from tinygen.engine.tensor import Tensor


def expect_sizes(layer: str, **sizes: int) -> None:
    """Raise ValueError, naming the layer, unless all sizes are integers of at least 1."""
    for name, size in sizes.items():
        if not isinstance(size, int | numpy.integer) or size < 1:
            raise ValueError(f"{layer}: {name} must be an integer of at least 1, got {size!r}")


def one_or_pair(steps: tuple[int, int]) -> int | tuple[int, int]:
    """One number for (rows, columns) if they are equal."""
    return steps[0] if steps[0] == steps[1] else steps


def if_no_bias(bias: Tensor | None) -> str:
    return "" if bias is not None else ", no bias"
