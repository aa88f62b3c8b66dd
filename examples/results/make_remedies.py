"""Train the DCGAN with and without each remedy for few images, from several seeds, and write what each
does on one page, examples/results/remedies.md, with a picture.

    python examples/results/make_remedies.py        or `make remedies`, some hours on 2 cores

The runs are in runs/remedies, and each core trains one at a time. As with make_results.py, the
command may be stopped at any time.
"""

import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from pathlib import Path
from statistics import mean, median

import numpy
from llvmlite import binding
from make_results import ROOT, interrupts_left_to_runs, judge, train

from tinygen.command_line import UsageError
from tinygen.report.pictures import grid, save_png
from tinygen.saving.checkpoint import write_whole
from tinygen.saving.log import read_log
from tinygen.saving.run_folder import RunFolder

# What is on by default, by what it is called on the page, and the option that leaves it out.
DEFAULT = {
    "batches of 32 images": "--batch-size 64",
    "noise of 16 dimensions": "--latent 100",
    "a learning rate that falls": "--schedule constant",
    "averaged weights": "--average 0",
    "the batch's deviation": "--no-deviation",
}
# What is not, and the option that adds it.
FURTHER = {
    "moved images": "--augment translation",
    "an R1 penalty": "--r1 1",
    "residual blocks": "--residual",
}
REMEDIES = {
    "none of the five": " ".join(DEFAULT.values()),
    "the five, the default": "",
    **{f"the five without {name}": option for name, option in DEFAULT.items()},
    **{f"the five and {name}": option for name, option in FURTHER.items()},
}
SEEDS = (0, 1, 2)
QUALITY = ("feature_frechet_distance", "precision", "recall", "coverage")
COLUMNS = 20  # of the picture
FEW = 0.02  # a class with a smaller share of the generated images counts as missing


def commands(remedies: Mapping[str, str], seeds: Sequence[int]) -> dict[str, list[str]]:
    """The runs of each remedy, one for each seed, as arguments of `python examples/`."""
    return {name: [" ".join(["dcgan.py", *options.split(), f"--seed {seed}"]) for seed in seeds] for name, options in remedies.items()}


def folder_of(command: str, runs: Path) -> Path:
    """Where a run lies: `dcgan.py --r1 1 --seed 0` in r1-1-seed-0."""
    return runs / "-".join(word.strip("-/").replace("/", "-") for word in command.split()[1:])


def row(name: str, runs: Sequence[Path]) -> str:
    """A row of the table: the minutes of the fastest run, means over the runs, and what the worst of them has."""
    evaluations = [RunFolder(run).read_evaluation() for run in runs]
    cells = [f"{min(map(minutes, runs)):.1f}"]
    for metric in QUALITY:
        values = [evaluation["quality"]["generated"][metric]["value"] for evaluation in evaluations]
        worst = max(values) if metric == "feature_frechet_distance" else min(values)
        cells.append(f"{mean(values):.3f} ({worst:.3f})")
    shares = [[share["value"] for share in evaluation["class_shares"]["generated"].values()] for evaluation in evaluations]
    cells.append(str(min(sum(share >= FEW for share in of_run) for of_run in shares)))
    return f"| {' | '.join([name, *cells])} |"


def minutes(run: Path) -> float:
    """What the training takes if all epochs take as long as the median one, whatever else the machine did meanwhile."""
    seconds = [line["seconds"] or 0.0 for line in read_log(RunFolder(run).log)]
    return len(seconds) * median(seconds) / 60


def page(of_remedies: Mapping[str, str], runs: Mapping[str, Sequence[Path]], seeds: Sequence[int]) -> str:
    """The page about finished runs, in Markdown. Their picture lies beside it."""
    first = RunFolder(next(iter(runs.values()))[0]).read_evaluation()
    heads = ["remedies", "minutes", *(name.replace("_", " ").replace("frechet", "Frechet") for name in QUALITY), "classes"]
    training = first["quality"]["training_images"]
    cells = [f"{training[name]['value']:.3f}" for name in QUALITY]
    named = {name: f"{name}: `{options}`" if options else name for name, options in of_remedies.items()}
    return "\n".join(
        [
            "# What each remedy does",
            "",
            "A GAN that learns from few images soon knows them by heart. These are remedies for that, tried on the",
            f"DCGAN: the mean of seeds {', '.join(map(str, seeds))}, and in brackets the worst of them. Classes are those with a share",
            f"of {FEW:.0%} or more, in the run that has the fewest. `python -m tinygen.evaluate --help` says what the numbers mean.",
            "",
            f"Written by `make remedies` on a processor of the kind {binding.get_host_cpu_name()}. Minutes are those of one core.",
            f"D{first['data'][1:]}.",
            "",
            f"| {' | '.join(heads)} |",
            "|---|" + "---:|" * (len(heads) - 1),
            *(row(named[name], folders) for name, folders in runs.items()),
            f"| training images in their place | | {' | '.join(cells)} | |",
            "",
            f"What the models with seed {seeds[0]} generate, a line for each row of the table:",
            "",
            "![generated images, a line for each row of the table](remedies.png)",
            "",
        ]
    )


def finish(command: str, folder: Path, stopped: threading.Event) -> None:
    """Train and judge a run, if it is not yet trained or judged, and no other has failed or was stopped."""
    try:
        if not stopped.is_set():
            train(command, folder)
            judge(folder)
    except BaseException:
        stopped.set()
        raise


def make(of_remedies: Mapping[str, str], seeds: Sequence[int], runs: Path, folder: Path) -> None:
    """Train and judge what is not yet trained or judged, then write remedies.md and remedies.png into the folder."""
    trained = commands(of_remedies, seeds)
    folders = {name: [folder_of(command, runs) for command in of_remedy] for name, of_remedy in trained.items()}
    os.environ["NUMBA_NUM_THREADS"] = "1"
    with interrupts_left_to_runs(), ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(finish, chain(*trained.values()), chain(*folders.values()), repeat(threading.Event())))
    images = [RunFolder(first).read_generated()[0][:COLUMNS] / 255 for first, *_ in folders.values()]
    save_png(folder / "remedies.png", grid(numpy.concatenate(images), COLUMNS))
    write_whole(folder / "remedies.md", page(of_remedies, folders, seeds).encode())
    print(f"wrote {folder / 'remedies.md'}")


if __name__ == "__main__":
    try:
        make(REMEDIES, SEEDS, Path("runs/remedies"), ROOT / "examples" / "results")
    except (UsageError, OSError) as error:
        raise SystemExit(f"make_remedies.py: {error}") from None
