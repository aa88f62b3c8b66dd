"""A run that is stopped and resumed is the run that was never stopped; and nothing that is there is overwritten."""

import json
from pathlib import Path
from typing import Any

import numpy
import pytest
from small_run import contents, small_run
from traced_memory import peak_memory

import tinygen as tg
from tinygen.command_line import UsageError
from tinygen.saving import checkpoint
from tinygen.training.loop import Training


@pytest.mark.parametrize("stop_at", range(0, 10, 3))
def test_resumed_run_equals_the_uninterrupted_one(tmp_path: Path, stop_at: int) -> None:
    small_run(tmp_path / "whole").run()
    with pytest.raises(SystemExit) as exit_:
        small_run(tmp_path / "stopped", stop_at=stop_at).run()
    assert exit_.value.code == 130
    small_run(tmp_path / "stopped", resume=True).run()
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")


def test_a_resumed_epoch_names_its_numbers_in_the_same_order(tmp_path: Path) -> None:
    def run(**options: Any) -> None:
        training = small_run(tmp_path, **options)
        step: Any = training.step
        training.step = lambda batch: {"steps": 1.0, **step(batch)}
        training.run()

    with pytest.raises(SystemExit):
        run(stop_at=6)
    run(resume=True)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [list(line)[2:4] for line in lines] == [["steps", "loss"]] * 3


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
        "checkpoint.safetensors", "details.json", "generated.safetensors", "log.jsonl", "report.html", "samples", "samples.gif",
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
        (small_run(run, resume=True, seed=8), f"{run / 'checkpoint.safetensors'} is from a run with other options: seed 7 is now 8"),
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


def test_checkpoint_of_another_model_is_refused(tmp_path: Path) -> None:
    small_run(tmp_path, epochs=1).run()
    training = small_run(tmp_path, resume=True)
    training.parts = {"encoder": training.parts["model"], "adam": training.parts["adam"]}
    with pytest.raises(ValueError, match=r"is from another model: it has model, this one has encoder, adam$"):
        training.run()


def test_foreign_file_in_place_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    checkpoint.save(tmp_path / "checkpoint.safetensors", {"weights": numpy.ones(3)}, {})
    with pytest.raises(ValueError, match=r"is not a checkpoint of a training run$"):
        small_run(tmp_path, resume=True).run()


def test_unwritable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match=r"^cannot write to the folder .*file/run: Not a directory$"):
        small_run(tmp_path / "file" / "run").run()


@pytest.mark.parametrize("failing", [0, 3])
def test_a_run_that_fails_before_its_first_epoch_is_done_leaves_nothing(tmp_path: Path, failing: int) -> None:
    training = small_run(tmp_path / "run")
    works, steps = training.step, iter(range(100))

    def step(batch: numpy.ndarray) -> dict[str, tg.Tensor]:
        if next(steps) == failing:
            raise ZeroDivisionError("a bug")
        return works(batch)

    training.step = step
    with pytest.raises(ZeroDivisionError):
        training.run()
    assert not (tmp_path / "run").exists()
    small_run(tmp_path / "run").run()


def test_a_file_of_the_user_s_stays_where_a_run_fails(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    training = small_run(tmp_path)
    training.step = lambda batch: {"loss": numpy.nan}
    with pytest.raises(UsageError):
        training.run()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_second_run_in_the_folder_of_one_that_has_begun_is_refused(tmp_path: Path) -> None:
    first, second = small_run(tmp_path), small_run(tmp_path)
    works = first.step

    def step(batch: numpy.ndarray) -> dict[str, tg.Tensor]:
        if (first.epoch, first.batch) == (0, 2):
            with pytest.raises(UsageError, match="already holds a run"):
                second.run()
        return works(batch)

    first.step = step
    first.run()


@pytest.mark.parametrize("value", [numpy.nan, numpy.inf, -numpy.inf])
@pytest.mark.parametrize("bad", [0, 3, 11])
def test_a_loss_that_is_not_finite_stops_the_run(tmp_path: Path, bad: int, value: float) -> None:
    """In which epoch and batch is told exactly, though the numbers are read every ten steps only."""
    training = small_run(tmp_path / "run", epochs=9)
    seen: list[float] = []

    def step(batch: numpy.ndarray) -> dict[str, tg.Tensor | float]:
        seen.append(value if len(seen) == bad else len(seen) + 0.5)
        return {"loss": tg.tensor(seen[-1]), "accuracy": 1.0}

    training.step = step
    with pytest.raises(UsageError) as error:
        training.run()
    before = f", after loss {bad - 0.5:.4g}, accuracy 1 in the batch before" if bad % 5 else ""
    kept = "nothing of this run is kept"
    if bad > 5:
        before = f", after loss {bad - 0.5:.4g}, accuracy 1 in the batch before"
        kept = f"{tmp_path / 'run' / 'checkpoint.safetensors'} keeps the state after 2 epochs and 0 batches"
    cure = "the learning rate may be too large"
    assert str(error.value) == f"loss is {value} in epoch {bad // 5 + 1}, batch {bad % 5 + 1}{before}; {cure}; {kept}"
    assert (tmp_path / "run").exists() == (bad > 5)
    assert len(seen) <= bad + 10
    if bad > 5:
        assert [line["epoch"] for line in map(json.loads, (tmp_path / "run" / "log.jsonl").open())] == [1, 2]
        small_run(tmp_path / "run", epochs=3, resume=True).run()


def test_the_log_is_json_whatever_the_evaluation_says(tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is not JSON")

    training = small_run(tmp_path, epochs=1)
    training.evaluate = lambda: {"test_loss": float("nan"), "distance": float("inf")}
    training.run()
    (line,) = (tmp_path / "log.jsonl").read_text().splitlines()
    told = json.loads(line, parse_constant=refuse)
    assert told["test_loss"] is told["distance"] is None and told["loss"] > 0


@pytest.mark.parametrize("name", ["totals", "random", "run", "parts", "loss"])
def test_a_part_may_have_any_name_without_a_slash(name: str, tmp_path: Path) -> None:
    training = small_run(tmp_path, epochs=1)
    training.parts = {name: training.parts["model"], "adam": training.parts["adam"]}
    training.run()
    again = small_run(tmp_path, epochs=2, resume=True)
    again.parts = {name: again.parts["model"], "adam": again.parts["adam"]}
    again.run()
    with pytest.raises(ValueError, match=r"^the name of a part must not contain /, which separates names in the checkpoint: net/a$"):
        Training(again.options, {"net/a": again.parts[name]}, again.loader, again.step)


def test_a_checkpoint_takes_no_copy_of_the_state(tmp_path: Path) -> None:
    training = small_run(tmp_path, width=10_000)
    training.run()
    state = sum(array.nbytes for part in training.parts.values() for array in part.state_dict().values())
    assert state > 10**6
    assert peak_memory(training._save) < 0.2 * state
