"""`tinygen.load_run`: a run as it was left, with its networks ready for use."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import numpy

from tinygen import backend, nn
from tinygen import functional as F
from tinygen.command_line import UsageError
from tinygen.commands.latent import between
from tinygen.commands.scripts import script_of
from tinygen.data import ImageDataset, NameDataset, TextDataset, to_float
from tinygen.engine.tensor import Tensor
from tinygen.saving.run_folder import Run, RunFolder
from tinygen.training.options import RunOptions
from tinygen.training.trained import Trained

BATCH = 100  # images that a network computes at once


def load_run(folder: str | Path, script: str | Path | None = None, device: str = "cpu") -> "LoadedRun":
    """The run in a folder, finished or not, with its networks as the last checkpoint has them.

    The networks are built by the function `build` of the run's script. If that is not one of
    tinygen's examples, give its path as `script`; no other file is imported. The data are not needed
    and not read, except by checkpoints of versions of tinygen that did not keep their form.

    Raises UsageError if the folder holds no run, if its checkpoint is damaged or does not fit the
    networks that the script builds, or if the script is not found.
    """
    files = RunFolder(Path(folder))
    path = files.checkpoint
    if not files.holds_a_checkpoint():
        raise UsageError(f"{folder} is not the folder of a run: it has no {path.name}")
    run, instead = files.read()
    if instead:
        print(instead, file=sys.stderr)
    module = script_of(Path(folder), run.script, script, run.example)
    options = _options(module, run, path, device)
    data = _stand_in(run, options, path)
    networks = _built(module, options, data, path)
    for name, network in networks.items():
        network.to(device)
        try:
            network.load_state_dict(run.weights(name))
        except ValueError as error:
            raise UsageError(f"{path}, {name}: {error}") from error
        network.eval()
    return LoadedRun(Path(folder), run, options, networks, options.trained(networks, data), data)


class LoadedRun:
    """A run that is ready for use.

    folder     its folder
    options    the options that it was started with
    epoch      how many epochs it has been trained
    networks   the networks that its script builds, by their names, in evaluation mode
    trained    what its model can do; the methods here are made of that
    classes    the names of the classes of its data; empty if it was not trained on images
    shape      the shape (H, W, C) of its images; empty if it was not trained on images

    Images are float32 (n, H, W, C) from 0 to 1. What the model cannot do raises UsageError. Nothing
    here moves tinygen's stream of random numbers.
    """

    def __init__(self, folder: Path, run: Run, options: RunOptions, networks: Mapping[str, nn.Module], trained: Trained, data: Any) -> None:
        self.folder, self.options, self.networks, self.epoch = folder, options, networks, run.epoch
        self.classes: tuple[str, ...] = getattr(data, "classes", ())
        self.shape: tuple[int, ...] = data.train_images.shape[1:] if self.classes else ()
        self._run, self.trained = run, trained

    def __repr__(self) -> str:
        return f"{self.folder}: {self.options.script}, {self.epoch} epochs; {', '.join(self.networks)}"

    @cached_property
    def data(self) -> Any:
        """The data that it was trained on, read when first asked for.

        Raises UsageError or OSError if they are gone or others are in their place; set
        `options.data` to where they are now.
        """
        data = self.options.load_data()  # type: ignore[attr-defined]
        if self._run.data not in (data.digest(), None):
            raise UsageError(
                f"{data.source} holds other data than those that {self.folder} was trained on; set options.data to their place"
            )
        return data

    def sample(self, n: int = 64, seed: int = 0, classes: Sequence[str | int] | None = None) -> numpy.ndarray:
        """n random images. The k-th image is determined by the seed and k, and by its class where there are classes.

        `classes` are names or numbers of classes that the images shall have in turn, for a model that
        can be asked for them: those of cgan.py, and InfoGAN's categories. By default, all of them.
        """
        return self.decode(self.draw(n, seed, classes))

    def interpolate(
        self, a: int | numpy.ndarray, b: int | numpy.ndarray, steps: int = 10, classes: Sequence[str | int] | None = None
    ) -> numpy.ndarray:
        """`steps` images on the way from a to b, both included.

        a and b are latent vectors (D,), such as those of `encode`, or seeds, each for its first sample.
        Numbers of N(0, 1) go round the sphere, the others straight. `classes`, two or one for both, are
        those of the samples.
        """
        if steps < 2:
            raise UsageError(f"steps must be at least 2, the two ends, got {steps}")
        first, *others = (None,) if classes is None else classes
        last = others[0] if others else first
        return self.decode(between(self._end(a, first), self._end(b, last), steps, self.trained.gaussian))

    def draw(self, n: int = 64, seed: int = 0, classes: Sequence[str | int] | None = None) -> numpy.ndarray:
        """The latent vectors (n, D) of `sample`, drawn one after the other."""
        if n < 1:
            raise UsageError(f"n must be at least 1, got {n}")
        numbers = self._numbers(classes)
        with self._using(), _own_random_stream(seed):
            drawn = [self.trained.draw(1, [numbers[k % len(numbers)]] if numbers else None) for k in range(n)]
            return F.concatenate(drawn).numpy()

    def encode(self, images: numpy.ndarray) -> numpy.ndarray:
        """The latent vectors (n, D) of images, uint8 or from 0 to 1."""
        return self._in_batches(self.trained.encode, self._checked(images))

    def decode(self, z: numpy.ndarray) -> numpy.ndarray:
        """The images of latent vectors (n, D). Raises UsageError for one vector (D,)."""
        if numpy.ndim(z) < 2:
            raise UsageError(f"decode takes latent vectors (n, D), got {numpy.shape(z)}: one vector is z[None]")
        return self._in_batches(self.trained.decode, numpy.asarray(z, numpy.float32))

    def reconstruct(self, images: numpy.ndarray) -> numpy.ndarray:
        """What the decoder makes of the latent vectors of images."""
        return self.decode(self.encode(images))

    def classify(self, images: numpy.ndarray) -> numpy.ndarray:
        """The probabilities (n, K) of the classes, which `classes` names."""
        return self._in_batches(self.trained.classify, self._checked(images))

    def write(self, n: int = 60, seed: int = 0) -> list[str]:
        """n random names or texts, from a model of them."""
        with self._using(), _own_random_stream(seed):
            return self.trained.write(n)

    def _end(self, end: int | numpy.ndarray, name: str | int | None) -> numpy.ndarray:
        """A latent vector as it is, or that of the first sample of a seed."""
        return self.draw(1, int(end), None if name is None else [name])[0] if isinstance(end, int | numpy.integer) else numpy.asarray(end)

    def _numbers(self, classes: Sequence[str | int] | None) -> Sequence[int]:
        """The numbers of classes that the model can be asked for, all by default."""
        names = self.trained.classes
        if classes is None:
            return range(len(names))
        if not names:
            raise UsageError(f"the model of {self.folder} cannot be asked for classes")
        if not classes:
            raise UsageError("classes must not be empty")
        numbers = {**{str(i): i for i in range(len(names))}, **{name: i for i, name in enumerate(names)}}
        if unknown := [name for name in classes if str(name) not in numbers]:
            raise UsageError(f"there is no class {unknown[0]!r}; the classes are {', '.join(names)}, or 0 to {len(names) - 1}")
        return [name if isinstance(name, int) else numbers[name] for name in classes]

    def _checked(self, images: numpy.ndarray) -> numpy.ndarray:
        """Images as float32 from 0 to 1."""
        images = numpy.asarray(images)
        if not self.shape or images.ndim != 4 or images.shape[1:] != self.shape:
            wanted = f"(n, {', '.join(map(str, self.shape))})" if self.shape else "no images"
            raise UsageError(f"the model of {self.folder} takes {wanted}, not {images.shape}")
        return to_float(images, 0, 1) if images.dtype == numpy.uint8 else images.astype(numpy.float32)

    def _in_batches(self, verb: Callable[[Tensor], Tensor], rows: numpy.ndarray) -> numpy.ndarray:
        with self._using():
            parts = [verb(F.tensor(rows[i : i + BATCH], device=self.options.device)).numpy() for i in range(0, len(rows), BATCH)]
        return numpy.concatenate(parts)

    @contextmanager
    def _using(self) -> Iterator[None]:
        with ExitStack() as stack:
            for network in self.networks.values():
                stack.enter_context(nn.evaluating(network))
            yield


def _options(module: ModuleType, run: Run, path: Path, device: str) -> RunOptions:
    """The run's options as the script's `main` takes them, for this device."""
    kind = get_type_hints(getattr(module, "main", None) or (lambda: None)).get("options")
    if not (isinstance(kind, type) and issubclass(kind, RunOptions) and hasattr(module, "build")):
        raise UsageError(
            f"{module.__file__} cannot open runs: it needs build(options, data) and main(options: SomeOptions), as dcgan.py has"
        )
    try:
        options = kind.from_plain({**run.options, "device": device})
        options.check()
    except (TypeError, ValueError) as error:
        raise UsageError(f"{path} has options that {kind.__name__} cannot have: {error}") from error
    return options


def _built(module: ModuleType, options: RunOptions, data: Any, path: Path) -> Mapping[str, nn.Module]:
    """The networks that the script builds, without initial weights."""
    with nn.init.omitted(), _own_random_stream(0):
        try:
            return module.build(options, data)
        except MemoryError as error:
            raise UsageError(f"there is not enough memory for the networks of {path}, or its options are damaged: {error}") from error


def _stand_in(run: Run, options: Any, path: Path) -> Any:
    """Data of the same form as the run's; the data themselves if an old checkpoint does not tell the form."""
    if run.form is None:
        return options.load_data()
    try:
        kinds: dict[str, Any] = {"alphabet": NameDataset, "bytes": TextDataset}
        return next((kind for key, kind in kinds.items() if key in run.form), ImageDataset).of_form(run.form)
    except (KeyError, TypeError, ValueError, MemoryError) as error:
        raise UsageError(f"{path} is a damaged checkpoint: the form of its data is {run.form}") from error


@contextmanager
def _own_random_stream(seed: int) -> Iterator[None]:
    """Within, random numbers are those of this seed; afterwards, the stream goes on where it was."""
    if seed < 0:
        raise UsageError(f"seed must be at least 0, got {seed}")
    with backend.keeping_random_state():
        backend.manual_seed(seed)
        yield
