"""The page about remedies is made of what the runs left behind."""

import json
import os
from pathlib import Path

import make_remedies
import numpy
import pytest
from make_remedies import COLUMNS, QUALITY, make
from PIL import Image

from tinygen.evaluation.evaluate import FORMAT
from tinygen.saving import checkpoint
from tinygen.saving.run_folder import RunFolder


def leave_behind(folder: Path, value: float, classes: int, seconds: list[float]) -> None:
    """What a run leaves that generates images with all qualities at this value, and of so many classes."""
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    checkpoint.save(run.generated, {"images": numpy.zeros((30, 4, 3, 1), numpy.uint8)}, {"epoch": "2"})
    run.log.write_text("".join(json.dumps({"epoch": i + 1, "seconds": epoch}) + "\n" for i, epoch in enumerate(seconds)))
    quality = {name: {"value": value, "margin": 0.0} for name in QUALITY}
    shares = {f"class {k}": {"value": 1 / classes if k < classes else 0.019, "margin": 0.0} for k in range(10)}
    blocks = {"quality": {"generated": quality, "training_images": quality}, "novelty": {}, "class_shares": {"generated": shares}}
    run.evaluation.write_text(json.dumps({"format": FORMAT, "data": "data: here", "n": 30, "held_out": 15, "classifiers": {}, **blocks}))


def test_a_row_has_the_mean_and_the_worst_of_all_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def train(command: str, folder: Path) -> None:
        (folder / "command.txt").write_text(f"{command} in {os.environ['NUMBA_NUM_THREADS']} thread")

    monkeypatch.setattr(make_remedies, "train", train)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")  # which is then restored
    of_remedies = {"none": "--epochs 2", "penalty": "--epochs 2 --r1 1"}
    values = iter([(0.25, 10, [60.0, 900.0, 60.0]), (0.75, 9, [120.0] * 3), (0.5, 4, [30.0] * 2), (0.5, 7, [30.0] * 2)])
    folders = ["epochs-2-seed-0", "epochs-2-seed-3", "epochs-2-r1-1-seed-0", "epochs-2-r1-1-seed-3"]
    for folder in folders:
        leave_behind(tmp_path / folder, *next(values))
    make(of_remedies, (0, 3), tmp_path, tmp_path)
    assert [(tmp_path / folder / "command.txt").read_text() for folder in folders] == [
        "dcgan.py --epochs 2 --seed 0 in 1 thread",
        "dcgan.py --epochs 2 --seed 3 in 1 thread",
        "dcgan.py --epochs 2 --r1 1 --seed 0 in 1 thread",
        "dcgan.py --epochs 2 --r1 1 --seed 3 in 1 thread",
    ]
    rows = [line for line in (tmp_path / "remedies.md").read_text().splitlines() if line.startswith("| ")]
    assert rows == [
        "| remedies | minutes | feature Frechet distance | precision | recall | coverage | classes |",
        "| none: `--epochs 2` | 3.0 | 0.500 (0.750) | 0.500 (0.250) | 0.500 (0.250) | 0.500 (0.250) | 9 |",
        "| penalty: `--epochs 2 --r1 1` | 1.0 | 0.500 (0.500) | 0.500 (0.500) | 0.500 (0.500) | 0.500 (0.500) | 4 |",
        "| training images in their place | | 0.250 | 0.250 | 0.250 | 0.250 | |",
    ]
    picture = numpy.asarray(Image.open(tmp_path / "remedies.png"))
    assert picture.shape == (2 * (4 + 2 + 4), 2 * (COLUMNS * (3 + 2) - 2))  # a line for each remedy


def test_a_run_that_is_stopped_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def train(command: str, folder: Path) -> None:
        started.append(command)
        raise SystemExit(130)

    monkeypatch.setattr(make_remedies, "train", train)
    monkeypatch.setenv("NUMBA_NUM_THREADS", "2")  # which is then restored
    with pytest.raises(SystemExit) as ended:
        make({"none": ""}, range(100), tmp_path, tmp_path)
    assert ended.value.code == 130
    assert len(started) <= (os.cpu_count() or 1)
    assert not (tmp_path / "remedies.md").exists()
