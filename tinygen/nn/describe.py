"""The words that descriptions of layers share."""

from tinygen.engine.tensor import Tensor


def brief(steps: tuple[int, int]) -> int | tuple[int, int]:
    """One number for (rows, columns) where they are equal, for descriptions."""
    return steps[0] if steps[0] == steps[1] else steps


def missing(bias: Tensor | None) -> str:
    return "" if bias is not None else ", no bias"
