"""Data-parallel training: several processes share each batch, and the run is that of one process.

    mpirun -n 4 python examples/dcgan.py        or   tinygen run -n 4 examples/dcgan.py

Every process has all weights and computes the step on its own rows of the batch. The order of the
examples and the random numbers are those of one process, since each process draws them for the
whole batch and takes its part.

Why averaging the gradients works: the loss is a mean over the batch, and process r has the share
w_r of its rows, so L = sum_r w_r L_r and dL/dp = sum_r w_r dL_r/dp. The mean of the gradients is the
gradient of the whole batch to rounding; every process makes the same step with it, and the weights
stay equal without being sent. What depends on the whole batch otherwise, such as the moments of
batch norm, is averaged where it arises (see `backend/shards.py`). A loss must therefore be made of
means over the batch, as all in `functional` are; of a sum over the batch, each process would see
its own part only.

What it costs: n processes average m bytes in two halves. Each adds up 1/n of all, for which it
receives (n - 1)/n m bytes from the others (reduce-scatter), and gives its sums to all, which is as much
again (all-gather). With the latency a of a message and the time b for a byte, in a ring

    T = 2 (n - 1) a + 2 (n - 1)/n m b.

The second term hardly grows with n: twice the weights must pass, however many processes there are.
The first one grows, so that small messages go in one round to all instead.

When it hides behind backward: the gradients of the last layers are complete first. They fill a flat
bucket, which is on its way while backward goes on to the layers before, and so does the next one.
Let bucket k be full at time t_k and take T_k on the network, which carries one after another. The
last one arrives at the largest t_k + T_k + T_k+1 + ... over all k. Backward ends when the last
bucket is full, so that this one's T is always added to the step, and nothing else if each T_k is at
most t_k+1 - t_k, the computing between two buckets. That grows with the rows of a process, and T
does not: with a batch large enough the network costs no time. Only the network's own work hides so.
Between processes of one machine the processors copy, and do not compute meanwhile. `python -m
tinygen.bench --processes 1,2` measures a step, and with --plot draws what hides. Only `minimize`
knows that no more is added to a gradient; after `backward`, which may add up several losses, it is
the optimiser's step that begins and waits.

The processes meet through a `Group`: MPI's (mpi.py), and NCCL for the arrays of GPUs (nccl.py).
"""

import functools
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy

from tinygen import backend
from tinygen.backend import Array, Arrived, Sum
from tinygen.command_line import UsageError
from tinygen.data.loader import shares
from tinygen.training.parts import Metrics, Stateful, copied
from tinygen.version import __version__

if TYPE_CHECKING:
    from tinygen.training.loop import Training

# Where launchers tell a process how many there are: Hydra (MPICH, Intel MPI) and Slurm, Open MPI,
# MVAPICH.
_LAUNCHERS = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")

INSTALL = "pip install 'tinygen[mpi]'"


class Group(Protocol):
    """The processes of a run. All of them must call the same methods in the same order.

    rank          the number of this one, from 0
    size          how many there are
    local_rank    the number of this one among those of its machine
    """

    rank: int
    size: int
    local_rank: int

    def begin(self, x: Array) -> Sum:
        """Begin `all_reduce`. x must stay as it is until the sum is there."""
        ...

    def all_reduce(self, x: Array) -> Array:
        """The sum of the processes' arrays x. All of them get the same bits, and in another run of as many the same again."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks."""
        ...

    def broadcast(self, value: Any) -> Any:
        """The value that process 0 gave."""
        ...

    def barrier(self) -> None:
        """Wait until all processes are here."""
        ...

    def end(self) -> None:
        """From here on the end of this process is not a failure, which would end all others."""
        ...


class Alone:
    """The group of a process that is the only one."""

    rank, size, local_rank = 0, 1, 0

    def begin(self, x: Array) -> Sum:
        return Arrived(x)

    def all_reduce(self, x: Array) -> Array:
        return x

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def broadcast(self, value: Any) -> Any:
        return value

    def barrier(self) -> None:
        pass

    def end(self) -> None:
        pass


@functools.cache
def joined() -> Group:
    """The group that this process was started in. Raises UsageError where the extra `mpi` is missing."""
    size = max((int(os.environ[name]) for name in _LAUNCHERS if name in os.environ), default=1)
    if size < 2:
        return Alone()
    try:
        from tinygen.training.mpi import MPIGroup
    except ImportError as error:
        told = f"{size} processes were started, but mpi4py, through which they meet, cannot be imported ({error})"
        raise UsageError(f"{told}: {INSTALL}") from None
    return MPIGroup(size)


def launcher() -> str:
    """The path of MPI's launcher. Raises UsageError where it or mpi4py is missing."""
    beside = Path(sys.executable).with_name("mpiexec")
    found = str(beside) if beside.exists() else shutil.which("mpiexec")
    if found is None or find_spec("mpi4py") is None:
        missing = "mpiexec, MPI's launcher," if found is None else "mpi4py, through which processes meet,"
        raise UsageError(f"{missing} is not installed: {INSTALL}")
    return found


def sharing(group: Group, rows: int) -> AbstractContextManager[None]:
    """Within, the group shares a batch of so many rows. Raises UsageError if there is not one for each process."""
    if group.size == 1:
        return nullcontext()
    if rows < group.size:
        raise UsageError(f"a batch of {rows} rows is too small for {group.size} processes; give a larger --batch-size, or fewer processes")
    return backend.sharing(backend.Shard(*shares(rows, group.rank, group.size), rows, group.begin))


def means(numbers: Metrics) -> dict[str, Array]:
    """Copies of the numbers of a step: of their means over the batch where processes share it."""
    own = {name: copied(value) for name, value in numbers.items()}
    return dict(zip(own, backend.averaged(list(own.values())), strict=True))


def refuse_unlike(group: Group, facts: Callable[[], Mapping[str, Any]]) -> None:
    """Raise UsageError, in all processes, if the facts of one differ from those of process 0."""
    if group.size == 1:
        return
    own = dict(facts())
    first = group.broadcast(own)
    unlike = numpy.zeros((group.size, len(first)))
    unlike[group.rank] = [own.get(name) != fact for name, fact in first.items()]
    for rank, different in enumerate(group.all_reduce(unlike)):
        if different.any():
            names = ", ".join(name for name, is_other in zip(first, different, strict=True) if is_other)
            raise UsageError(f"process {rank} of {group.size} differs from process 0 in {names}; all must compute the same")


def largest(group: Group, number: int) -> int:
    """The largest of the processes' numbers."""
    if group.size == 1:
        return number
    numbers = numpy.zeros(group.size)
    numbers[group.rank] = number
    return int(group.all_reduce(numbers).max())


def facts(training: "Training") -> dict[str, Any]:
    """What all processes of a run must have in common. Averaged gradients would hide that a script differs."""
    program = getattr(sys.modules["__main__"], "__file__", None)
    script = zlib.crc32(Path(program).read_bytes()) if program else None
    versions = {name: version(name) for name in ("numpy", "numba")}
    options = {name.strip("_").replace("_", "-"): value for name, value in training.options.plain().items() if name not in ("out", "data")}
    options["device"] = training.options.device.partition(":")[0]
    named = {f"--{name}": value for name, value in options.items()}
    return {"the script": script, "tinygen": __version__, **versions, **named, "data": training.digest, "weights": checksum(training.parts)}


def checksum(parts: Mapping[str, Stateful]) -> int:
    """Of all arrays of the parts."""
    arrays = [array for part in parts.values() for array in part.state_dict(copy=False).values()]
    return functools.reduce(lambda crc, array: zlib.crc32(numpy.ascontiguousarray(array).data, crc), arrays, 0)
