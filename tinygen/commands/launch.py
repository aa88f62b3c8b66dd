"""Start a script on several processes that share each batch; the run is that of one process.

    tinygen run -n 4 examples/dcgan.py                     four processes on this machine
    tinygen run -n 4 examples/dcgan.py --batch-size 256    with options of the script

The launcher is the mpiexec beside this Python, which `pip install 'tinygen[mpi]'` brings, or the first
one on the PATH. The processes share the cores. For several machines start the launcher yourself, as
its manual says: mpiexec -hosts a,b -n 8 python examples/dcgan.py.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated

import tyro

from tinygen.command_line import UsageError
from tinygen.training.distributed import launcher

_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(kw_only=True)
class LaunchOptions:
    script: tyro.conf.Positional[Path]
    """the script"""
    arguments: Annotated[tyro.conf.Positional[tuple[str, ...]], tyro.conf.arg(metavar="...")] = ()
    """its options"""
    n: Annotated[int, tyro.conf.arg(aliases=["-n"])] = 2
    """processes"""

    def check(self) -> None:
        if self.n < 1:
            raise UsageError(f"-n must be at least 1, got {self.n}")
        if not self.script.is_file():
            raise UsageError(f"the script {self.script} does not exist")


def separated(arguments: Sequence[str]) -> list[str]:
    """The arguments of the program, with -- before the script of `run`: what comes behind it is the script's own."""
    scripts = [i for i, argument in enumerate(arguments) if i > 1 and argument.endswith(".py")]
    if arguments[1:2] != ["run"] or not scripts or "--" in arguments[: scripts[0]]:
        return list(arguments)
    return [*arguments[: scripts[0]], "--", *arguments[scripts[0] :]]


def _pass_on(printed: IO[bytes]) -> None:
    """Print what the processes print, without MPICH's page about one that was killed: a sentence says it."""
    for line in printed:
        if line.startswith(80 * b"="):
            line += printed.readline()
            if b"BAD TERMINATION" in line:
                printed.read()
                return
        sys.stdout.buffer.write(line)
        sys.stdout.flush()


def main(options: LaunchOptions) -> None:
    command = [launcher(), "-n", str(options.n), sys.executable, str(options.script), *options.arguments]
    share = str(max(1, (os.cpu_count() or 1) // options.n))
    process = subprocess.Popen(command, env=dict.fromkeys(_THREADS, share) | os.environ, stdout=subprocess.PIPE)
    signal.signal(signal.SIGINT, lambda *_: None)  # a terminal sends Ctrl-C to the launcher, too, which passes it on
    signal.signal(signal.SIGTERM, lambda number, _: process.send_signal(number))
    assert process.stdout is not None
    _pass_on(process.stdout)
    status = process.wait()
    if killed := {9: 9, 11: 11, 137: 9, 139: 11, -9: 9}.get(status):
        cure = "it may lack memory; --resume goes on from the last checkpoint"
        raise UsageError(f"a process was ended by {signal.Signals(killed).name}, and so were the others; {cure}")
    raise SystemExit(status)
