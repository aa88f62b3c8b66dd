# mypy: allow-untyped-defs
"""The last of several blocks of a kernel, which goes on with the results of all of them.

Blocks cannot wait for each other, since some only begin when others have ended. But a block can count
itself when it has written its results. The block that counts itself last knows that all results are in
memory, and combines them. Which block this is differs from run to run. What it computes does not, so
the bits are the same every time, and no second kernel has to be started. Source: NVIDIA's CUDA
samples, threadFenceReduction.
"""

import threading
from typing import Any

import cupy
import numpy
from numba import cuda, int32, uint32

from tinygen_kernels import Array
from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.cuda.launch import nothing

_FEWEST = 1 << 14  # counters, more than most kernels have groups of blocks

_kept: dict[Any, Array] = {}


def counters(groups: int, blocks: int) -> Array:
    """A counter for each group of so many blocks, all 0: kernels leave them so. A group of one
    block needs none.

    The kernels that one thread starts on one stream share them. The handle of the stream is not
    enough: with CUPY_CUDA_PER_THREAD_DEFAULT_STREAM=1, that of all threads' default streams is 2.

    They are zeroed on the default stream, because another one may be recording a CUDA graph. None is
    ever freed, because a graph that was recorded goes on to use them.
    """
    number = cupy.cuda.runtime.getDevice()
    if blocks < 2:
        return nothing(number, "I")
    size = max(_FEWEST, 1 << (groups - 1).bit_length())
    key = number, cupy.cuda.get_current_stream().ptr, threading.get_ident(), size
    if key not in _kept:
        default = cupy.cuda.Stream.null
        with cupy.cuda.using_allocator(cupy.get_default_memory_pool().malloc), default:
            _kept[key] = cupy.zeros(size, numpy.uint32)
        default.synchronize()
    return _kept[key]


@device
def is_last(counters, group, blocks):
    """Whether this block is the last of the `blocks` of its group to call this.

    All threads of the block call it. If so, they can read what the threads of all blocks wrote before.
    """
    last = cuda.shared.array(1, int32)
    cuda.threadfence()
    cuda.syncthreads()
    if cuda.threadIdx.x == 0:
        most = uint32(blocks - 1)
        last[0] = int32(cuda.atomic.inc(counters, group, most) == most)  # after which the counter is 0 again
    cuda.syncthreads()
    cuda.threadfence()
    return last[0] != 0
