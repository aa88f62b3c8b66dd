"""A group of processes that meet through MPI (mpi4py), on one machine or several.

No collective operation of MPI is waited for inside MPI: the processor is given to others meanwhile,
signals are heard, and a peer that does not answer is an error.
"""

import atexit
import io
import os
import pickle
import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy
from mpi4py import MPI

from tinygen.backend import Array, Sum
from tinygen.command_line import UsageError

TIMEOUT = "TINYGEN_TIMEOUT"  # of the environment: seconds
_PASSED_ON = 0.1  # seconds in which the launcher passes on what was said; MPICH's loses what it has not when a process aborts
_PATIENCE = 0.01  # seconds of waiting, after which a process begins to sleep in between
_GRACE = 2.0  # seconds in which process 0 is the first to say what went wrong


class MPIGroup:
    """The processes that mpirun started. Raises UsageError if MPI does not see as many as the launcher has said.

    Process 0 speaks for all. The others print nothing; if one fails by itself, and process 0 has not
    ended within two seconds, what it has to say is printed. A process that fails ends
    all others with it.
    """

    def __init__(self, launched: int) -> None:
        self._world = MPI.COMM_WORLD
        self.rank, self.size = self._world.rank, self._world.size
        if self.size != launched:
            cure = "start them by its own mpiexec, or by `tinygen run`"
            raise UsageError(f"the launcher started {launched} processes but mpi4py's {_library()} sees {self.size}; {cure}")
        neighbours = self._world.Split_type(MPI.COMM_TYPE_SHARED)
        self.local_rank, self.machine = neighbours.rank, MPI.Get_processor_name()
        os.environ.setdefault("NUMBA_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // neighbours.size)))
        self._timeout = float(os.environ.get(TIMEOUT, "600"))
        self._gpu: Any = None  # what adds up the arrays of GPUs
        self._ended, self._errors = False, sys.stderr
        if self.rank:
            sys.stdout, sys.stderr = open(os.devnull, "w"), io.StringIO()  # noqa: SIM115
        atexit.register(self._leave)

    def begin(self, x: Array) -> Sum:
        if not isinstance(x, numpy.ndarray | numpy.generic):
            return self._begin_on_a_gpu(x)
        given = numpy.asarray(x, order="C")
        total = numpy.empty_like(given)
        return _OnTheWay(total, self._world.Iallreduce(given, total), self._wait)

    def all_reduce(self, x: Array) -> Array:
        return self.begin(x).wait()

    def _begin_on_a_gpu(self, x: Array) -> Sum:
        if self._gpu is None:
            from tinygen.training.nccl import reducer

            self._gpu = reducer(self)
        return self._gpu(x)

    def broadcast(self, value: Any) -> Any:
        data = numpy.frombuffer(pickle.dumps(value) if self.rank == 0 else b"", numpy.uint8)
        length = numpy.array([data.size])
        self._wait(self._world.Ibcast(length))
        data = data.copy() if self.rank == 0 else numpy.empty(int(length[0]), numpy.uint8)
        self._wait(self._world.Ibcast(data))
        return pickle.loads(data.tobytes())

    def gather(self, value: Any) -> list[Any]:
        """The values of all processes, in the order of their ranks."""
        return self._world.allgather(value)

    def barrier(self) -> None:
        self._wait(self._world.Ibarrier())

    def _wait(self, request: Any) -> None:
        started = time.perf_counter()
        while not request.Test():
            waited = time.perf_counter() - started
            if waited > self._timeout:
                cure = f"one hangs or is out of reach; --resume goes on from the last checkpoint, and {TIMEOUT} sets the seconds"
                raise UsageError(f"process {self.rank} of {self.size} has waited {self._timeout:g} s for the others: {cure}")
            if waited > _PATIENCE:
                time.sleep(0.0005)
            else:
                os.sched_yield()

    def end(self) -> None:
        self._ended = True

    def _leave(self) -> None:
        """At the end of this process: if it is a failure, end the others, too."""
        if self._ended:
            return
        if self.rank:
            time.sleep(_GRACE)
            told = sys.stderr.getvalue().rstrip() if isinstance(sys.stderr, io.StringIO) else ""
            print(f"process {self.rank} of {self.size}: {told}", file=self._errors, flush=True)
        sys.stdout.flush()
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # all has been said
        time.sleep(_PASSED_ON)
        self._world.Abort(1)  # the launcher ends the others, and does not wait for a machine that is out of reach


class _OnTheWay(NamedTuple):
    """A sum that MPI has begun. To ask for it is what moves it on in most MPIs."""

    total: numpy.ndarray
    request: MPI.Request
    until: Callable[[MPI.Request], None]

    def arrived(self) -> bool:
        return self.request.Test()

    def wait(self) -> Array:
        self.until(self.request)
        return self.total


def _library() -> str:
    return MPI.Get_library_version().split("\n")[0].strip()
