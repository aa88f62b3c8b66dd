"""The way from one latent vector to another."""

import numpy

from tinygen.command_line import UsageError


def between(a: numpy.ndarray, b: numpy.ndarray, steps: int, gaussian: int) -> numpy.ndarray:
    """`steps` latent vectors (steps, D) from a to b, both included.

    Their first `gaussian` numbers are from N(0, 1) and go round the sphere: vectors of N(0, 1) in
    many dimensions have about the same length, and points on the straight line between two of them
    are too short (White, 2016). With the angle w between a and b,

        z(t) = (sin((1 - t) w) a + sin(t w) b) / sin(w).

    The other numbers, and all of them where w is 0 or 180 degrees, go straight.
    """
    if a.shape != b.shape or a.ndim != 1:
        raise UsageError(f"the ends must be latent vectors (D,) of the same size, not {a.shape} and {b.shape}")
    t = numpy.linspace(0, 1, steps)[:, None]
    z = (1 - t) * a + t * b
    u, v = a[:gaussian].astype(float), b[:gaussian].astype(float)
    lengths = numpy.linalg.norm(u) * numpy.linalg.norm(v)
    angle = numpy.arccos(numpy.clip(u @ v / lengths, -1, 1)) if lengths else 0.0
    if numpy.sin(angle) > 1e-6:
        z[:, :gaussian] = (numpy.sin((1 - t) * angle) * u + numpy.sin(t * angle) * v) / numpy.sin(angle)
    return z.astype(numpy.float32)
