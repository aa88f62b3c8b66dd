"""How the arrays of GPUs are added up: by NCCL, with one process for each GPU, or through the host.

NCCL's processes find each other by a number that process 0 draws and MPI brings to the others. It
runs on CuPy's stream, behind what has been computed there, and the host does not wait for it. Its
order of additions is its own, and the same for the same GPUs.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import cupy
import cupyx
import numpy

from tinygen.backend import Array, Arrived, Sum

if TYPE_CHECKING:
    from tinygen.training.mpi import MPIGroup


def reducer(group: "MPIGroup") -> Callable[[Array], Sum]:
    """`begin` for CuPy's arrays: through the host where a process lacks NCCL, or where two have the same GPU."""
    gpus = group.gather((group.machine, _gpu()))
    if None in (gpu for _, gpu in gpus) or len(set(gpus)) < len(gpus):
        return lambda x: Arrived(cupy.asarray(group.all_reduce(_on_host(x))))
    from cupy.cuda import nccl

    communicator = nccl.NcclCommunicator(group.size, group.broadcast(nccl.get_unique_id()), group.rank)
    kinds = {"float32": nccl.NCCL_FLOAT32, "float64": nccl.NCCL_FLOAT64}

    def begin(x: Array) -> Sum:
        given: Any = cupy.ascontiguousarray(x)
        total, stream = cupy.empty_like(given), cupy.cuda.get_current_stream()
        communicator.allReduce(given.data.ptr, total.data.ptr, given.size, kinds[given.dtype.name], nccl.NCCL_SUM, stream.ptr)
        return Arrived(total)

    return begin


def _gpu() -> int | None:
    """The number of CuPy's current GPU; None without NCCL."""
    nccl = getattr(cupy.cuda, "nccl", None)
    return cupy.cuda.runtime.getDevice() if nccl is not None and getattr(nccl, "available", False) else None


def _on_host(x: Any) -> numpy.ndarray:
    """x in page-locked memory, to which a GPU copies at once."""
    return x.get(out=cupyx.empty_pinned(x.shape, x.dtype))
