"""Groups of parameters, each with an optimiser of its own, and what is done to all gradients before a step."""

from collections.abc import Mapping, Sequence

import numpy

from tinygen.engine.arguments import checked
from tinygen.engine.tensor import Tensor
from tinygen.nn import BatchNorm, LayerNorm, Module
from tinygen.optim.clip import clip_grad_norm, clip_grad_value
from tinygen.optim.optimizer import Optimizer, descend


def decayed(module: Module) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters of a module that weight decay is for, and those that it would harm.

    The first are matrices and kernels, which have two axes or more. The second are biases, the scales
    and shifts of batch norm and layer norm, and numbers such as the weight of an attention.
    """
    norms = {id(p) for part in module.modules() if isinstance(part, BatchNorm | LayerNorm) for p in part.parameters()}
    weights = [p for p in module.parameters() if p.ndim >= 2 and id(p) not in norms]
    return weights, [p for p in module.parameters() if not any(p is weight for weight in weights)]


class Groups:
    """Optimisers of one model that step together, each for its group of parameters.

    All gradients together are clipped before a step, if that is asked for: first each element to the
    range from -clip_value to clip_value, then the norm of all to clip_norm, by `clip_grad_norm`.

        weights, others = optim.decayed(model)
        adam = optim.Groups([optim.AdamW(weights, 1e-3, weight_decay=0.01), optim.Adam(others, 1e-3)], clip_norm=1.0)
        adam.minimize(loss)

    Raises ValueError if there is no optimiser, if a parameter is in two groups, and for a limit that
    is not positive.
    """

    def __init__(self, optimizers: Sequence[Optimizer], clip_norm: float | None = None, clip_value: float | None = None) -> None:
        self.optimizers, self.clip_norm, self.clip_value = list(optimizers), clip_norm, clip_value
        if not self.optimizers:
            raise ValueError("Groups: there is no optimiser")
        if len({id(p) for p in self.parameters}) < len(self.parameters):
            raise ValueError("Groups: a parameter is in two groups")
        for name, limit in (("clip_norm", clip_norm), ("clip_value", clip_value)):
            if limit is not None and not limit > 0:
                raise ValueError(f"Groups: {name} must be positive, got {limit!r}")

    @property
    def parameters(self) -> list[Tensor]:
        return [p for optimizer in self.optimizers for p in optimizer.parameters]

    @property
    def steps(self) -> int:
        """How many steps have been made."""
        return max(optimizer.steps for optimizer in self.optimizers)

    def zero_grad(self) -> None:
        """Clear all gradients, those of frozen parameters too."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()

    def step(self) -> None:
        """Clip the gradients, and step with each optimiser. One without any gradient stands still.

        Raises ValueError as the optimisers do, and if none has a gradient.
        """
        moving = [o for o in self.optimizers if any(p.requires_grad and p.grad is not None for p in o.parameters)]
        if moving and self.clip_value is not None:
            clip_grad_value(self.parameters, self.clip_value)
        if moving and self.clip_norm is not None:
            clip_grad_norm(self.parameters, self.clip_norm)
        for optimizer in moving or self.optimizers:
            optimizer.step()

    @checked
    def minimize(self, loss: Tensor) -> None:
        """One step down the gradient of loss, as `Optimizer.minimize`."""
        self.zero_grad()
        descend(loss, self.parameters)
        self.step()

    def state_dict(self, copy: bool = True) -> dict[str, numpy.ndarray]:
        """The states of all optimisers; their numbers stand before the names."""
        states = (optimizer.state_dict(copy) for optimizer in self.optimizers)
        return {f"{i}/{name}": array for i, state in enumerate(states) for name, array in state.items()}

    def load_state_dict(self, state: Mapping[str, numpy.ndarray]) -> None:
        """Continue from what `state_dict` returned. Raises ValueError, with nothing changed, if it was saved
        for other groups."""
        before = [optimizer.state_dict() for optimizer in self.optimizers]
        if unknown := {name.partition("/")[0] for name in state} - {str(i) for i in range(len(before))}:
            raise ValueError(f"this state does not fit Groups: it has a group {min(unknown)}, this one has {len(before)} groups")
        try:
            for i, optimizer in enumerate(self.optimizers):
                own = {name.removeprefix(f"{i}/"): array for name, array in state.items() if name.startswith(f"{i}/")}
                optimizer.load_state_dict(own)
        except ValueError:
            for optimizer, own in zip(self.optimizers, before, strict=True):
                optimizer.load_state_dict(own)
            raise
