"""Two hosts with addresses of their own: namespaces of this machine's network, with a cable between them."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from repository import ROOT

from tinygen.saving import checkpoint

pytest.importorskip("mpi4py", reason="needs the extra mpi")

SCRIPT, MPIEXEC = Path(__file__).with_name("failing.py"), Path(sys.executable).with_name("mpiexec")
ADDRESSES = "10.77.0.1", "10.77.0.2"


def namespace(stack: ExitStack, *unshare: str) -> str:
    """The number of a process that keeps new namespaces alive. Skips the test where they cannot be made."""
    process = subprocess.Popen(
        [*unshare, "sh", "-c", "echo; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    stack.callback(process.communicate)
    stack.callback(process.kill)
    assert process.stdout is not None and process.stderr is not None
    if not process.stdout.readline():
        pytest.skip(f"no hosts can be made here: {process.stderr.read().decode().strip()}")
    return str(process.pid)


def within(pid: str) -> list[str]:
    return ["nsenter", "--preserve-credentials", "--user", "--net", "--target", pid]


def wait_for_addresses(hosts: list[list[str]]) -> None:
    """Until both ends of the cable have an IPv6 address, some two seconds after they are up.

    Before, libfabric takes the loopback for the network between the hosts.
    """
    end, show = time.monotonic() + 10, ["ip", "-o", "address", "show", "dev", "cable"]
    for host in hosts:
        found = ""
        while "inet6" not in found or "tentative" in found:
            if time.monotonic() > end:
                pytest.skip("no hosts can be made here: the cable between them gets no IPv6 address")
            found = subprocess.run([*host, *show], capture_output=True, text=True, check=True).stdout
            time.sleep(0.1)


@pytest.fixture
def hosts() -> Iterator[list[list[str]]]:
    """What starts a command on each of two hosts, which are root's within a user namespace, so that no right is needed for them."""
    if missing := [program for program in ("unshare", "nsenter", "ip") if shutil.which(program) is None]:
        pytest.skip(f"no hosts can be made here: {', '.join(missing)} is missing")
    with ExitStack() as stack:
        first = namespace(stack, "unshare", "--user", "--map-root-user", "--net")
        pids = [first, namespace(stack, *within(first), "unshare", "--net")]
        cable = "ip link add cable type veth peer name cable netns"
        result = subprocess.run([*within(first), *cable.split(), pids[1]], capture_output=True, text=True)
        if result.returncode:
            pytest.skip(f"no cable can be made here: {result.stderr.strip()}")
        for pid, address in zip(pids, ADDRESSES, strict=True):
            for what in (f"address add {address}/24 dev cable", "link set cable up", "link set lo up"):
                subprocess.run([*within(pid), "ip", *what.split()], check=True)
        connected = [within(pid) for pid in pids]
        wait_for_addresses(connected)
        yield connected


def run(hosts: list[list[str]], tmp_path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The script on a process of each host, started on the first one; where mpiexec calls ssh, it enters the second one."""
    ssh = tmp_path / "ssh"
    ssh.write_text(f'#!/bin/sh\nwhile [ "$1" != {ADDRESSES[1]} ]; do shift; done; shift\nexec nsenter --net -t {hosts[1][-1]} sh -c "$*"\n')
    ssh.chmod(0o755)
    launcher = [MPIEXEC, "-launcher", "ssh", "-launcher-exec", ssh, "-hosts", ",".join(ADDRESSES), "-n", "2"]
    command = [*hosts[0], *launcher, sys.executable, SCRIPT, "--out", tmp_path / "run", *options]
    environment = os.environ | {"TINYGEN_KERNELS": "reference", "OPENBLAS_NUM_THREADS": "1", "TINYGEN_TIMEOUT": "3"}
    environment |= {"MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp"}  # not the memory, which is one for both hosts
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "kernels")])
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def test_a_host_that_is_cut_off_in_the_middle_ends_the_run_which_goes_on_when_it_is_back(hosts: list[list[str]], tmp_path: Path) -> None:
    result = run(hosts, tmp_path, "--how", "cut off")
    assert result.returncode == 1
    assert result.stderr.count("failing.py: process 0 of 2 has waited 3 s for the others") == 1
    assert checkpoint.load(tmp_path / "run" / "checkpoint.safetensors")
    subprocess.run([*hosts[1], "ip", "link", "set", "cable", "up"], check=True)
    wait_for_addresses(hosts)
    result = run(hosts, tmp_path, "--resume")
    assert result.returncode == 0 and "resuming after 1 epochs and " in result.stdout, result.stderr
