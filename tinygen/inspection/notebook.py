"""How a notebook shows a Tensor and a Module: `_repr_html_` of both."""

from html import escape
from typing import Any

import numpy

from tinygen.engine.tensor import Tensor, tensor_method
from tinygen.report.frames import address
from tinygen.report.pictures import grid, image_of

IMAGES = 16  # that are shown of a batch


@tensor_method("_repr_html_")
def tensor_html(x: Tensor) -> str:
    """Shape, dtype, device and origin of a tensor; its statistics, and as a picture if it looks like images (N, H, W, C).

    Black is the smallest element shown, and white the largest.
    """
    origin = f"from {type(x.node).__name__.removesuffix('Function')}" if x.node else "requires gradients" if x.requires_grad else ""
    head = ", ".join(str(part) for part in (x.shape, x.dtype, x.device, origin) if part)
    values = x.numpy()
    finite = values[numpy.isfinite(values)]
    if values.size and values.dtype.kind == "f" and finite.size < values.size:
        head += f"; {values.size - finite.size:,} elements are NaN or infinite"
    elif values.size > 1 and values.dtype.kind in "fiu":
        head += f"; from {values.min():.4g} to {values.max():.4g}, mean {values.mean():.4g}, standard deviation {values.std():.4g}"
    body = _picture(values) if _are_images(values) else f"<pre>{escape(numpy.array2string(values, precision=4, threshold=100))}</pre>"
    return f"<div><b>Tensor</b> {escape(head)}<br>{body}</div>"


def _are_images(values: numpy.ndarray) -> bool:
    return (
        values.ndim == 4
        and values.shape[3] in (1, 3)
        and min(values.shape[1:3]) >= 8
        and len(values) > 0
        and bool(numpy.isfinite(values).all())
    )


def _picture(values: numpy.ndarray) -> str:
    some = values[:IMAGES].astype(numpy.float64)
    low, high = some.min(), some.max()
    picture = grid((some - low) / (high - low or 1), columns=min(8, len(some)))
    return f'<img src="{address(image_of(picture), None)}" alt="{len(some)} of {len(values)} images">'


def module_html(module: Any) -> str:
    """The parts of a module as a tree that folds, each with the number of its parameters."""
    mode = "training" if module.training else "evaluation"
    return f"<div>{_tree('', module)}<small>{mode} mode; the number is that of the parameters</small></div>"


def _tree(name: str, module: Any) -> str:
    parameters = module.parameters()
    count, frozen = sum(t.size for t in parameters), parameters and not any(t.requires_grad for t in parameters)
    parts = list(module.children())
    title = f"{escape(name)} <b>{escape(type(module).__name__ if parts else module.describe())}</b>"
    title += (f" {count:,}" if count else "") + (" frozen" if frozen else "")
    if not parts:
        return f"<div style='margin-left:1.1em'>{title}</div>"
    inner = "".join(_tree(*part) for part in parts)
    return f"<details open><summary>{title}</summary><div style='margin-left:1.1em'>{inner}</div></details>"
