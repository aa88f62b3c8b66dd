"""How a run makes its samples with averaged weights."""

from typing import TYPE_CHECKING, Any

from tinygen.optim import Average

if TYPE_CHECKING:
    from tinygen.training.loop import Training


def use_average(training: "Training", average: Average) -> None:
    """Make the average a part of the run, that moves after each step; sample, evaluate and generate with it."""
    name = next(name for name, part in training.parts.items() if part is average.module)
    training.parts = {**training.parts, f"{name}_average": average}
    step = training.step

    def averaged_step(*batch: Any) -> Any:
        numbers = step(*batch)
        average.update()
        return numbers

    training.step = averaged_step
    training.samples = training.samples and average.applied()(training.samples)
    training.evaluate = training.evaluate and average.applied()(training.evaluate)
    training.generate = training.generate and average.applied()(training.generate)
