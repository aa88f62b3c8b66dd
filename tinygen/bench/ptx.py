"""What the compiler makes of the GPU's kernels: registers, spills, shared memory, occupancy and the work of the inner loop.

This needs no GPU, only the compilers in the wheels nvidia-nvvm, nvidia-cuda-nvcc and
nvidia-cuda-nvdisasm. What it cannot tell is how long memory makes the kernels wait.
"""

import importlib
import multiprocessing
import re
import subprocess
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from tinygen.bench.protocol import table

_MODULES = "tinygen_kernels.cuda.conv", "tinygen_kernels.cuda.launch", "tinygen_kernels.ladder.cuda"


@dataclass
class Architecture:
    """What a multiprocessor holds at once (CUDA C++ Programming Guide, table of technical specifications)."""

    name: str  # sm_ and the compute capability
    threads: int
    blocks: int
    shared: int  # bytes
    reserved: int  # bytes of shared memory that every block loses
    registers: int = 65536

    @property
    def capability(self) -> tuple[int, int]:
        major, minor = divmod(int(self.name.removeprefix("sm_")), 10)
        return major, minor

    def runs(self, kernel: str) -> bool:
        return self.capability >= (8, 0) or " tf32 " not in kernel


ARCHITECTURES = [
    Architecture("sm_75", 1024, 16, 64 * 1024, 0),  # RTX 20, T4
    Architecture("sm_80", 2048, 32, 164 * 1024, 1024),  # A100
    Architecture("sm_90", 2048, 32, 228 * 1024, 1024),  # H100
]


@dataclass
class Report:
    """One kernel on one architecture."""

    name: str
    architecture: str
    registers: int
    spills: int  # bytes of the stack, and those written and read because registers ran out
    shared: int  # bytes
    occupancy: float  # threads that a multiprocessor holds, as a share of the most it can
    multiplications: float  # share of multiply-adds, or of tensor cores' products, in the loop that has most of them
    wide_divisions: int  # of 64-bit integers, for which a GPU has no instruction
    seconds: float  # to compile


def main() -> None:
    """Print the table. Raises OSError where CuPy, Numba's CUDA package or a compiler is missing."""
    try:
        importlib.import_module("tinygen_kernels.cuda")
    except ImportError as error:
        raise OSError(f"--ptx needs what compiles for GPUs: pip install 'tinygen[gpu-check]' ({error})") from None
    print(f"ptxas {metadata.version('nvidia-cuda-nvcc')}; occupancy is what registers, threads and shared memory allow\n")
    rows: list[tuple[str, ...]] = [("kernel", "", "registers", "spills", "shared", "occupancy", "FMA", "div64", "jit s")]
    for each in reports():
        numbers = map(str, (each.registers, each.spills, each.shared))
        shares = f"{each.occupancy:.0%}", f"{each.multiplications:.0%}"
        rows.append((each.name, each.architecture, *numbers, *shares, str(each.wide_divisions), f"{each.seconds:.1f}"))
    print("\n".join(table(rows)))


def reports() -> Iterator[Report]:
    """All kernels of the modules that list theirs, on all architectures. As many are compiled at a time as there are processors."""
    jobs = [(name, i) for name in _MODULES for i, _ in enumerate(_kernels(name))]
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as pool:
        for reports_of_one in pool.map(_reports, *zip(*jobs, strict=True)):
            yield from reports_of_one


def _kernels(module: str) -> list[Any]:
    return list(importlib.import_module(module).kernels())


def _reports(module: str, i: int) -> list[Report]:
    return reports_of(*_kernels(module)[i])


def reports_of(name: str, kernel: Any, signature: Any, threads: int) -> list[Report]:
    """A kernel on all architectures.

    Numba translates it to LLVM's language once, which takes most of the time. Only what follows
    depends on the architecture.
    """
    compiler: Any = importlib.import_module("numba.cuda.compiler")
    begin = time.perf_counter()
    library, _ = compiler._compile_pyfunc_with_fixup(kernel, signature, device=False, abi="numba", cc=ARCHITECTURES[-1].capability)
    translated = time.perf_counter() - begin
    reports = []
    for architecture in filter(lambda architecture: architecture.runs(name), ARCHITECTURES):
        begin = time.perf_counter()
        (ptx,) = library.get_asm_strs(cc=architecture.capability)
        reports.append(report(name, ptx, threads, architecture, translated + time.perf_counter() - begin))
    return reports


def report(name: str, ptx: str, threads: int, architecture: Architecture, seconds: float) -> Report:
    told, disassembly = _assemble(ptx, architecture.name)
    registers = int(_number(r"Used (\d+) registers", told))
    shared = int(_number(r"(\d+) bytes smem", told))
    spills = sum(int(_number(rf"(\d+) bytes {what}", told)) for what in ("stack frame", "spill stores", "spill loads"))
    return Report(
        name,
        architecture.name,
        registers,
        spills,
        shared,
        _occupancy(architecture, threads, registers, shared),
        _multiplications(disassembly),
        len(re.findall(r"\b(?:div|rem)\.[us]64", ptx)),
        seconds,
    )


def _assemble(ptx: str, architecture: str) -> tuple[str, str]:
    """What ptxas tells of the kernel, and the machine code as text."""
    with tempfile.TemporaryDirectory() as folder:
        source, binary = Path(folder, "kernel.ptx"), Path(folder, "kernel.cubin")
        source.write_text(ptx)
        told = _run(_program("ptxas", "nvidia-cuda-nvcc"), "-v", f"-arch={architecture}", source, "-o", binary).stderr
        return told, _run(_program("nvdisasm", "nvidia-cuda-nvdisasm"), "-c", binary).stdout


def _run(*command: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)


def _program(name: str, wheel: str) -> Path:
    """Raises OSError where the wheel is not installed."""
    try:
        files = metadata.files(wheel) or []
    except metadata.PackageNotFoundError:
        raise OSError(f"{name} is not installed: pip install {wheel}") from None
    return next(Path(str(file.locate())) for file in files if file.name == name)


def _number(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return found[1] if found else "0"


def _occupancy(architecture: Architecture, threads: int, registers: int, shared: int) -> float:
    """Registers are handed out to warps of 32 threads in units of 256, shared memory to blocks in units of 128 bytes."""
    warps = -(-threads // 32)
    by_registers = architecture.registers // (warps * -(-32 * registers // 256) * 256)
    by_shared = architecture.shared // max(1, -(-(shared + architecture.reserved) // 128) * 128)
    blocks = min(by_registers, by_shared, architecture.threads // threads, architecture.blocks)
    return blocks * warps * 32 / architecture.threads


def _multiplications(disassembly: str) -> float:
    """The share of multiply-adds and of matrix multiply-adds among the instructions of the loop where it is highest."""
    instructions: list[str] = []
    labels: dict[str, int] = {}
    loops: list[list[str]] = []
    for line in disassembly.splitlines():
        if label := re.match(r"\s*(\.L\w+):", line):
            labels[label[1]] = len(instructions)
        elif instruction := re.search(r"/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?(.*?);", line):
            instructions.append(instruction[1])
            if target := re.search(r"\bBRA\b.*`\((\.L\w+)\)", line):
                loops += [instructions[labels[target[1]] :]] if target[1] in labels else []
    return max((sum(name.startswith(("FFMA", "DFMA", "HMMA")) for name in loop) / len(loop) for loop in loops), default=0.0)
