"""A model at a glance: its layers, what comes out of each, and how many parameters it has."""

from tinygen.engine.tensor import Shape, Tensor
from tinygen.functional import zeros
from tinygen.nn.module import Module, evaluating, observed


def _own(module: Module) -> set[Tensor]:
    """The parameters and buffers of a module that belong to none of its parts."""
    return {t for _, t in module.named_tensors()} - {t for _, part in module.children() for _, t in part.named_tensors()}


def summary(model: Module, input_shape: Shape) -> str:
    """A table of the layers in the order they run, for an input of this shape, its first axis the batch.

    What is made of layers and has tensors of its own besides comes after them. Runs the model once on zeros, outside training mode, and
    leaves it as it was.
    """
    rows = [("input", str(tuple(input_shape)), "")]
    own = {module: _own(module) for module in model.modules()}  # beforehand: SpectralNorm replaces a weight while its layer runs

    def note(module: Module, y: Tensor) -> None:
        if own.get(module) or not any(True for _ in module.children()):
            count = sum(t.size for t in own.get(module, ()) if t.requires_grad)
            rows.append((module.describe(), str(y.shape), f"{count:,}" if count else ""))

    device = next((t.device for _, t in model.named_tensors()), "cpu")
    with evaluating(model), observed(note):
        model(zeros(input_shape, device=device))
    rows = [("layer", "output", "parameters"), *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    lines = [f"{layer:<{widths[0]}}  {output:<{widths[1]}}  {count:>{widths[2]}}".rstrip() for layer, output, count in rows]
    total = sum(t.size for t in model.parameters())
    return "\n".join([lines[0], "-" * (sum(widths) + 4), *lines[1:], f"{type(model).__name__}: {total:,} parameters"])
