"""Train every example, judge its images, and write the results on one page, examples/results/README.md,
with pictures from each run.

    python examples/results/make_results.py        or `make results`, some hours on 2 cores

The runs are in runs/results. The command may be stopped at any time: a finished run is not trained
again, and a stopped one is resumed. A run whose evaluation is of an older format is judged again.
Delete the folder to train everything again. Every number on the page comes from the runs' files.
"""

import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy
from llvmlite import binding

from tinygen.command_line import UsageError
from tinygen.evaluation.estimate import Estimate
from tinygen.evaluation.evaluate import FORMAT, in_words
from tinygen.saving.checkpoint import write_whole
from tinygen.saving.log import read_log
from tinygen.saving.run_folder import RunFolder

ROOT = Path(__file__).parent.parent.parent

# Every example, and the variants worth a comparison, in the page's order.
COMMANDS = {
    "cnn": "cnn.py",
    "autoencoder": "autoencoder.py",
    "vae": "vae.py",
    "dense_vae": "vae.py --dense",
    "cifar_vae": "cifar_vae.py",
    "recurrent_vae": "recurrent_vae.py",
    "vqvae": "vqvae.py",
    "vqvae_by_class": "vqvae.py --by-class",
    "realnvp": "realnvp.py",
    "inpaint": "inpaint.py",
    "gan": "gan.py",
    "wide_gan": "gan.py --wide --epochs 50",
    "conv_gan": "gan.py --conv-discriminator --lr 6e-4",
    "colour_gan": "gan.py --conv-discriminator --lr 6e-4 --data emoji",
    "dcgan": "dcgan.py",
    "lsgan": "lsgan.py",
    "wgan": "wgan.py",
    "wgan_penalty": "wgan.py --penalty",
    "wgan_spectral_norm": "wgan.py --spectral-norm",
    "cgan": "cgan.py",
    "infogan": "infogan.py",
    "recurrent_gan": "recurrent_gan.py",
    "attention_gan": "attention_gan.py",
    "flow": "flow.py",
    "colour_flow": "flow.py --data emoji --epochs 100",
    "diffusion": "diffusion.py",
    "superresolution": "superresolution.py",
    "attention_names": "attention_names.py",
    "transformer": "transformer.py",
}
QUALITY = ("feature_frechet_distance", "precision", "density", "recall", "coverage", "class_entropy", "mean_confidence")
NOVELTY = ("nearest_training_distance", "copies")


def train(command: str, folder: Path) -> None:
    """Run `python examples/COMMAND --out FOLDER` to its end, unless that was done before.

    Raises UsageError if the folder is that of another command, SystemExit with the status of a
    program that fails or is stopped.
    """
    done = folder / "command.txt"
    if done.exists():
        if done.read_text() != command:
            raise UsageError(f"{folder} holds the run of {done.read_text()}, not of {command}; delete it, or name the run otherwise")
        return
    print(f"\n== {command}", flush=True)
    resume = ["--resume"] if RunFolder(folder).holds_a_checkpoint() else []
    script, *arguments = shlex.split(command)
    _call([str(ROOT / "examples" / script), *arguments, "--out", str(folder), *resume])
    write_whole(done, command.encode())


def judge(folder: Path) -> None:
    """Judge the images of a finished run, if it generated any and was not judged before in this format."""
    run = RunFolder(folder)
    judged = run.read_evaluation() if run.evaluation.exists() else {}
    if run.generated.exists() and judged.get("format") != FORMAT:
        _call(["-m", "tinygen.evaluate", str(folder)])


def _call(arguments: Sequence[str]) -> None:
    if status := subprocess.run([sys.executable, *arguments]).returncode:
        raise SystemExit(status)


@contextmanager
def interrupts_left_to_runs() -> Iterator[None]:
    """Ctrl-C reaches the runs as well, which then end when they are ready to."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def page(commands: Mapping[str, str], runs: Path) -> str:
    """The page about finished runs, in Markdown. Their pictures lie beside it."""
    lines = [
        "# Results",
        "",
        f"Written by `make results` on {os.cpu_count()} cores of the kind {binding.get_host_cpu_name()}, with seed 0.",
        "`python -m tinygen.evaluate --help` says what the numbers mean. Each number stands with the margin of its 95% interval, and a",
        "difference within the margins may be chance. The last two rows of each table are the baselines: training images in the place of",
        "generated images, compared with the same test images, and test images in their place, compared with all training images. The",
        "last two columns are the share of the smallest class and the number of classes with a share of 2% or more.",
        *_tables(runs, list(commands)),
    ]
    for name, command in commands.items():
        if not (log := read_log(RunFolder(runs / name).log)):
            raise UsageError(f"{RunFolder(runs / name).log} has no lines; delete {runs / name}, and the run is trained again")
        last = ", ".join(f"{key} {value:.4g}" for key, value in log[-1].items() if key not in ("epoch", "seconds") and value is not None)
        whole = f"python examples/{command} --out runs/{name}"
        lines += ["", f"## {name}", "", f"`{whole}`: {len(log)} epochs; in the last one {last}."]
        if (findings := runs / name / "findings.txt").exists():
            lines += ["", findings.read_text().strip()]
        lines += ["", *(f"![{title}]({file})" for file, (title, _) in _pictures(name, runs / name).items())]
    return "\n".join(lines) + "\n"


def _tables(runs: Path, names: Sequence[str]) -> list[str]:
    """A table for all runs that saw the same data in the same form, since only these can be compared."""
    folders = {name: RunFolder(runs / name) for name in names}
    evaluations = {name: folder.read_evaluation() for name, folder in folders.items() if folder.generated.exists()}
    heads = ["images", *QUALITY, *NOVELTY, "smallest_class", "classes"]
    lines: list[str] = []
    for data in dict.fromkeys(evaluation["data"] for evaluation in evaluations.values()):
        group = {name: evaluation for name, evaluation in evaluations.items() if evaluation["data"] == data}
        first = next(iter(group.values()))
        accuracy = numpy.mean(first["classifiers"]["test_accuracies"])
        lines += [
            "",
            f"D{data[1:]}. n = {first['n']}; the classifiers' mean test accuracy is {accuracy:.3f}.",
            "",
            _row(*(head.replace("_", " ").replace("frechet", "Frechet") for head in heads)),
            "|---|" + "---:|" * (len(heads) - 1),
        ]
        for name, evaluation in group.items():
            quality, novelty, shares = (evaluation[block]["generated"] for block in ("quality", "novelty", "class_shares"))
            lines.append(_row(f"[{name}](#{name})", *_cells(quality, novelty, shares)))
        lines.append(_row("training images", *_cells(first["quality"]["training_images"], {}, {})))
        lines.append(_row("test images", *_cells({}, first["novelty"]["test_images"], first["class_shares"]["test_images"])))
    return lines


def _cells(quality: Mapping[str, Estimate], novelty: Mapping[str, Estimate], shares: Mapping[str, Estimate]) -> list[str]:
    """The cells of a row from the second one on; empty where there are no numbers."""
    numbers = {**quality, **novelty}
    cells = [in_words(numbers[name]) if name in numbers else "" for name in (*QUALITY, *NOVELTY)]
    if not shares:
        return [*cells, "", ""]
    smallest = min(shares.values(), key=lambda share: share["value"])
    return [*cells, in_words(smallest), str(sum(share["value"] >= 0.02 for share in shares.values()))]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _pictures(name: str, folder: Path) -> dict[str, tuple[str, Path]]:
    """The titles and files of a run's last samples and of its other pictures, by their names beside
    the page."""
    last = max(RunFolder(folder).samples.glob("epoch-*.png"))
    others = {f"{name}-{path.stem}.png": (f"{path.stem} of {name}", path) for path in sorted(folder.glob("*.png"))}
    return {f"{name}.png": (f"samples of {name}", last)} | others


def make(commands: Mapping[str, str], runs: Path, folder: Path) -> None:
    """Train and judge what is not yet trained or judged, then write README.md and the pictures into
    the folder."""
    with interrupts_left_to_runs():
        for name, command in commands.items():
            train(command, runs / name)
            judge(runs / name)
    folder.mkdir(parents=True, exist_ok=True)
    for name in commands:
        for file, (_, picture) in _pictures(name, runs / name).items():
            shutil.copyfile(picture, folder / file)
    write_whole(folder / "README.md", page(commands, runs).encode())
    print(f"wrote {folder / 'README.md'}")


if __name__ == "__main__":
    try:
        make(COMMANDS, Path("runs/results"), ROOT / "examples" / "results")
    except (UsageError, OSError) as error:
        raise SystemExit(f"make_results.py: {error}") from None
