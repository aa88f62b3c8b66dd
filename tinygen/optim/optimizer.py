"""Optimisers: rules that move parameters against their gradients, in place.

Each keeps arrays of state beside every parameter, on the parameter's device, and counts its steps. In the formulas p is a parameter,
g its gradient, t the number of the step, from 1. A graph that was recorded before a step must not be differentiated after it: it would
meet the new parameters.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy

from tinygen import backend
from tinygen.backend import Array
from tinygen.engine.tensor import Tensor
from tinygen.nn.module import check_state


class Optimizer:
    """What the optimisers share. A subclass names its arrays of state in `slots` and defines `update`."""

    slots: tuple[str, ...] = ()

    def __init__(self, parameters: Iterable[Tensor], lr: float) -> None:
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError(f"{type(self).__name__}: there are no parameters to optimise")
        if len({id(p) for p in self.parameters}) < len(self.parameters):
            raise ValueError(f"{type(self).__name__}: a parameter is given twice")
        for i, p in enumerate(self.parameters):
            if not p.requires_grad or p.node is not None:
                raise ValueError(f"{type(self).__name__}: parameter {i} of shape {p.shape} is no leaf that requires gradients")
        if not 0 < lr < math.inf:
            raise ValueError(f"{type(self).__name__}: lr must be positive, got {lr}")
        self.lr = lr
        self.steps = 0
        self.state = [{slot: backend.to_device(numpy.zeros(p.shape, p.dtype), p.device) for slot in self.slots} for p in self.parameters]

    def update(self, p: Array, g: Array, **state: Array) -> None:
        """Move the array p and its state in place, given its gradient g."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def _expect(self, what: str, value: float, below: float = math.inf) -> None:
        if not 0 <= value < below:
            raise ValueError(f"{type(self).__name__}: {what} must be at least 0 and below {below:g}, got {value}")

    def step(self) -> None:
        """One step for every parameter that has a gradient. Raises ValueError, with nothing moved, where one is unlike its gradient."""
        for i, p in enumerate(self.parameters):
            if p.grad is not None:
                shape, dtype = p.data.shape, p.data.dtype
                for array in (p.grad.data, *self.state[i].values()):
                    if array.shape != shape or array.dtype != dtype:
                        unlike = f"{dtype} {shape}, but its gradient or state is {array.dtype} {array.shape}"
                        raise ValueError(f"{type(self).__name__}: parameter {i} is {unlike}; make a new optimiser for a new parameter")
        self.steps += 1
        for i, p in enumerate(self.parameters):
            if p.grad is not None:
                backend.compute_where(p.data)
                if any(backend.device_of(array) != p.device for array in self.state[i].values()):
                    self.state[i] = {slot: backend.to_device(array, p.device) for slot, array in self.state[i].items()}
                self.update(p.data, p.grad.data, **self.state[i])

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for p in self.parameters:
            p.grad = None

    def minimize(self, loss: Tensor) -> None:
        """One step down the gradient of loss to the parameters, and no other gradient is computed."""
        self.zero_grad()
        loss.backward(inputs=self.parameters)
        self.step()

    def _named_state(self) -> dict[str, Array]:
        return {f"{i}.{slot}": array for i, state in enumerate(self.state) for slot, array in state.items()}

    def state_dict(self) -> dict[str, numpy.ndarray]:
        """A copy on the host of the number of steps, the learning rate and the arrays of state."""
        arrays = {name: numpy.array(backend.to_device(array, "cpu")) for name, array in self._named_state().items()}
        return {"steps": numpy.array(self.steps), "lr": numpy.array(float(self.lr)), **arrays}

    def load_state_dict(self, state: Mapping[str, numpy.ndarray]) -> None:
        """Go on from what `state_dict` gave. Raises ValueError, with nothing changed, where it is of other parameters."""
        own: dict[str, Any] = {"steps": numpy.array(self.steps), "lr": numpy.array(float(self.lr)), **self._named_state()}
        check_state(own, state, type(self).__name__)
        self.steps, self.lr = int(state["steps"]), float(state["lr"])
        for name, array in self._named_state().items():
            array[...] = backend.to_device(state[name], backend.device_of(array))
