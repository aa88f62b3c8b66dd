"""Train the DCGAN with and without each remedy for few images, from several seeds, and write what each
does on one page, examples/results/remedies.md.

    python examples/results/make_remedies.py        or `make remedies`, six hours on 2 cores

The runs are in runs/remedies. As with make_results.py, the command may be stopped at any time.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import mean

from llvmlite import binding
from make_results import ROOT, judge, train

from tinygen.command_line import UsageError
from tinygen.saving.checkpoint import write_whole
from tinygen.saving.log import read_log
from tinygen.saving.run_folder import RunFolder

LARGE_NOISE, CONSTANT = "--latent 100", "--schedule constant"
# Each remedy, by what it is called on the page, and its options.
REMEDIES = {
    "none": f"--batch-size 64 {LARGE_NOISE} {CONSTANT} --average 0 --no-deviation",
    "batches of 32 images": f"{LARGE_NOISE} {CONSTANT} --average 0 --no-deviation",
    "noise of 16 dimensions": f"--batch-size 64 {CONSTANT} --average 0 --no-deviation",
    "learning rate falls": f"--batch-size 64 {LARGE_NOISE} --average 0 --no-deviation",
    "averaged weights": f"--batch-size 64 {LARGE_NOISE} {CONSTANT} --no-deviation",
    "the batch's deviation is told": f"--batch-size 64 {LARGE_NOISE} {CONSTANT} --average 0",
    "these five, the default": "",
    "default, noise of 100 dimensions": LARGE_NOISE,
    "default, constant learning rate": CONSTANT,
    "default, moved images": "--augment translation",
    "default, moved images with holes and other brightness": "--augment colour,translation,cutout",
    "default, R1 penalty": "--r1 1",
    "default, residual blocks": "--residual",
    "default, twice as long": "--epochs 100",
}
SEEDS = (0, 1, 2)
QUALITY = ("feature_frechet_distance", "precision", "recall", "coverage")
FEW = 0.02  # a class with a smaller share of the generated images counts as missing


def commands(remedies: Mapping[str, str], seeds: Sequence[int], common: str = "") -> dict[str, list[str]]:
    """The runs of each remedy, one for each seed, as arguments of `python examples/`."""
    return {
        name: [" ".join(["dcgan.py", *common.split(), *options.split(), f"--seed {seed}"]) for seed in seeds]
        for name, options in remedies.items()
    }


def folder_of(command: str, runs: Path) -> Path:
    """Where a run lies: `dcgan.py --r1 1 --seed 0` in r1-1-seed-0."""
    return runs / "-".join(word.strip("-/").replace("/", "-") for word in command.split()[1:])


def row(name: str, runs: Sequence[Path]) -> str:
    """A row of the table: means over the runs, and what the worst of them has."""
    evaluations = [RunFolder(run).read_evaluation() for run in runs]
    minutes = [sum(line["seconds"] or 0 for line in read_log(RunFolder(run).log)) / 60 for run in runs]
    cells = [f"{mean(minutes):.1f}"]
    for metric in QUALITY:
        values = [evaluation["quality"]["generated"][metric]["value"] for evaluation in evaluations]
        worst = max(values) if metric == "feature_frechet_distance" else min(values)
        cells.append(f"{mean(values):.3f} ({worst:.3f})")
    shares = [[share["value"] for share in evaluation["class_shares"]["generated"].values()] for evaluation in evaluations]
    cells.append(str(min(sum(share >= FEW for share in of_run) for of_run in shares)))
    return f"| {' | '.join([name, *cells])} |"


def page(runs: Mapping[str, Sequence[Path]], seeds: Sequence[int]) -> str:
    """The page about finished runs, in Markdown."""
    first = RunFolder(next(iter(runs.values()))[0]).read_evaluation()
    heads = ["remedy", "minutes", *(name.replace("_", " ").replace("frechet", "Frechet") for name in QUALITY), "classes"]
    training = first["quality"]["training_images"]
    cells = [f"{training[name]['value']:.3f}" for name in QUALITY]
    return "\n".join(
        [
            "# What each remedy does",
            "",
            "A GAN that learns from few images soon knows them by heart. These are the usual remedies, each tried on",
            f"the DCGAN: the mean of seeds {', '.join(map(str, seeds))}, and in brackets the worst of them. Classes are those with a",
            f"share of {FEW:.0%} or more, in the run that has the fewest. `python -m tinygen.evaluate --help` says what the numbers mean.",
            "",
            f"Written by `make remedies` on {os.cpu_count()} cores of the kind {binding.get_host_cpu_name()}. D{first['data'][1:]}.",
            "",
            f"| {' | '.join(heads)} |",
            "|---|" + "---:|" * (len(heads) - 1),
            *(row(name, folders) for name, folders in runs.items()),
            f"| training images in their place | | {' | '.join(cells)} | |",
            "",
        ]
    )


def make(of_remedies: Mapping[str, Sequence[str]], seeds: Sequence[int], runs: Path, file: Path) -> None:
    """Train and judge what is not yet trained or judged, then write the page."""
    for of_remedy in of_remedies.values():
        for command in of_remedy:
            train(command, folder_of(command, runs))
            judge(folder_of(command, runs))
    folders = {name: [folder_of(command, runs) for command in of_remedy] for name, of_remedy in of_remedies.items()}
    write_whole(file, page(folders, seeds).encode())
    print(f"wrote {file}")


if __name__ == "__main__":
    try:
        make(commands(REMEDIES, SEEDS), SEEDS, Path("runs/remedies"), ROOT / "examples" / "results" / "remedies.md")
    except (UsageError, OSError) as error:
        raise SystemExit(f"make_remedies.py: {error}") from None
