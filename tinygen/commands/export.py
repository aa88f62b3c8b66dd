"""The networks of a run, for other programs.

    tinygen export runs/dcgan --to onnx           ONNX graphs, for images (N, H, W, C) and any N
    tinygen export runs/dcgan --to torch          weights in PyTorch's names and layouts; the lines of
                                                  PyTorch that build the networks are printed
    tinygen export runs/dcgan --to safetensors    weights in tinygen's names and layouts; or npz

There is a file for each network in RUN/export, such as generator.onnx. Images are from -1 to 1 for the
networks of a GAN, and from 0 to 1 for others. As ONNX, a VAE is encoder.onnx, which gives mean and
log-variance, and decoder.onnx, which gives logits: their sigmoids are the pixels.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy
import tyro

from tinygen import nn
from tinygen.command_line import UsageError
from tinygen.commands.argument import RunArgument
from tinygen.commands.loaded import LoadedRun
from tinygen.data import NameDataset
from tinygen.interchange import onnx_graph, to_torch, torch_source
from tinygen.interchange.trace import Input
from tinygen.saving.checkpoint import replacing, save, write_whole
from tinygen.training.vae import LatentModel

Format = Literal["onnx", "torch", "safetensors", "npz"]


@dataclass(kw_only=True)
class ExportOptions(RunArgument):
    to: Format
    """what to write"""
    out: Annotated[Path | None, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: RUN/export)")] = None
    """where to write it"""


def main(options: ExportOptions) -> None:
    export(options.load(), options.out or options.run / "export", options.to)


def export(run: LoadedRun, folder: Path, to: Format) -> None:
    """Write the networks of a run into a folder, all of them or none. Raises UsageError for what cannot be written."""
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder; give another --out")
    files: dict[str, Any] = {}
    lines: list[str] = []
    if to == "onnx":
        files = {f"{name}.onnx": _tried(onnx_graph, name, call, inputs) for name, (call, inputs) in calls_of(run).items()}
    elif to == "torch":
        for name, (network, inputs) in networks_of(run).items():
            file = f"{name}.torch.safetensors"
            files[file] = _tried(to_torch, name, network, inputs)
            lines.append(torch_source(network, file, *inputs))
    else:
        files = {f"{name}.{to}": network.state_dict() for name, network in run.networks.items()}
    folder.mkdir(parents=True, exist_ok=True)
    for file, content in files.items():
        _write(folder / file, content)
        lines.append(f"{'# ' if to == 'torch' else ''}{folder / file}")
    print("\n".join(lines))


def _tried(write: Callable[..., Any], name: str, call: Callable[..., Any], inputs: tuple[Input, ...]) -> Any:
    """write(call, *inputs). Raises UsageError where a network of one's own takes others than those that are assumed here."""
    try:
        return write(call, *inputs)
    except UsageError:
        raise
    except (TypeError, ValueError) as error:
        shapes = ", ".join(f"{x if isinstance(x, tuple) else x.shape}" for x in inputs)
        cure = f'tinygen.interchange.{write.__name__}(load_run(...).networks["{name}"], *inputs) takes those that you give'
        raise UsageError(f"{name} does not take inputs {shapes}: {error}; {cure}") from error


def _write(path: Path, content: Any) -> None:
    """Bytes as they are, and arrays in the format that the path's suffix names."""
    if isinstance(content, bytes):
        write_whole(path, content)
    elif path.suffix == ".npz":
        with replacing(path) as file:
            numpy.savez(file, **content)
    else:
        save(path, content)


def networks_of(run: LoadedRun) -> dict[str, tuple[nn.Module, tuple[Input, ...]]]:
    """The networks of a run by name, each with its inputs: a generator takes latent vectors, others images, and `labels` are classes."""
    return {name: (network, _inputs(run, name, network)) for name, network in run.networks.items()}


def _inputs(run: LoadedRun, name: str, network: nn.Module) -> tuple[Input, ...]:
    if name in run.trained.inputs:
        return run.trained.inputs[name]
    data = getattr(run.trained, "data", None)
    if isinstance(data, NameDataset):
        return (data.encode((data.alphabet[0] * data.longest,)),)
    labels = (numpy.arange(len(run.classes)),) if "labels" in inspect.signature(network.forward).parameters else ()
    if name == "generator":
        return (1, run.trained.gaussian if labels else run.draw(1).shape[1]), *labels
    return (1, *run.shape), *labels


def calls_of(run: LoadedRun) -> dict[str, tuple[Callable[..., Any], tuple[Input, ...]]]:
    """What ONNX graphs are written of: the networks, and the two halves of a VAE, whose forward draws random numbers."""
    calls: dict[str, tuple[Callable[..., Any], tuple[Input, ...]]] = {}
    for name, (network, inputs) in networks_of(run).items():
        if isinstance(network, LatentModel):
            calls |= {"encoder": (network.encode, inputs), "decoder": (network.decoder, (run.draw(1).shape,))}
        else:
            calls[name] = network, inputs
    return calls
