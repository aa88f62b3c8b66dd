"""The page about remedies is made of what the runs left behind."""

import json
from pathlib import Path

import make_remedies
import pytest
from make_remedies import QUALITY, commands, folder_of, make

from tinygen.evaluation.evaluate import FORMAT
from tinygen.saving.run_folder import RunFolder


def leave_behind(folder: Path, value: float, classes: int, seconds: float) -> None:
    """What a run leaves that generates images with all qualities at this value, and of so many classes."""
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    run.generated.touch()
    run.log.write_text("".join(json.dumps({"epoch": epoch, "seconds": seconds}) + "\n" for epoch in (1, 2)))
    quality = {name: {"value": value, "margin": 0.0} for name in QUALITY}
    shares = {f"class {k}": {"value": 1 / classes if k < classes else 0.019, "margin": 0.0} for k in range(10)}
    blocks = {"quality": {"generated": quality, "training_images": quality}, "novelty": {}, "class_shares": {"generated": shares}}
    run.evaluation.write_text(json.dumps({"format": FORMAT, "data": "data: here", "n": 30, "held_out": 15, "classifiers": {}, **blocks}))


def test_a_row_has_the_mean_and_the_worst_of_all_seeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[tuple[str, str]] = []
    monkeypatch.setattr(make_remedies, "train", lambda command, folder: trained.append((command, folder.name)))
    of_remedies = commands({"none": "", "penalty": "--r1 1"}, (0, 3), "--epochs 2")
    values = iter([(0.25, 10, 60.0), (0.75, 9, 120.0), (0.5, 4, 30.0), (0.5, 7, 30.0)])
    for of_remedy in of_remedies.values():
        for command in of_remedy:
            leave_behind(folder_of(command, tmp_path), *next(values))
    make(of_remedies, (0, 3), tmp_path, tmp_path / "page.md")
    assert trained == [
        ("dcgan.py --epochs 2 --seed 0", "epochs-2-seed-0"),
        ("dcgan.py --epochs 2 --seed 3", "epochs-2-seed-3"),
        ("dcgan.py --epochs 2 --r1 1 --seed 0", "epochs-2-r1-1-seed-0"),
        ("dcgan.py --epochs 2 --r1 1 --seed 3", "epochs-2-r1-1-seed-3"),
    ]
    rows = [line for line in (tmp_path / "page.md").read_text().splitlines() if line.startswith("| ")]
    assert rows == [
        "| remedy | minutes | feature Frechet distance | precision | recall | coverage | classes |",
        "| none | 3.0 | 0.500 (0.750) | 0.500 (0.250) | 0.500 (0.250) | 0.500 (0.250) | 9 |",
        "| penalty | 1.0 | 0.500 (0.500) | 0.500 (0.500) | 0.500 (0.500) | 0.500 (0.500) | 4 |",
        "| training images in their place | | 0.250 | 0.250 | 0.250 | 0.250 | |",
    ]
