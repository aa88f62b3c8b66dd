"""Optimisers: rules that move parameters against their gradients, in place.

Each keeps arrays of state beside every parameter, on the parameter's device, and counts its steps. In the formulas p is a parameter,
g its gradient, t the number of the step, from 1. A graph that was recorded before a step must not be differentiated after it: it would
meet the new parameters.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy
from tinygen_kernels import for_array

from tinygen import backend
from tinygen.backend import Array, array_module
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


class SGD(Optimizer):
    """Stochastic gradient descent: v = momentum v + g; p -= lr v, or with Nesterov's look ahead p -= lr (g + momentum v).

    Sutskever et al., 2013.
    """

    slots = ("velocity",)

    def __init__(self, parameters: Iterable[Tensor], lr: float = 1e-2, momentum: float = 0.0, nesterov: bool = False) -> None:
        if nesterov and momentum == 0:
            raise ValueError("SGD: nesterov needs a momentum above 0")
        super().__init__(parameters, lr)
        self._expect("momentum", momentum, below=1)
        self.momentum, self.nesterov = momentum, nesterov

    def update(self, p: Array, g: Array, velocity: Array) -> None:  # type: ignore[override]
        velocity *= self.momentum
        velocity += g
        p -= self.lr * (g + self.momentum * velocity if self.nesterov else velocity)


class Adam(Optimizer):
    """m = b1 m + (1 - b1) g; v = b2 v + (1 - b2) g^2; p -= lr m^ / (sqrt(v^) + eps), m^ = m / (1 - b1^t), v^ = v / (1 - b2^t).

    Kingma & Ba, 2015. The custom for GANs is lr 2e-4 and betas (0.5, 0.999).
    """

    slots = ("m", "v")
    weight_decay = 0.0

    def __init__(
        self, parameters: Iterable[Tensor], lr: float = 1e-3, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(parameters, lr)
        for beta in betas:
            self._expect("a beta", beta, below=1)
        self._expect("eps", eps)
        self.betas, self.eps = betas, eps

    def update(self, p: Array, g: Array, m: Array, v: Array) -> None:  # type: ignore[override]
        for_array(p, g).adam(p, g, m, v, self.lr, *self.betas, self.eps, self.steps, self.weight_decay)


class AdamW(Adam):
    """Adam, with p -= lr weight_decay p beside it instead of a penalty in the loss (Loshchilov & Hutter, 2019)."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(parameters, lr, betas, eps)
        self._expect("weight_decay", weight_decay)
        self.weight_decay = weight_decay


class RMSprop(Optimizer):
    """v = decay v + (1 - decay) g^2; p -= lr g / (sqrt(v) + eps) (Tieleman & Hinton, 2012)."""

    slots = ("v",)

    def __init__(self, parameters: Iterable[Tensor], lr: float = 1e-3, decay: float = 0.99, eps: float = 1e-8) -> None:
        super().__init__(parameters, lr)
        self._expect("decay", decay, below=1)
        self._expect("eps", eps)
        self.decay, self.eps = decay, eps

    def update(self, p: Array, g: Array, v: Array) -> None:  # type: ignore[override]
        v *= self.decay
        v += (1 - self.decay) * (g * g)
        p -= self.lr * g / (array_module(v).sqrt(v) + self.eps)


def clip_grad_norm(parameters: Iterable[Tensor], max_norm: float) -> float:
    """Scale the gradients of all parameters so that their common norm is at most max_norm; returns the norm before, and so waits for a GPU.

    Raises ValueError where max_norm is not positive and where no parameter has a gradient.
    """
    if not max_norm > 0:
        raise ValueError(f"clip_grad_norm: max_norm must be positive, got {max_norm}")
    gradients = [(p, p.grad) for p in parameters if p.grad is not None]
    if not gradients:
        raise ValueError("clip_grad_norm: no parameter has a gradient")
    norm = math.sqrt(sum(backend.floats((g.data.astype("float64") ** 2).sum() for _, g in gradients)))
    if norm > max_norm:
        for p, g in gradients:
            p.grad = Tensor(g.data * (max_norm / norm))
    return norm
