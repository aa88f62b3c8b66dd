"""A run that is stopped and resumed is the run that was never stopped; and nothing that is there is overwritten."""

import json
import os
import signal
from pathlib import Path

import numpy
import pytest

import tinygen as tg
from tinygen import nn, optim
from tinygen.data import Loader
from tinygen.report.pictures import grid
from tinygen.saving import checkpoint
from tinygen.training.loop import Training
from tinygen.training.options import Options

ROWS = numpy.random.default_rng(0).standard_normal((40, 3)).astype(numpy.float32)


def small_run(folder: Path, epochs: int = 3, resume: bool = False, stop_at: int | None = None, width: int = 4, seed: int = 7) -> Training:
    """An autoencoder with dropout, so that both the weights and the random stream matter; Ctrl-C comes in step `stop_at`.

    Its learning rate decays, and one of its numbers is 1 in the steps that return it.
    """
    options = Options(out=folder, epochs=epochs, batch_size=8, seed=seed, resume=resume)
    tg.manual_seed(options.seed)
    model = nn.Sequential(nn.Dense(3, width), nn.BatchNorm(width), nn.Dropout(0.5), nn.Dense(width, 3))
    adam = optim.Adam(model.parameters(), 1e-2)
    steps = 0

    def step(rows: numpy.ndarray) -> dict[str, tg.Tensor]:
        nonlocal steps
        loss = tg.mse_loss(model(tg.tensor(rows)), tg.tensor(rows))
        adam.zero_grad()
        loss.backward()
        adam.step()
        if steps == stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        adam.lr *= 0.9
        steps += 1
        return {"loss": loss, "now and then": 1.0} if rows[0, 0] > 0 else {"loss": loss}

    return Training(
        options,
        {"model": model, "adam": adam},
        Loader(ROWS, batch_size=options.batch_size, seed=options.seed),
        step,
        samples=lambda: grid(tg.rand((4, 3, 3, 1)).numpy()),
        evaluate=lambda: {"noise": tg.randn((1,))},
        generate=lambda n: tg.rand((n, 2, 2, 1)).numpy() * 1.5 - 0.25,
    )


def contents(folder: Path) -> tuple[dict[str, bytes], list[dict[str, float]], list[bytes]]:
    """What a run leaves behind: the arrays, the log without its times, the pictures, and the images for its evaluation."""
    arrays, _ = checkpoint.load(folder / "checkpoint.safetensors")
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    log = [{name: value for name, value in line.items() if name != "seconds"} for line in lines]
    files = [*sorted((folder / "samples").iterdir()), folder / "generated.safetensors"]
    return {name: array.tobytes() for name, array in arrays.items()}, log, [file.read_bytes() for file in files]


@pytest.mark.parametrize("stop_at", range(0, 10, 3))
def test_resumed_run_equals_the_uninterrupted_one(tmp_path: Path, stop_at: int) -> None:
    small_run(tmp_path / "whole").run()
    with pytest.raises(SystemExit) as exit_:
        small_run(tmp_path / "stopped", stop_at=stop_at).run()
    assert exit_.value.code == 130
    small_run(tmp_path / "stopped", resume=True).run()
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_training_longer_equals_training_on(tmp_path: Path) -> None:
    small_run(tmp_path / "whole", epochs=4).run()
    small_run(tmp_path / "parts", epochs=1).run()
    small_run(tmp_path / "parts", epochs=4, resume=True).run()
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_two_runs_are_bit_equal_and_the_seed_matters(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        small_run(tmp_path / name, seed=seed).run()
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a")[0] != contents(tmp_path / "c")[0]


def test_what_a_run_leaves_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_run(tmp_path / "run", epochs=2).run()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [
        "checkpoint.safetensors", "generated.safetensors", "log.jsonl", "samples", "samples.gif",
    ]  # fmt: skip
    assert [path.name for path in sorted((tmp_path / "run" / "samples").iterdir())] == ["epoch-001.png", "epoch-002.png"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [list(line) for line in lines] == [["epoch", "seconds", "loss", "now and then", "noise"]] * 2
    assert [line["now and then"] for line in lines] == [1, 1]
    assert lines[0]["loss"] > lines[1]["loss"] > 0
    assert "epoch 2/2  loss " in capsys.readouterr().out


def test_a_finished_run_leaves_a_thousand_images_of_its_last_epoch(tmp_path: Path) -> None:
    small_run(tmp_path, epochs=2).run()
    arrays, metadata = checkpoint.load(tmp_path / "generated.safetensors")
    levels, counts = numpy.unique(arrays["images"], return_counts=True)
    assert arrays["images"].dtype == numpy.uint8 and arrays["images"].shape == (1000, 2, 2, 1) and metadata == {"epoch": "2"}
    assert levels.tolist() == list(range(256)) and all(abs(counts[[0, 255]] / 4000 - 1 / 6) < 0.03), "values beyond 0 and 1 are clipped"
    with pytest.raises(SystemExit):
        small_run(tmp_path, epochs=3, resume=True, stop_at=0).run()
    assert checkpoint.load(tmp_path / "generated.safetensors")[1] == {"epoch": "2"}


def test_a_finished_run_resumes_to_nothing(tmp_path: Path) -> None:
    small_run(tmp_path, epochs=2).run()
    before = contents(tmp_path)
    small_run(tmp_path, epochs=2, resume=True).run()
    assert contents(tmp_path) == before


@pytest.mark.parametrize("line", ['{"epoch": 3, "seconds": 1.0, "loss": 0.5, "noise": 0.1}\n', '{"epoch": 3, "sec'], ids=["whole", "torn"])
def test_a_log_line_without_its_checkpoint_is_dropped(tmp_path: Path, line: str) -> None:
    small_run(tmp_path, epochs=2).run()
    before = contents(tmp_path)
    with open(tmp_path / "log.jsonl", "a") as log:
        log.write(line)
    small_run(tmp_path, epochs=2, resume=True).run()
    assert contents(tmp_path) == before


def test_refusals_leave_everything_as_it_was(tmp_path: Path) -> None:
    run = tmp_path / "run"
    small_run(run, epochs=1).run()
    before = contents(run)
    refused = [
        (small_run(run), f"{run} already holds a run; go on with --resume, or give another folder with --out"),
        (small_run(run, resume=True, seed=8), f"{run / 'checkpoint.safetensors'} is of a run with other options: seed 7 is now 8"),
        (
            small_run(run, resume=True, width=5),
            f"{run / 'checkpoint.safetensors'}, model: this state does not fit Sequential: layers.0.weight is float32 (3, 4) instead of ",
        ),
        (small_run(tmp_path / "new", resume=True), "there is nothing to resume: "),
    ]
    for training, message in refused:
        with pytest.raises(ValueError) as error:
            training.run()
        assert str(error.value).startswith(message)
    assert contents(run) == before
    assert not (tmp_path / "new").exists()


def test_a_log_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text("somebody's own\n")
    with pytest.raises(ValueError, match=r"already holds a run"):
        small_run(tmp_path).run()
    assert (tmp_path / "log.jsonl").read_text() == "somebody's own\n"


def test_ctrl_c_in_the_last_step_finds_the_run_finished(tmp_path: Path) -> None:
    small_run(tmp_path, epochs=2, stop_at=9).run()
    assert len(contents(tmp_path)[1]) == 2
    assert (tmp_path / "samples.gif").exists()


def test_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    small_run(tmp_path, epochs=1).run()
    training = small_run(tmp_path, resume=True)
    training.parts = {"encoder": training.parts["model"], "adam": training.parts["adam"]}
    with pytest.raises(ValueError, match=r"is of another model: it has model, this one has encoder, adam$"):
        training.run()


def test_foreign_file_in_place_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "checkpoint.safetensors", {"weights": numpy.ones(3)}, {})
    with pytest.raises(ValueError, match=r"is no checkpoint of a training run$"):
        small_run(tmp_path, resume=True).run()


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"^cannot write to the folder .*file/run: Not a directory$"):
        small_run(tmp_path / "file" / "run").run()


def test_ctrl_c_is_python_s_again_after_a_run(tmp_path: Path) -> None:
    before = signal.getsignal(signal.SIGINT)
    small_run(tmp_path, epochs=1).run()
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("name", ["net/a", "totals", "random"])
def test_a_part_whose_name_a_checkpoint_needs_is_refused(name: str, tmp_path: Path) -> None:
    run = small_run(tmp_path)
    with pytest.raises(ValueError, match=f"^a checkpoint cannot hold parts of the names {name}: it needs /, totals and random itself$"):
        Training(run.options, {name: run.parts["model"]}, run.loader, run.step)
