"""The options of how weights are moved: learning rate, schedule, weight decay, clipping, averaging.

All but the learning rate are off by default.
"""

from dataclasses import dataclass
from typing import Annotated

import tyro

from tinygen.command_line import UsageError
from tinygen.nn import Module
from tinygen.optim import Adam, AdamW, Average, Groups, Schedule, decayed
from tinygen.optim.schedule import Shape
from tinygen.training.options import Positive, RunOptions


@dataclass(kw_only=True)
class DescentOptions(RunOptions):
    """The options of every script that trains by Adam."""

    lr: Positive[float] = 1e-3
    """learning rate of Adam"""
    schedule: Shape = "constant"
    """how the learning rate falls over the run: linearly or as a cosine to 0, or in two steps of a tenth"""
    warm_up: Annotated[int, tyro.conf.arg(metavar="STEPS")] = 0
    """first steps, in which the learning rate rises"""
    weight_decay: float = 0.0
    """of AdamW, for all weights but those of norms and biases"""
    clip_norm: float | None = None
    """greatest norm of the gradients of a network"""
    clip_value: float | None = None
    """greatest absolute value of an element of the gradients"""
    average: float = 0.0
    """decay of the moving average of the weights that samples are made with, such as 0.99; 0 is none"""

    def check(self) -> None:
        super().check()
        if not 0 <= self.average < 1:
            raise UsageError(f"--average must be at least 0 and below 1, got {self.average}")
        for name, number in (("warm-up", self.warm_up), ("weight-decay", self.weight_decay)):
            if not 0 <= number < float("inf"):
                raise UsageError(f"--{name} must be at least 0, got {number}")
        for name, limit in (("clip-norm", self.clip_norm), ("clip-value", self.clip_value)):
            if limit is not None and not limit > 0:
                raise UsageError(f"--{name} must be positive, got {limit}")

    def may_differ(self) -> set[str]:
        """A schedule that falls to its end depends on the number of epochs."""
        return super().may_differ() - (set() if self.schedule == "constant" else {"epochs"})

    def adam(self, model: Module, examples: int, betas: tuple[float, float] = (0.9, 0.999), every: int = 1) -> Adam | Groups:
        """The optimiser of a model.

        examples    how many there are in the training data, of which a batch that is not full is left out
        every       the model makes a step in every `every`-th batch

        Raises UsageError if the run ends before the warm-up.
        """
        steps = self.epochs * (examples // self.batch_size) // every
        if self.warm_up and steps <= self.warm_up:
            raise UsageError(f"--warm-up must be below {steps}, the number of steps of the run, got {self.warm_up}")
        constant = self.schedule == "constant"
        lr = self.lr if constant and not self.warm_up else Schedule(self.lr, self.schedule, 0 if constant else max(1, steps), self.warm_up)
        if not self.weight_decay:
            adam = Adam(model.parameters(), lr, betas)
            return adam if self.clip_norm is self.clip_value is None else Groups([adam], self.clip_norm, self.clip_value)
        weights, others = decayed(model)
        groups = [AdamW(weights, lr, betas, weight_decay=self.weight_decay)] if weights else []
        return Groups([*groups, Adam(others, lr, betas)] if others else groups, self.clip_norm, self.clip_value)

    def averaged(self, model: Module) -> Average | None:
        """The average of a model's weights, if it is asked for."""
        return Average(model, self.average) if self.average else None
