"""What a module keeps: tensors that are trained, and tensors that are saved beside them."""

from typing import Any

from tinygen import backend
from tinygen.backend import Array
from tinygen.engine.tensor import Tensor, array_of
from tinygen.functional import tensor


def _copied(data: Any) -> Array:
    source = array_of(data)
    return tensor(source, device=backend.device_of(source) if hasattr(source, "dtype") else "cpu").data


class Parameter(Tensor):
    """A leaf that is trained: `self.weight = nn.Parameter(tg.randn((3, 3)) * 0.1)`.

    It holds a copy of data, which may be what `tinygen.tensor` takes, and it requires gradients;
    while `requires_grad` is False it is frozen. Raises TypeError where data are not floating-point
    numbers.
    """

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(_copied(data), requires_grad=True)


class Buffer(Tensor):
    """A leaf that is saved but not trained, such as a running mean: `nn.Buffer(tg.zeros((3,)))`.

    It holds a copy of data, which may be what `tinygen.tensor` takes. New values are written into
    it by `self.mean.data[...] = ...`.
    """

    __slots__ = ()

    def __init__(self, data: Any) -> None:
        super().__init__(_copied(data))
