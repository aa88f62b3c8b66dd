"""Augmentation that gradients pass through."""

from collections.abc import Callable, Sequence

import numpy

from tinygen import backend
from tinygen import functional as F
from tinygen.engine.arguments import checked
from tinygen.engine.tensor import Tensor
from tinygen.functional.conv import expect_images
from tinygen.nn.module import Module


class DifferentiableAugment(Module):
    """Random changes of the images that a discriminator sees (Zhao et al., 2020).

    Real and generated images x (N, H, W, C) are changed before the discriminator, also while the
    generator is trained, so the gradients pass through the changes, and the generator does not learn
    to generate changed images. With u uniform in [0, 1) for each image, one after the other:

    colour         x + u - 0.5; then, of the mean m over the channels, m + 2 u (x - m); then, of the
                   mean m of the image, m + (u + 0.5) (x - m)
    translation    a shift by up to an eighth of height and width, with 0 where nothing is left
    cutout         0 in a rectangle of half of height and width around a random pixel

    In evaluation mode it gives x. Raises ValueError for another name.
    """

    @checked
    def __init__(self, names: Sequence[str]) -> None:
        if unknown := [name for name in names if name not in CHANGES]:
            raise ValueError(f"DifferentiableAugment: knows {', '.join(CHANGES)}, not {', '.join(unknown)}")
        self.names = tuple(names)

    def forward(self, x: Tensor) -> Tensor:
        expect_images("DifferentiableAugment", x)
        for name in self.names if self.training else ():
            x = CHANGES[name](x)
        return x

    def describe(self) -> str:
        return f"DifferentiableAugment({', '.join(self.names)})"


def _uniform(x: Tensor) -> Tensor:
    return F.rand((len(x), 1, 1, 1), x.dtype, x.device)


def _colour(x: Tensor) -> Tensor:
    x = x + (_uniform(x) - 0.5)
    mean = x.mean(axis=3, keepdims=True)
    x = mean + 2.0 * _uniform(x) * (x - mean)
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    return mean + (_uniform(x) + 0.5) * (x - mean)


def _translation(x: Tensor) -> Tensor:
    n, height, width, _ = x.shape
    rows, columns = (height + 4) // 8, (width + 4) // 8
    padded = F.pad(x, [(0, 0), (rows, rows), (columns, columns), (0, 0)])

    def shifted(border: int, size: int) -> backend.Array:
        """(n, size): the places in `padded` of an axis of each image."""
        return backend.from_host(lambda: backend.generator().integers(0, 2 * border + 1, n)[:, None] + numpy.arange(size), x.device)

    y, z = shifted(rows, height), shifted(columns, width)
    return padded[numpy.arange(n)[:, None, None], y[:, :, None], z[:, None, :]]


def _cutout(x: Tensor) -> Tensor:
    n, height, width, _ = x.shape

    dtype = x.dtype

    def kept() -> numpy.ndarray:
        inside = []
        for size in (height, width):
            first = backend.generator().integers(0, size, n)[:, None] - size // 4
            places = numpy.arange(size)
            inside.append((first <= places) & (places < first + (size + 1) // 2))
        return (~(inside[0][:, :, None] & inside[1][:, None, :])[..., None]).astype(dtype)

    return x * Tensor(backend.from_host(kept, x.device))


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {"colour": _colour, "translation": _translation, "cutout": _cutout}
