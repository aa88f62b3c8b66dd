"""Train every example, judge it, and write what came of it on one page, examples/results/README.md, with the pictures of each run.

    python examples/results/make_results.py        or `make results`, 50 minutes on 2 cores

The runs are in runs/results. A finished one is not run again and a stopped one goes on, so the command may be stopped at any time; to have
everything made anew, delete that folder. Every number on the page comes from the files of the runs.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from llvmlite import binding

from tinygen.command_line import UsageError
from tinygen.data import load_images
from tinygen.saving.checkpoint import write_whole

ROOT = Path(__file__).parent.parent.parent

# Every example, and the variants worth a comparison, in the page's order.
COMMANDS = {
    "cnn": "cnn.py",
    "autoencoder": "autoencoder.py",
    "vae": "vae.py",
    "dense_vae": "vae.py --dense",
    "cifar_vae": "cifar_vae.py",
    "recurrent_vae": "recurrent_vae.py",
    "inpaint": "inpaint.py",
    "gan": "gan.py",
    "wide_gan": "gan.py --wide --epochs 50",
    "conv_gan": "gan.py --conv-discriminator --lr 6e-4",
    "colour_gan": "gan.py --conv-discriminator --lr 6e-4 --colour",
    "dcgan": "dcgan.py",
    "lsgan": "lsgan.py",
    "wgan": "wgan.py",
    "wgan_penalty": "wgan.py --penalty",
    "wgan_spectral_norm": "wgan.py --spectral-norm",
    "cgan": "cgan.py",
    "infogan": "infogan.py",
    "recurrent_gan": "recurrent_gan.py",
    "attention_gan": "attention_gan.py",
    "attention_names": "attention_names.py",
}
COLUMNS = ("feature_frechet_distance", "recall", "coverage", "class_entropy", "mean_confidence", "nearest_training_image", "copies")


def train(command: str, folder: Path) -> None:
    """Have `python examples/COMMAND --out FOLDER` run to its end, and its images judged, unless that was done before.

    Raises ValueError if the folder is that of another command, SystemExit with the status of a program that fails or is stopped.
    """
    done = folder / "command.txt"
    if done.exists():
        if done.read_text() != command:
            raise UsageError(f"{folder} holds the run of {done.read_text()}, not of {command}; delete it, or name the run otherwise")
        return
    print(f"\n== {command}", flush=True)
    resume = ["--resume"] if (folder / "checkpoint.safetensors").exists() else []
    script, *arguments = shlex.split(command)
    _call([str(ROOT / "examples" / script), *arguments, "--out", str(folder), *resume])
    if (folder / "generated.safetensors").exists():
        _call(["-m", "tinygen.evaluate", str(folder)])
    write_whole(done, command.encode())


def _call(arguments: Sequence[str]) -> None:
    """Run Python. A Ctrl-C reaches the program as well: it is left to it, which ends in its own time."""
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        status = subprocess.run([sys.executable, *arguments]).returncode
    finally:
        signal.signal(signal.SIGINT, before)
    if status:
        raise SystemExit(status)


def page(commands: Mapping[str, str], runs: Path) -> str:
    """The page about finished runs, in Markdown; their pictures lie beside it."""
    cores = f"{os.cpu_count()} cores of the kind {binding.get_host_cpu_name()}"
    heads = ["model", "minutes", "n", *COLUMNS, "smallest_class", "classes", "bits_per_dimension"]
    lines = [
        "# Results",
        "",
        f"Written by `make results` on {cores}. `python -m tinygen.evaluate --help` says what the numbers mean; in brackets is",
        "what test images reach in the place of made ones, n of each. The share of the smallest class, and the number of classes with",
        "2% or more, are of all images that were made. Times are those of training.",
        "",
        f"Seed 0; images: {load_images().describe().removeprefix('data: ')}.",
        "",
        _row(*(head.replace("_", " ").replace("frechet", "Frechet") for head in heads)),
        "|---|" + "---:|" * (len(heads) - 1),
    ]
    sections: list[str] = []
    for name, command in commands.items():
        log = [json.loads(line) for line in (runs / name / "log.jsonl").read_text().splitlines()]
        minutes = f"{sum(line['seconds'] for line in log) / 60:.1f}"
        lines.append(_row(f"[{name}](#{name})", minutes, *_judgement(runs / name / "evaluation.json")))
        last = ", ".join(f"{key} {value:.4g}" for key, value in log[-1].items() if key not in ("epoch", "seconds"))
        whole = f"python examples/{command} --out runs/{name}"
        sections += ["", f"## {name}", "", f"`{whole}`: {len(log)} epochs in {minutes} minutes; in the last one {last}."]
        if (findings := runs / name / "findings.txt").exists():
            sections += ["", findings.read_text().strip()]
        sections += ["", *(f"![{title}]({file})" for file, (title, _) in _pictures(name, runs / name).items())]
    return "\n".join([*lines, *sections]) + "\n"


def _judgement(path: Path) -> list[str]:
    """The cells of a run's row that its evaluation fills; none where its model makes no images."""
    if not path.exists():
        return [""] * (len(COLUMNS) + 4)
    evaluation = json.loads(path.read_text())
    made, real, bits = evaluation["made"], evaluation["real"], evaluation["bits_per_dimension"]
    numbers = [f"{made[name]:.3f} ({real[name]:.3f})" for name in COLUMNS]
    shares = [evaluation["class_shares"][of].values() for of in ("made", "real")]
    smallest, classes = (min(of) for of in shares), (sum(share >= 0.02 for share in of) for of in shares)
    counted = ["{:.3f} ({:.3f})".format(*smallest), "{} ({})".format(*classes)]
    return [str(evaluation["n"]), *numbers, *counted, "" if bits is None else f"{bits:.4f}"]


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _pictures(name: str, folder: Path) -> dict[str, tuple[str, Path]]:
    """Titles and files of a run's last samples and of what else it has drawn, by their names beside the page."""
    last = max((folder / "samples").glob("epoch-*.png"))
    others = {f"{name}-{path.stem}.png": (f"{path.stem} of {name}", path) for path in sorted(folder.glob("*.png"))}
    return {f"{name}.png": (f"samples of {name}", last)} | others


def make(commands: Mapping[str, str], runs: Path, folder: Path) -> None:
    """Train what is not trained, then write README.md and the pictures into the folder."""
    for name, command in commands.items():
        train(command, runs / name)
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
