"""Optimisers: rules that update parameters by their gradients, in place.

An optimiser keeps arrays of state for every parameter, on the parameter's device. In the formulas p is
a parameter, g its gradient, and t counts the steps of this parameter, from 1. Differentiate a graph
before a step, not after it: the graph refers to the parameters as they were.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy

from tinygen import backend
from tinygen.backend import Array
from tinygen.engine.arguments import checked, shown
from tinygen.engine.grad import gradients_in_order
from tinygen.engine.tensor import Tensor
from tinygen.optim.schedule import Schedule
from tinygen.saving.state import check_state

Move = tuple[Array, Array, int, dict[str, Array]]  # a parameter, its gradient, the number of this step, and the state


def listed(parameters: Iterable[Tensor], owner: str) -> list[Tensor]:
    """The parameters as a list. Raises TypeError for anything but Tensors."""
    if isinstance(parameters, Tensor):
        raise TypeError(f"{owner} takes a list of Tensors, got one Tensor; put it in a list")
    given = list(parameters) if isinstance(parameters, Iterable) else [parameters]
    for p in given:
        if not isinstance(p, Tensor):
            cure = "pass model.parameters(), and make two optimisers for two groups"
            raise TypeError(f"{owner} takes Tensors, got a {type(p).__name__}; {cure}")
    return given


def gradients(parameters: Iterable[Tensor], owner: str) -> list[tuple[int, Tensor, Tensor]]:
    """Each parameter that requires gradients and has one, with its place and its gradient.

    Where processes share a batch, the gradients become those of the whole batch.

    Raises TypeError for a gradient that is not a Tensor.
    """
    found = [(i, p, p.grad) for i, p in enumerate(parameters) if p.requires_grad and p.grad is not None]
    for i, _, g in found:
        if not isinstance(g, Tensor):
            raise TypeError(f"{owner}: the gradient of parameter {i} must be a Tensor, got {shown(g)}; make one with tinygen.tensor(...)")
    if (shared := backend.shard()) is not None:
        own = [(p, g.data) for _, p, g in found if g not in shared.means]
        store([p for p, _ in own], backend.averaged([g for _, g in own]))
        found = [(i, p, p.grad) for i, p, _ in found if p.grad is not None]
    return found


def store(parameters: Sequence[Tensor], arrays: Sequence[Array]) -> None:
    """Give the parameters these gradients, which are those of the whole batch and need not be averaged again."""
    shared = backend.shard()
    for p, array in zip(parameters, arrays, strict=True):
        p.grad = Tensor(array)
        if shared is not None:
            shared.means.add(p.grad)


def descend(loss: Tensor, parameters: Sequence[Tensor]) -> None:
    """Store the gradients of the loss in the parameters that require them; no others are computed.

    Where processes share a batch, they become those of the whole batch, and each bucket of them is on its
    way while the walk goes on.
    """
    wanted, shared = [p for p in parameters if p.requires_grad], backend.shard()
    if shared is None:
        loss.backward(inputs=wanted)
        return
    averages, sent = backend.Averages(shared), list[Tensor]()

    def passed(complete: dict[Tensor, Tensor]) -> None:
        for p, g in complete.items():
            sent.append(p)
            averages.add(g.data)
        averages.move_on()

    for p, g in zip(wanted, gradients_in_order(loss, wanted, passed), strict=True):
        p.grad = g
    store(sent, averages.all())


class Optimizer:
    """What the optimisers share.

    A subclass lists its arrays of state in `slots` and the numbers of its formula in `settings`, and
    defines `update`. A frozen parameter of a module is skipped until it is unfrozen. The learning
    rate is a number, or a `Schedule` of the number of steps so far.

    Raises TypeError if the parameters are not Tensors. Raises ValueError if there are none, if one is
    given twice or cannot be trained, and if the learning rate is not positive.
    """

    slots: ClassVar[tuple[str, ...]] = ()
    settings: ClassVar[tuple[str, ...]] = ()

    def __init__(self, parameters: Iterable[Tensor], lr: float | Schedule) -> None:
        kind = type(self).__name__
        self.parameters = listed(parameters, kind)
        if not self.parameters:
            raise ValueError(f"{kind}: there are no parameters to optimise")
        if len({id(p) for p in self.parameters}) < len(self.parameters):
            raise ValueError(f"{kind}: a parameter is given twice")
        for i, p in enumerate(self.parameters):
            # A subclass is a module's Parameter, which may be frozen for a time.
            if p.node is not None or not (p.requires_grad or type(p) is not Tensor):
                raise ValueError(f"{kind}: parameter {i} of shape {p.shape} is not a leaf tensor with requires_grad=True")
        self.schedule = lr if isinstance(lr, Schedule) else None
        rate = lr(0) if isinstance(lr, Schedule) else lr
        if not isinstance(rate, int | float | numpy.floating) or not 0 < rate < math.inf:
            raise ValueError(f"{kind}: lr must be positive, got {lr!r}")
        self.lr = rate
        self.steps = 0
        self.updates = [0] * len(self.parameters)  # the steps of each parameter
        self._now: dict[Any, Array] = {}  # what `numbers` has made in this step
        self.state = [{slot: backend.to_device(numpy.zeros(p.shape, p.dtype), p.device) for slot in self.slots} for p in self.parameters]

    def update(self, p: Array, g: Array, t: int, **state: Array) -> None:
        """Update the array p and its state in place, by the gradient g; t is the number of this step of p, from 1."""
        raise NotImplementedError(f"{type(self).__name__} has no update")

    def update_all(self, moves: list[Move]) -> None:
        """Call `update` for each parameter."""
        for p, g, t, state in moves:
            backend.compute_where(p)
            self.update(p, g, t, **state)

    def _expect(self, what: str, value: float, below: float = math.inf) -> None:
        if not isinstance(value, int | float | numpy.floating) or not 0 <= value < below:
            raise ValueError(f"{type(self).__name__}: {what} must be at least 0 and below {below:g}, got {value!r}")

    def step(self) -> None:
        """Update every parameter that requires gradients and has one.

        Raises ValueError, with nothing updated, if no parameter has a gradient, and if a parameter
        does not have the shape and dtype of its gradient; TypeError if a gradient is not a Tensor.
        """
        moving = gradients(self.parameters, type(self).__name__)
        self._expect_sound(moving)
        places = [i for i, _, _ in moving]
        backend.on_host(lambda: self._count(places))
        self._now = {}
        moves: list[Move] = []
        for i, p, g in moving:
            array = p.writable(f"{type(self).__name__}.step")
            if any(backend.device_of(array) != p.device for array in self.state[i].values()):
                self.state[i] = {slot: backend.to_device(array, p.device) for slot, array in self.state[i].items()}
            state = {slot: backend.watched(own) for slot, own in self.state[i].items()}
            moves.append((backend.watched(array), g.data, self.updates[i], state))
        self.update_all(moves)
        self._now = {}  # its keys refer to this optimiser

    def _count(self, moving: list[int]) -> None:
        if self.schedule is not None:
            self.lr = self.schedule(self.steps)
        self.steps += 1
        for i in moving:
            self.updates[i] += 1

    def numbers(self, make: Callable[[int], Any], t: int, like: Array) -> Array:
        """make(t) in the dtype and on the device of `like`, for `update`. It is made once in a step.

        What changes from step to step, such as the learning rate, must reach a GPU in this way, so
        that a step can be recorded (see `backend/replay.py`).
        """
        late, device = self.steps - t, backend.device_of(like)
        key = make, late, like.dtype, device
        if key not in self._now:
            self._now[key] = backend.from_host(lambda: numpy.array(make(self.steps - late), like.dtype), device)
        return self._now[key]

    def rate(self, t: int) -> float:
        return self.lr

    def _expect_sound(self, moving: list[tuple[int, Tensor, Tensor]]) -> None:
        kind = type(self).__name__
        if not moving:
            raise ValueError(
                f"{kind}: none of its parameters has a gradient; call backward() on a loss that depends on them "
                f"(a layer that was made after this {kind} has other parameters)"
            )
        for i, p, g in moving:
            for array in (g.data, *self.state[i].values()):
                if array.shape != p.shape or array.dtype != p.dtype:
                    unlike = f"{p.dtype} {p.shape}, but its gradient or state is {array.dtype} {array.shape}"
                    raise ValueError(f"{kind}: parameter {i} is {unlike}; make a new optimiser for a new parameter")

    def zero_grad(self) -> None:
        """Clear all gradients, those of frozen parameters too."""
        for p in self.parameters:
            p.grad = None

    @checked
    def minimize(self, loss: Tensor) -> None:
        """One step down the gradient of loss: `zero_grad`, `backward`, `step`.

        Only the gradients of this optimiser's parameters are computed, without the frozen ones.
        Raises ValueError if the loss depends on none of them.
        """
        self.zero_grad()
        descend(loss, self.parameters)
        self.step()

    def _arrays(self) -> dict[str, Array]:
        return {f"{i}.{slot}": array for i, state in enumerate(self.state) for slot, array in state.items()}

    def _numbers(self) -> dict[str, numpy.ndarray]:
        """The numbers in a saved state. Older states have only steps and lr."""
        updates = {f"{i}.t": numpy.array(t) for i, t in enumerate(self.updates)}
        settings = {name: numpy.array(getattr(self, name), numpy.float64) for name in self.settings}
        if self.schedule is not None:
            settings["schedule"] = self.schedule.numbers()
        return {"steps": numpy.array(self.steps), "lr": numpy.array(float(self.lr)), **settings, **updates}

    def state_dict(self, copy: bool = True) -> dict[str, numpy.ndarray]:
        """The learning rate, the settings, the numbers of steps and the arrays of state, on the host.

        Copies, or, without `copy`, on a CPU the arrays that a step will change.
        """
        arrays = {name: numpy.array(backend.to_device(array, "cpu"), copy=copy or None) for name, array in self._arrays().items()}
        return {**self._numbers(), **arrays}

    @checked
    def load_state_dict(self, state: Mapping[str, numpy.ndarray]) -> None:
        """Continue from what `state_dict` returned, with its learning rate.

        Raises ValueError, with nothing changed, if it was saved for other parameters or settings.
        """
        kind, own = type(self).__name__, self._numbers()
        kept = {name: array for name, array in own.items() if name in state or name in ("steps", "lr")}
        check_state({**kept, **self._arrays()}, state, kind)
        for name in (*self.settings, "schedule"):
            if name in state and (state[name] != own[name]).any():
                raise ValueError(f"this state is of {kind} with {name} {state[name].tolist()}, this one has {own[name].tolist()}")
        self.steps, self.lr = int(state["steps"]), float(state["lr"])
        self.updates = [int(state.get(f"{i}.t", self.steps)) for i in range(len(self.parameters))]
        for name, array in self._arrays().items():
            array[...] = backend.to_device(state[name], backend.device_of(array))
