"""Compiling the backward pass while the forward pass is compiled.

Numba compiles one function at a time, and a first training compiles about twenty, those of the
backward pass and of the optimiser last. So a second process compiles these, the last one first, and
puts them into the cache, where the training finds them. That takes 0.6 of the time. If both compile
the same function at once, the cache gets the same code twice.
"""

import contextlib
import functools
import subprocess
import sys

import numpy

from tinygen_kernels.cpu import adam, batch_norm_backward, bias_leaky_relu_backward, conv2d_weight
from tinygen_kernels.cpu.cache import Cache
from tinygen_kernels.cpu.compiled import compiled
from tinygen_kernels.cpu.team import threads


@functools.cache  # so once in a process, and Python does not warn of a process that nobody holds
def begin() -> "subprocess.Popen[bytes] | None":
    """Start the second process, unless one has done its work before, or there is no core for it, or nothing is kept."""
    if threads() < 2 or not Cache(_done).can_be_filled():
        return None
    command, null = [sys.executable, "-P", "-m", __name__], subprocess.DEVNULL  # -P: no module of the folder in which the user is
    with contextlib.suppress(OSError):  # the system starts no more processes, and the training compiles everything
        # In a session of its own, Ctrl-C does not stop it: what it compiles is good for the next run, too.
        return subprocess.Popen(command, stdin=null, stdout=null, stderr=null, start_new_session=True)
    return None


def _compile() -> None:
    images, maps, channels = (numpy.zeros(shape, numpy.float32) for shape in ((32, 16, 16, 32), (32, 8, 8, 32), (32,)))
    stride, padding = (2, 2), ((1, 1), (1, 1))
    adam(channels, channels, channels, channels, numpy.zeros(7, numpy.float32))
    conv2d_weight(images, maps, (4, 4), stride, padding, (1, 1))  # by Winograd's algorithm
    batch_norm_backward(maps, maps, maps, channels, channels, channels, 1e-5, 0.2)
    bias_leaky_relu_backward(maps, maps, 0.2)
    conv2d_weight(images[..., :1], maps, (4, 4), stride, padding, (1, 1))  # directly
    compiled(_done)()


def _done() -> None:
    """Compiled last, so if this is in the cache, everything is."""


if __name__ == "__main__":
    _compile()
