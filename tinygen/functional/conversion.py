"""The same values on another device."""

from dataclasses import dataclass

from tinygen import backend
from tinygen.backend import Array
from tinygen.engine.function import Function
from tinygen.engine.tensor import Tensor, tensor_method


@dataclass(slots=True, eq=False)
class ToDeviceFunction(Function):
    device: str

    def forward(self, x: Array) -> Array:
        return backend.to_device(x, self.device)

    def backward(self, g: Tensor, y: Tensor, x: Tensor) -> Tensor:
        return ToDeviceFunction(x.device)(g)


@tensor_method("to")
def to(x: Tensor, device: str) -> Tensor:
    """x on the device ("cpu", "cuda", "cuda:1"); gradients travel back. Raises as `backend.to_device` does."""
    return ToDeviceFunction(device)(x)
