"""What looks wrong in a run, from its log and its evaluation.

Each check gives None where it does not apply, and otherwise a finding. Its thresholds are set such
that none of the examples' runs has a problem.
"""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from tinygen.report.contents import Contents

LAST = 3  # epochs whose mean is compared with a threshold, since one epoch may be an outlier


@dataclass(frozen=True)
class Finding:
    """What was checked, if all is well, or else what is wrong and what may help."""

    text: str
    wrong: bool


def findings(contents: Contents) -> list[Finding]:
    """The findings of all checks that apply to the run."""
    return [finding for check in CHECKS if (finding := check(contents)) is not None]


def _values(contents: Contents, name: str) -> list[float]:
    return [value for value in contents.series(name).values() if value is not None]


def _latest(values: list[float]) -> float:
    return sum(values[-LAST:]) / len(values[-LAST:])


def _finite(contents: Contents) -> Finding | None:
    """A loss that is NaN ends the run; other numbers that are not finite are null in the log."""
    for name in contents.names:
        if epochs := [epoch for epoch, value in contents.series(name).items() if value is None]:
            return Finding(f"{name} is not a finite number in epoch {epochs[0]}: the run has diverged. A smaller --lr may help.", True)
    return Finding("all numbers are finite", False) if contents.log else None


def _discriminator(contents: Contents) -> Finding | None:
    """Of losses that cannot be negative: with logits, least squares or hinges."""
    losses = _values(contents, "D")
    if not losses or min(losses) < 0:
        return None
    lowest = min(_latest(losses), median(losses[len(losses) // 2 :]))
    if lowest < 0.02:
        text = (
            f"D's loss fell to {lowest:.2g}: D tells all generated images from real ones, so its gradient does not show G how to improve. "
            "A smaller --lr, or a weaker D, may help."
        )
        return Finding(text, True)
    return Finding(f"D's loss is {_latest(losses):.2g}, not 0", False)


def _diversity(contents: Contents) -> Finding | None:
    """1 is the diversity of the training images."""
    diversity = _values(contents, "diversity")
    if not diversity:
        return None
    latest, best = _latest(diversity), min(1.0, max(diversity))
    if latest < 0.5 or latest < 0.75 * best:
        fallen = f", after {best:.2f}" if best > 2 * latest else ""
        text = (
            f"The generated images are alike (mode collapse): their diversity is {latest:.2g}{fallen}, and 1 is that of the training "
            "images. A smaller --lr may help, and so may batch norm in G or more images."
        )
        return Finding(text, True)
    if latest > 1.2:
        return Finding(f"Diversity is {latest:.2f}, and 1 is that of the training images: the generated images may be noise.", True)
    return Finding(f"diversity is {latest:.2f}, and 1 is that of the training images", False)


def _explosion(contents: Contents) -> Finding | None:
    """Numbers that have become far larger than they ever were in the first half of the run."""
    for name in contents.names:
        sizes = [abs(value) for value in _values(contents, name)]
        if len(sizes) > LAST and _latest(sizes) > 10 * max(sizes[: len(sizes) // 2]) > 0:
            text = f"{name} has grown to {_latest(sizes):.2g} in the last epochs: the run diverges. A smaller --lr may help."
            return Finding(text, True)
    return None


def _divergence(contents: Contents) -> Finding | None:
    """The KL divergence of a VAE, in nats per image."""
    divergences = _values(contents, "test_KL") or _values(contents, "KL")
    if not divergences:
        return None
    if _latest(divergences) < 0.5:
        text = (
            f"KL is {_latest(divergences):.2g} nats per image: the latent vectors say nothing about the images, and the decoder ignores "
            "them (posterior collapse). A smaller --lr, or a smaller weight of KL in the first epochs, may help."
        )
        return Finding(text, True)
    return Finding(f"KL is {_latest(divergences):.3g} nats per image, not 0", False)


def _overfitting(contents: Contents) -> Finding | None:
    """The losses of training and test images, for names such as loss and test_loss."""
    for name in contents.names:
        training, test = contents.series(name), contents.series(f"test_{name}")
        values = {epoch: value for epoch, value in test.items() if value is not None and value > 0}
        if "accuracy" in name or not training or not values:
            continue
        best = min(values, key=lambda epoch: values[epoch])
        latest = _latest(list(values.values()))
        if latest > 1.25 * values[best]:
            text = (
                f"test_{name} was lowest in epoch {best}, {values[best]:.3g}, and is {latest:.3g} now: the model overfits. "
                "Fewer --epochs, dropout or more images may help."
            )
            return Finding(text, True)
        return Finding(f"test_{name} is near its best", False)
    return None


def _classes(contents: Contents) -> Finding | None:
    """Classes with a clear share of the test images and hardly any of the generated ones."""
    if contents.evaluation is None:
        return None
    shares = contents.evaluation.blocks["class_shares"]
    generated, test = shares["generated"], shares["test_images"]
    missing = [name for name, (share, _) in generated.items() if share < 0.01 and test[name][0] - test[name][1] > 0.02]
    if missing:
        return Finding(f"Hardly any generated image is of the class {' or '.join(missing)}: G has dropped modes of the data.", True)
    return Finding("all classes are generated", False)


def _copies(contents: Contents) -> Finding | None:
    if contents.evaluation is None:
        return None
    novelty = contents.evaluation.blocks["novelty"]
    (copies, margin), (bound, bound_margin) = novelty["generated"]["copies"], novelty["test_images"]["copies"]
    if copies - margin > bound + bound_margin + 0.05:
        text = f"{copies:.0%} of the generated images are nearer to a training image than 99% of the test images are: copies, or blurred."
        return Finding(text, True)
    return Finding("the generated images are not copies", False)


CHECKS: list[Callable[[Contents], Finding | None]] = [
    _finite,
    _diversity,
    _discriminator,
    _explosion,
    _divergence,
    _overfitting,
    _classes,
    _copies,
]
