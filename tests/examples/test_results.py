"""The results page is made of what the runs left behind, and a finished run is not run again."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from make_results import COMMANDS, judge, make, train
from repository import ROOT

from tinygen.data import load_images
from tinygen.evaluation.evaluate import FORMAT, in_words
from tinygen.saving.run_folder import RunFolder


def test_every_example_has_its_place_on_the_page() -> None:
    assert {command.split()[0] for command in COMMANDS.values()} == {path.name for path in (ROOT / "examples").glob("*.py")}


def test_the_readme_s_table_has_the_page_s_numbers() -> None:
    page = (ROOT / "examples" / "results" / "README.md").read_text()
    judged = {
        row[1]: [cell.split()[0] for cell in row[2].split(" | ")] for row in re.finditer(r"^\| \[(\w+)\]\(#\w+\) \| (.*) \|$", page, re.M)
    }
    readme = (ROOT / "README.md").read_text()
    rows = re.findall(r"^\| `python examples/(\w+\.py)` \|.*\|([^|]*)\|([^|]*)\|$", readme, re.M)
    assert {script for script, *_ in rows} == {path.name for path in (ROOT / "examples").glob("*.py")}
    for script, distance, coverage in rows:
        numbers = [judged[name] for name, command in COMMANDS.items() if command.split()[0] == script and name in judged]
        assert distance.strip() == ", ".join(row[0] for row in numbers), script
        assert coverage.strip() == ", ".join(row[4] for row in numbers), script


@pytest.fixture(scope="module")
def few_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    data = load_images(size=8)
    path = tmp_path_factory.mktemp("few") / "images.npz"
    arrays = {"train_images": data.train_images[:96], "test_images": data.test_images[:30]}
    numpy.savez(path, **arrays, train_labels=data.train_labels[:96], test_labels=data.test_labels[:30], classes=numpy.array(data.classes))
    return path


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps as small as these gain nothing from a second one, and wait for it where the processors are busy."""
    monkeypatch.setenv("NUMBA_NUM_THREADS", "1")


def test_the_page_and_a_second_call_that_runs_nothing(few_images: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    common = f"--data {few_images} --batch-size 32 --epochs 2"
    commands = {"classifier": f"cnn.py {common}", "small_vae": f"vae.py {common} --latent 3"}
    for name, command in commands.items():
        train(command, tmp_path / "runs" / name)
        judge(tmp_path / "runs" / name)
    (tmp_path / "runs" / "classifier" / "findings.txt").write_text("What it found.\n")
    make(commands, tmp_path / "runs", tmp_path / "page")
    text = (tmp_path / "page" / "README.md").read_text()
    logs = {name: [json.loads(line) for line in (tmp_path / "runs" / name / "log.jsonl").read_text().splitlines()] for name in commands}
    evaluation = json.loads((tmp_path / "runs" / "small_vae" / "evaluation.json").read_text())
    for name, command in commands.items():
        assert f"## {name}\n\n`python examples/{command} --out runs/{name}`: 2 epochs; in the last one " in text
        pictures = {f"{name}.png": "samples/epoch-002.png"} | ({f"{name}-confusion.png": "confusion.png"} if name == "classifier" else {})
        for file, original in pictures.items():
            assert f"]({file})" in text
            assert (tmp_path / "page" / file).read_bytes() == (tmp_path / "runs" / name / original).read_bytes()
    last = logs["classifier"][-1]
    assert f"in the last one loss {last['loss']:.4g}, accuracy " in text and f", test_accuracy {last['test_accuracy']:.4g}.\n" in text
    assert f"\n\nD{evaluation['data'][1:]}. n = 30; the classifiers' mean test accuracy is 0." in text
    quality, novelty, shares = evaluation["quality"], evaluation["novelty"], evaluation["class_shares"]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    head, *models, training, test = rows
    assert [row[0] for row in models] == ["[small_vae](#small_vae)"], "a classifier generates nothing"
    assert models[0][1:8] == [in_words(number) for number in quality["generated"].values()]
    assert models[0][8:10] == [in_words(number) for number in novelty["generated"].values()]
    smallest = min(shares["generated"].values(), key=lambda share: share["value"])
    assert models[0][10:] == [in_words(smallest), str(sum(share["value"] >= 0.02 for share in shares["generated"].values()))]
    assert training == ["training images", *(in_words(number) for number in quality["training_images"].values()), *[""] * 4]
    assert test[:10] == ["test images", *[""] * 7, *(in_words(number) for number in novelty["test_images"].values())]
    assert head[1:10] == [
        name.replace("_", " ").replace("frechet", "Frechet") for block in (quality, novelty) for name in block["generated"]
    ]
    assert text.count("What it found.") == 1

    capfd.readouterr()
    make(commands, tmp_path / "runs", tmp_path / "page")
    assert capfd.readouterr().out == f"wrote {tmp_path / 'page' / 'README.md'}\n"
    assert (tmp_path / "page" / "README.md").read_text() == text
    with pytest.raises(ValueError, match=r"small_vae holds the run of vae\.py .*, not of vae\.py; delete it, or name the run otherwise"):
        train("vae.py", tmp_path / "runs" / "small_vae")


def test_a_finished_run_is_judged_anew_where_the_evaluation_has_another_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[list[str]] = []
    monkeypatch.setattr("make_results._call", called.append)
    run = RunFolder(tmp_path)
    judge(tmp_path)
    assert not called, "there are no images to judge"
    run.generated.touch()
    blocks = '"quality": {}, "novelty": {}, "class_shares": {}'
    for text in (None, '{"made": {}}', f'{{"format": 0, {blocks}}}', f'{{"format": {FORMAT}, {blocks}}}'):
        if text is not None:
            run.evaluation.write_text(text)
        judge(tmp_path)
    assert called == [["-m", "tinygen.evaluate", str(tmp_path)]] * 3


def test_a_failing_example_ends_it(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        train(f"vae.py --data {tmp_path / 'nowhere'}", tmp_path / "run")
    assert exit_.value.code == 1 and not (tmp_path / "run").exists()


def test_a_stopped_run_goes_on(few_images: Path, tmp_path: Path) -> None:
    """Ctrl-C reaches the whole group of processes, as in a terminal."""
    code = "import sys, pathlib, make_results as m\nwith m.interrupts_left_to_runs(): m.train(sys.argv[1], pathlib.Path(sys.argv[2]))"
    run, log = tmp_path / "run", tmp_path / "run" / "log.jsonl"
    command = [sys.executable, "-c", code, f"cnn.py --data {few_images} --epochs 20 --batch-size 2", str(run)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT / "examples" / "results", os.environ.get("PYTHONPATH", "")]))}
    process = subprocess.Popen(command, start_new_session=True, env=environment)
    while not log.exists():
        assert process.poll() is None
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(60) == 130
    assert 1 <= len(log.read_text().splitlines()) < 20 and not (run / "command.txt").exists()
    subprocess.run(command, check=True, env=environment)
    assert len(log.read_text().splitlines()) == 20 and (run / "command.txt").exists()
