"""PyTorch's kernels for a layer of ours: images NCHW, weights (K, C, kh, kw), one number of padding for both sides of an axis.

Where the padding is odd, ours puts the extra row at the bottom, and PyTorch, given the larger
number, leaves the last row at the bottom unused, as if the extra row lay at the top. With images
and kernels turned upside down, one is the other; so it is with columns.
"""

from collections.abc import Callable
from typing import Any

import torch
from tinygen_kernels import Array

from tinygen.bench.layers import Direction, Layer

torch.backends.cudnn.allow_tf32 = False  # ours multiply in float32, not in the tensor cores' 10 bits

Work = Callable[[], Any]
FORMATS = {"NCHW": torch.contiguous_format, "channels_last": torch.channels_last}


def padding_of(layer: Layer) -> tuple[int, int] | None:
    """The padding for PyTorch, or None where it has none that makes images of the same size."""
    c = layer.convolution()
    padding = max(c.padding[0]), max(c.padding[1])
    output = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(c.size, padding, c.kernel_size, c.stride, strict=True)]
    return padding if tuple(output) == c.output else None


def works(layer: Layer, arrays: list[Array], memory_format: str, device: str) -> dict[Direction, Work]:
    """What computes each direction of the layer from x, w and y of its convolution: no direction computes more than itself."""
    c, padding = layer.convolution(), padding_of(layer)
    assert padding is not None
    x, w, y = arrays
    rows, columns = _facing(layer)
    images, results = (_tensor(array[:, rows, columns].transpose(0, 3, 1, 2), memory_format, device) for array in (x, y))
    weight = _tensor(w[rows, columns].transpose(3, 2, 0, 1), memory_format, device)
    source, gradient = (results, images) if layer.transposed else (images, results)
    extra = [0, 0]
    if layer.transposed:
        least = [(m - 1) * s - 2 * p + k for m, s, p, k in zip(c.output, c.stride, padding, c.kernel_size, strict=True)]
        extra = [n - m for n, m in zip(c.size, least, strict=True)]
    geometry = [c.stride, padding, (1, 1), layer.transposed, extra, 1]
    aten = torch.ops.aten
    return {
        "forward": lambda: aten.convolution(source, weight, None, *geometry),
        "data": lambda: aten.convolution_backward(gradient, source, weight, None, *geometry, [True, False, False])[0],
        "weight": lambda: aten.convolution_backward(gradient, source, weight, None, *geometry, [False, True, False])[1],
    }


def result(tensor: Any, layer: Layer, direction: Direction) -> Array:
    """The result of a work, in our layout, on the host."""
    tensor = tensor.cpu()
    rows, columns = _facing(layer)
    return (
        tensor.permute(2, 3, 1, 0).numpy()[rows, columns] if direction == "weight" else tensor.permute(0, 2, 3, 1).numpy()[:, rows, columns]
    )


def _facing(layer: Layer) -> tuple[slice, slice]:
    """Rows and columns backwards where their padding is odd, else as they are."""
    rows, columns = (slice(None, None, 1 if before == after else -1) for before, after in layer.convolution().padding)
    return rows, columns


def _tensor(array: Array, memory_format: str, device: str) -> Any:
    return torch.from_numpy(array.copy()).to(device).contiguous(memory_format=FORMATS[memory_format])
