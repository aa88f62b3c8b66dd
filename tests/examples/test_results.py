"""The results page is made of what the runs left behind, and a finished run is not run again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy
import pytest
from make_results import COMMANDS, make, train
from repository import ROOT

from tinygen.data import load_images


def test_every_example_has_its_place_on_the_page() -> None:
    assert {command.split()[0] for command in COMMANDS.values()} == {path.name for path in (ROOT / "examples").glob("*.py")}


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
    (tmp_path / "runs" / "classifier" / "findings.txt").write_text("What it found.\n")
    make(commands, tmp_path / "runs", tmp_path / "page")
    text = (tmp_path / "page" / "README.md").read_text()
    logs = {name: [json.loads(line) for line in (tmp_path / "runs" / name / "log.jsonl").read_text().splitlines()] for name in commands}
    evaluation = json.loads((tmp_path / "runs" / "small_vae" / "evaluation.json").read_text())
    made, real = evaluation["made"], evaluation["real"]
    for name, command in commands.items():
        minutes = f"{sum(line['seconds'] for line in logs[name]) / 60:.1f}"
        assert f"## {name}\n\n`python examples/{command} --out runs/{name}`: 2 epochs in {minutes} minutes; in the last one " in text
        assert f"\n| [{name}](#{name}) | {minutes} | " in text
        pictures = {f"{name}.png": "samples/epoch-002.png"} | ({f"{name}-confusion.png": "confusion.png"} if name == "classifier" else {})
        for file, original in pictures.items():
            assert f"]({file})" in text
            assert (tmp_path / "page" / file).read_bytes() == (tmp_path / "runs" / name / original).read_bytes()
    last = logs["classifier"][-1]
    assert f"in the last one loss {last['loss']:.4g}, accuracy " in text and f", test_accuracy {last['test_accuracy']:.4g}.\n" in text
    assert f" | 30 | {made['feature_frechet_distance']:.3f} ({real['feature_frechet_distance']:.3f}) | {made['recall']:.3f} (" in text
    shares = [sorted(evaluation["class_shares"][of].values()) for of in ("made", "real")]
    smallest = "{:.3f} ({:.3f})".format(*(of[0] for of in shares))
    classes = "{} ({})".format(*(10 - numpy.searchsorted(of, 0.02) for of in shares))
    assert f" | {smallest} | {classes} | {evaluation['bits_per_dimension']:.4f} |\n" in text
    assert f"images: {load_images().describe()[6:]}.\n" in text and text.count("What it found.") == 1

    capfd.readouterr()
    make(commands, tmp_path / "runs", tmp_path / "page")
    assert capfd.readouterr().out == f"wrote {tmp_path / 'page' / 'README.md'}\n"
    assert (tmp_path / "page" / "README.md").read_text() == text
    with pytest.raises(ValueError, match=r"small_vae holds the run of vae\.py .*, not of vae\.py; delete it, or name the run otherwise"):
        train("vae.py", tmp_path / "runs" / "small_vae")


def test_a_failing_example_ends_it(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as exit_:
        train(f"vae.py --data {tmp_path / 'nowhere'}", tmp_path / "run")
    assert exit_.value.code == 1 and not (tmp_path / "run").exists()


def test_a_stopped_run_goes_on(few_images: Path, tmp_path: Path) -> None:
    """Ctrl-C reaches the whole group of processes, as in a terminal."""
    code = "import sys; from pathlib import Path; from make_results import train; train(sys.argv[1], Path(sys.argv[2]))"
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
