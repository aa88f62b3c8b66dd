"""A kernel of one's own on the ladder, beside tinygen's and PyTorch's: `python -m tinygen.bench --with FILE`.

The file's functions are known by their names:

    convolve(x, w, stride, dilation, y)      a rung such as `tinygen_kernels.ladder.innermost`; it is compiled
    step(tile, sums, pixels, ...)            of the block in registers, `tinygen_kernels.ladder.block`; it is compiled into it
    conv2d, conv2d_data, conv2d_weight       kernels of the contract; they run as they are
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numba
from tinygen_kernels import cpu
from tinygen_kernels.ladder import block, innermost

from tinygen.bench.kernels import OURS, TORCH, torch_version
from tinygen.bench.ladder import Rung, measure, part_of, rate, rate_of
from tinygen.bench.layers import Direction, Layer
from tinygen.command_line import UsageError
from tinygen.training.own_code import functions_of, replaced

DIRECTION: dict[str, Direction] = {
    "convolve": "forward",
    "step": "forward",
    "conv2d": "forward",
    "conv2d_data": "data",
    "conv2d_weight": "weight",
}

# A kernel in the interpreter that would take longer than this for the whole layer is timed on a
# part of it.
_SECONDS = 2.0


def measured(file: Path, layer: Layer) -> list[Rung]:
    """The file's functions, and for each direction that they have, PyTorch's kernels, and tinygen's where no rung has it.

    Raises UsageError where a function is not written yet or computes something else.
    """
    own = functions_of(file, tuple(DIRECTION))
    rungs = []
    for name, function in own.items():
        try:
            rungs.append(replace(_measured(name, function, layer), name=f"your {name}"))
        except NotImplementedError:
            raise UsageError(f"{name} in {file} is still to be written") from None
        except ArithmeticError as error:
            raise UsageError(f"{name} in {file}: {error}") from error
    for direction in dict.fromkeys(DIRECTION[name] for name in own):
        rungs += _others(layer, direction)
    return rungs


def _measured(name: str, function: Callable[..., Any], layer: Layer) -> Rung:
    if name == "convolve":
        compiled = numba.njit(function, error_model="numpy")
        with replaced(innermost, "in_python", function), replaced(innermost, "convolve", compiled):
            return measure("innermost", layer)
    if name == "step":
        blocks = numba.njit(block._blocks.py_func, error_model="numpy")  # compiled anew, with this step
        with replaced(block, "step", function), replaced(block, "_blocks", blocks):
            return measure("block", layer)
    kernels, direction = SimpleNamespace(**{name: function}), DIRECTION[name]
    gflops = rate(name, kernels, part_of(layer), direction)
    if layer.flops() / gflops / 1e9 < _SECONDS:
        gflops = rate(name, kernels, layer, direction)
    return Rung(name, gflops)


def _others(layer: Layer, direction: Direction) -> list[Rung]:
    where = "" if direction == "forward" else f", {direction}"
    rungs = [Rung(OURS + where, rate(OURS, cpu, layer, direction))] if where else []
    if torch_version("cpu"):
        from tinygen.bench import torch_kernels

        if torch_kernels.padding_of(layer) is not None:
            for memory_format, engine in TORCH.items():
                work = torch_kernels.works(layer, layer.arrays("float32"), memory_format, "cpu")[direction]
                work()
                rungs.append(Rung(engine + where, rate_of(work, layer)))
    return rungs
