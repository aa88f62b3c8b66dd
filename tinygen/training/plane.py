"""A surface in the latent space of a trained model, decoded: a picture to move through."""

from collections.abc import Iterable
from contextlib import ExitStack

import numpy

from tinygen import backend
from tinygen import functional as F
from tinygen.nn import Module, evaluating
from tinygen.report.pictures import grid
from tinygen.training.trained import Trained


def surface(corners: numpy.ndarray, steps: int, gaussian: int) -> numpy.ndarray:
    """Latent vectors (steps * steps, D), row by row, between four random ones (4, D) in the corners.

    For angles u and v from 0 to 90 degrees, along the columns and the rows,

        z(u, v) = cos v (cos u a + sin u b) + sin v (cos u c + sin u d).

    The squares of the four weights sum to 1. So if the corners are from N(0, 1), every z is from
    N(0, 1), too, which no point between them on a flat plane is. Numbers after the first `gaussian`
    have other distributions, such as the embeddings of classes; their weights sum to 1.
    """
    angles = numpy.linspace(0, numpy.pi / 2, steps)
    sides = numpy.stack([numpy.cos(angles), numpy.sin(angles)], axis=1)
    weights = (sides[:, None, :, None] * sides[None, :, None, :]).reshape(steps * steps, 4)
    z = weights @ corners
    z[:, gaussian:] = weights @ corners[:, gaussian:] / weights.sum(axis=1, keepdims=True)
    return z.astype(corners.dtype)


def plane(trained: Trained, networks: Iterable[Module], steps: int) -> numpy.ndarray:
    """The images of a surface, edge to edge in `steps` rows and columns: uint8 (H, W, C).

    The corners are random, but the stream of random numbers goes on as if nothing had been drawn.
    """
    with ExitStack() as stack:
        stack.enter_context(backend.keeping_random_state())
        for network in networks:
            stack.enter_context(evaluating(network))
        corners = trained.draw(4)
        z = surface(corners.numpy(), steps, trained.gaussian).reshape(steps, steps, -1)
        images = [trained.decode(F.tensor(row, device=corners.device)).numpy() for row in z]
    return grid(numpy.concatenate(images), columns=steps, gap=0, scale=1)
