"""Every engine's kernels for a layer: checked against each other, then timed."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy
from tinygen_kernels import Array, im2col, reference

from tinygen.backend import to_device
from tinygen.bench.layers import Direction, Layer
from tinygen.bench.protocol import Protocol

if TYPE_CHECKING:
    from tinygen.bench.peak import Machine

OURS, IM2COL, REFERENCE = "ours", "im2col+BLAS", "reference"  # on a GPU: direct, and with cuBLAS
TORCH = {"NCHW": "torch NCHW", "channels_last": "torch channels_last"}  # by memory format
ENGINES = (OURS, IM2COL, REFERENCE, *TORCH.values())

TOLERANCE = 1e-4  # of the largest number of the result
_REFERENCE_FLOPS = 2 * 10**8  # above this the reference is not run

Work = Callable[[], Any]


@dataclass(frozen=True)
class Timing:
    """One kernel: the median seconds of each engine that has it, and the engines whose results were not im2col's, and by how much."""

    layer: Layer
    direction: Direction
    seconds: dict[str, float]
    wrong: dict[str, float]
    predicted: float | None = None  # for ours, on a GPU

    def rate(self) -> float:
        """Ours, in GFLOP/s."""
        return self.layer.flops() / self.seconds[OURS] / 1e9

    def ratio(self, engine: str) -> float | None:
        """Our time over the engine's: below 1 where ours is the faster. None where the engine was not timed."""
        return self.seconds[OURS] / self.seconds[engine] if engine in self.seconds else None


def torch_version(device: str) -> str | None:
    """The version of PyTorch, None where it is not installed, or not for the device."""
    try:
        import torch
    except ImportError:
        return None
    if device != "cpu" and not torch.cuda.is_available():
        return None
    return str(torch.__version__)  # a plain string: reading its own kind back, another process would import PyTorch


def machine(protocol: Protocol, dtype: str) -> "Machine":
    """What this machine can do at most: measured, or, of a GPU, by its data sheet, which is for float32."""
    from tinygen.bench import peak

    if protocol.device == "cpu":
        return peak.machine(protocol, dtype)
    from tinygen.bench import prediction

    gpu = prediction.this_gpu()
    return peak.Machine(gpu.teraflops * 1e3, gpu.terabytes * 1e3)


def launch_seconds(calls: int = 1000) -> tuple[float, float]:
    """How long the host takes to start a kernel of ours and one of CuPy's: on one number, so that the GPU keeps up."""
    import cupy
    from tinygen_kernels import cuda

    one = cupy.zeros(1, "float32")
    seconds = []
    for start in (lambda: cuda.leaky_relu(one, 0.2), lambda: one + one):
        start()
        cupy.cuda.Device().synchronize()
        begin = time.perf_counter()
        for _ in range(calls):
            start()
        seconds.append((time.perf_counter() - begin) / calls)
    return seconds[0], seconds[1]


def measure(layer: Layer, direction: Direction, dtype: str, repeats: int, protocol: Protocol) -> Timing:
    """Check and time one kernel of all engines in this process."""
    arrays = layer.arrays(dtype)
    here = [to_device(array, protocol.device) for array in arrays]
    works = {name: works_of(kernels, layer, here)[direction] for name, kernels in _modules(layer, protocol.device).items()}
    results = {name: to_device(work(), "cpu") for name, work in works.items()}
    if torch_version(protocol.device):
        from tinygen.bench import torch_kernels

        if torch_kernels.padding_of(layer) is not None:
            for memory_format, name in TORCH.items():
                works[name] = torch_kernels.works(layer, arrays, memory_format, protocol.device)[direction]
                results[name] = torch_kernels.result(works[name](), layer, direction)
    errors = {name: difference(result, results[IM2COL]) for name, result in results.items()}
    wrong = {name: error for name, error in errors.items() if not error <= TOLERANCE}
    predicted = None
    if protocol.device != "cpu" and dtype == "float32":
        from tinygen.bench import prediction

        predicted = prediction.predict(layer, direction, prediction.this_gpu()).seconds
    return Timing(layer, direction, protocol.medians(works, repeats), wrong, predicted)


def _modules(layer: Layer, device: str) -> dict[str, ModuleType]:
    if device != "cpu":
        from tinygen_kernels import cuda

        return {OURS: cuda, IM2COL: im2col}
    from tinygen_kernels import cpu  # with Numba, which the process that only prints can do without

    modules = {OURS: cpu, IM2COL: im2col}
    return modules | {REFERENCE: reference} if layer.flops() <= _REFERENCE_FLOPS else modules


def works_of(kernels: Any, layer: Layer, arrays: list[Array]) -> dict[Direction, Work]:
    """The layer's directions by kernels of the contract."""
    c, (x, w, y) = layer.convolution(), arrays
    geometry = c.stride, c.padding, (1, 1)
    plain: dict[Direction, Work] = {
        "forward": lambda: kernels.conv2d(x, w, None, *geometry),
        "data": lambda: kernels.conv2d_data(y, w, None, c.size, *geometry),
        "weight": lambda: kernels.conv2d_weight(x, y, c.kernel_size, *geometry),
    }
    return plain | {"forward": plain["data"], "data": plain["forward"]} if layer.transposed else plain


def difference(result: Array, expected: Array) -> float:
    """The largest difference, relative to the largest number."""
    if result.shape != expected.shape:
        return float("inf")
    return float(numpy.abs(result - expected).max() / numpy.abs(expected).max())
