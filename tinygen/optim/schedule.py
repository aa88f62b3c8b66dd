"""Learning rates that change from step to step, as pure functions of the number of the step."""

import math
from dataclasses import astuple, dataclass
from typing import Literal, get_args

import numpy

Shape = Literal["constant", "linear", "cosine", "step"]


@dataclass(frozen=True)
class Schedule:
    """The learning rate of step t, counted from 0, for an optimiser in the place of a number:

        lr (t + 1) / warm_up     while t < warm_up (Goyal et al., 2017), and then lr times

        constant    1
        linear      1 - x
        cosine      (1 + cos(pi x)) / 2 (Loshchilov & Hutter, 2017)
        step        1, from the half on 0.1, from three quarters on 0.01 (as He et al., 2016)

    with x = (t - warm_up) / (steps - warm_up), at most 1.

        optim.Adam(model.parameters(), optim.Schedule(1e-3, "cosine", steps=2000, warm_up=100))

    The optimiser's state has the number of steps, so a resumed training goes on at the same rate.
    Raises ValueError for an unknown shape, and for numbers that are out of their range.
    """

    lr: float
    shape: Shape = "constant"
    steps: int = 0
    warm_up: int = 0

    def __post_init__(self) -> None:
        if self.shape not in get_args(Shape):
            raise ValueError(f"Schedule: shape must be one of {', '.join(get_args(Shape))}, got {self.shape!r}")
        if not isinstance(self.lr, int | float) or not 0 < self.lr < math.inf:
            raise ValueError(f"Schedule: lr must be positive, got {self.lr!r}")
        if self.warm_up < 0:
            raise ValueError(f"Schedule: warm_up must be at least 0, got {self.warm_up}")
        if self.shape != "constant" and self.steps <= self.warm_up:
            raise ValueError(f"Schedule: {self.shape} needs more steps than the {self.warm_up} of warm_up, got {self.steps}")

    def __call__(self, t: int) -> float:
        if t < self.warm_up:
            return self.lr * (t + 1) / self.warm_up
        if self.shape == "constant":
            return self.lr
        x = min(1.0, (t - self.warm_up) / (self.steps - self.warm_up))
        factors = {"linear": 1 - x, "cosine": (1 + math.cos(math.pi * x)) / 2, "step": 0.1 ** ((x >= 0.5) + (x >= 0.75))}
        return self.lr * factors[self.shape]

    def numbers(self) -> numpy.ndarray:
        """All of its parameters, for a saved state."""
        lr, shape, steps, warm_up = astuple(self)
        return numpy.array([lr, get_args(Shape).index(shape), steps, warm_up], numpy.float64)
