"""What must not see the simulator of CUDA runs in a child process."""

import os
import subprocess
import sys


def child(arguments: list[str], **environment: str) -> "subprocess.CompletedProcess[str]":
    """A process without the simulator, which compiles nothing."""
    own = {name: value for name, value in os.environ.items() if name != "NUMBA_ENABLE_CUDASIM"}
    own["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    process = subprocess.run([sys.executable, *arguments], env={**own, **environment}, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
    return process
