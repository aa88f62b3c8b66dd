"""Killing, filling up and damaging cost the steps since the last checkpoint, and nothing else."""

import errno
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
from small_run import contents, small_run

import tinygen as tg
from tinygen.command_line import UsageError
from tinygen.saving.run_folder import RunFolder, read_run
from tinygen.training import loop
from tinygen.training.loop import Training


class PowerCut(BaseException):
    pass


def cut_at(training: Training, last: int) -> Training:
    """Let the step after `last` steps fail."""
    works, steps = training.step, 0

    def step(*batch: numpy.ndarray) -> loop.Metrics:
        nonlocal steps
        if steps == last:
            raise PowerCut
        steps += 1
        return works(*batch)

    training.step = step
    return training


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    small_run(folder).run()
    return folder


@pytest.fixture
def stopped(tmp_path: Path) -> RunFolder:
    """A run of two checkpoints, the first after an epoch and the last within the second."""
    with pytest.raises(SystemExit):
        small_run(tmp_path / "run", stop_at=6).run()
    folder = RunFolder(tmp_path / "run")
    assert [(run.epoch, run.batch) for run in map(read_run, (folder.previous, folder.checkpoint))] == [(1, 0), (1, 2)]
    return folder


@pytest.mark.parametrize("last", [3, 8])
def test_checkpoints_within_an_epoch(tmp_path: Path, whole: Path, last: int) -> None:
    with pytest.raises(PowerCut):
        cut_at(small_run(tmp_path, checkpoint_minutes=1e-9), last).run()
    run = read_run(tmp_path / "checkpoint.safetensors")
    assert 5 * run.epoch + run.batch == last
    assert run.example is False
    small_run(tmp_path, resume=True).run()
    assert contents(tmp_path) == contents(whole)


def test_without_a_need_there_is_none_within_an_epoch(tmp_path: Path) -> None:
    with pytest.raises(PowerCut):
        cut_at(small_run(tmp_path), 8).run()
    run = read_run(tmp_path / "checkpoint.safetensors")
    assert (run.epoch, run.batch) == (1, 0)


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("spoil", [damage, Path.unlink, lambda path: path.write_bytes(b"")])
def test_the_previous_checkpoint_takes_the_place_of_a_damaged_one(
    stopped: RunFolder, whole: Path, spoil: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    spoil(stopped.checkpoint)
    small_run(stopped.path, resume=True).run()
    first, second, *_ = capsys.readouterr().out.splitlines()
    assert first.startswith(f"checkpoint: {stopped.checkpoint} cannot be loaded: ")
    assert first.endswith("; its predecessor is taken, of 1 epochs and 0 batches")
    assert second == "resuming after 1 epochs and 0 batches"
    assert contents(stopped.path) == contents(whole)
    assert not stopped.previous.exists(), "the last checkpoint has been read again"


def test_a_resume_that_is_refused_leaves_a_damaged_checkpoint_where_it_is(stopped: RunFolder) -> None:
    damage(stopped.checkpoint)
    before = stopped.checkpoint.read_bytes()
    with pytest.raises(UsageError, match="is from a run with other options"):
        small_run(stopped.path, resume=True, seed=8).run()
    assert stopped.checkpoint.read_bytes() == before and stopped.previous.exists()


def test_two_damaged_checkpoints_are_refused(stopped: RunFolder) -> None:
    damage(stopped.checkpoint)
    damage(stopped.previous)
    with pytest.raises(
        UsageError, match=r"checkpoint\.safetensors cannot be loaded: it is damaged, its contents do not have their checksum$"
    ):
        small_run(stopped.path, resume=True).run()


def test_a_checkpoint_of_a_later_format_is_not_replaced_by_an_older_one(stopped: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tinygen.saving.run_folder.FORMAT", 0)
    with pytest.raises(UsageError, match="is of format 1, and"):
        small_run(stopped.path, resume=True).run()


def test_a_second_process_is_refused_and_a_dead_one_s_temporary_files_are_removed(tmp_path: Path, whole: Path) -> None:
    with pytest.raises(SystemExit):
        small_run(tmp_path, stop_at=1).run()
    left = [tmp_path / ".checkpoint.safetensors.1.tmp", tmp_path / "samples" / ".epoch-001.png.23.tmp"]
    for path in left:
        path.touch()
    (tmp_path / ".notes.tmp").touch()
    training, second = small_run(tmp_path, resume=True), small_run(tmp_path, resume=True)
    works, refusals = training.step, []

    def step(*batch: numpy.ndarray) -> loop.Metrics:
        state = tg.random_state()
        with pytest.raises(UsageError) as error:
            second.run()
        refusals.append(str(error.value))
        tg.set_random_state(state)
        return works(*batch)

    training.step = step
    training.run()
    assert set(refusals) == {f"another process is training the run in {tmp_path}; wait for its end, or give another folder with --out"}
    assert contents(tmp_path) == contents(whole)
    assert not any(path.exists() for path in left) and (tmp_path / ".notes.tmp").exists()


def test_two_that_begin_at_once_are_one_run(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second has seen no run in the folder when the first creates it."""
    first, second = small_run(tmp_path / "run"), small_run(tmp_path / "run")
    hold = second._hold
    monkeypatch.setattr(second, "_hold", lambda: (first.run(), hold()))
    with pytest.raises(UsageError, match="already holds a run"):
        second.run()
    assert len(contents(tmp_path / "run")[1]) == 3


def test_a_full_disk_in_the_first_epoch_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "log.jsonl")

    with monkeypatch.context() as patch:
        patch.setattr(loop, "append_line", lambda path, line: (path.write_text('{"epo'), full()))
        with pytest.raises(OSError, match="No space left"):
            small_run(tmp_path / "run").run()
    assert not (tmp_path / "run").exists()


def test_a_full_disk_later_leaves_the_last_checkpoint(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append = loop.append_line

    def full(path: Path, line: dict[str, float]) -> None:
        append(path, line)
        if line["epoch"] == 2:
            path.write_bytes(path.read_bytes()[:-9])
            raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(loop, "append_line", full)
        with pytest.raises(OSError, match="No space left"):
            small_run(tmp_path).run()
    small_run(tmp_path, resume=True).run()
    assert contents(tmp_path) == contents(whole)


def test_weights_of_nan_do_not_replace_a_good_checkpoint(tmp_path: Path) -> None:
    """The loss of the last step may be finite, and its update not."""
    training = small_run(tmp_path)
    works, model = training.step, training.parts["model"]
    steps = 0

    def step(*batch: numpy.ndarray) -> loop.Metrics:
        nonlocal steps
        numbers = works(*batch)
        steps += 1
        if steps == 10:
            model.layers[0].weight.data[0, 0] = numpy.nan  # type: ignore[attr-defined]
        return numbers

    training.step = step
    with pytest.raises(UsageError) as error:
        training.run()
    kept = f"{tmp_path / 'checkpoint.safetensors'} keeps the state after 1 epochs and 0 batches"
    assert str(error.value) == f"NaN is in model/layers.0.weight after 2 epochs and 0 batches; the learning rate may be too large; {kept}"
    assert read_run(tmp_path / "checkpoint.safetensors").epoch == 1


def test_a_file_system_without_hard_links(tmp_path: Path, whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", unsupported)
    with pytest.raises(SystemExit):
        small_run(tmp_path, stop_at=6).run()
    shutil.copy(tmp_path / "checkpoint.previous.safetensors", tmp_path / "checkpoint.safetensors")
    small_run(tmp_path, resume=True).run()
    assert contents(tmp_path) == contents(whole)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a child of this process")
@pytest.mark.parametrize("operation", ["fsync", "link", "replace"])
@pytest.mark.parametrize("nth", [2, 4])
def test_a_kill_amid_a_change_of_the_files(tmp_path: Path, whole: Path, operation: str, nth: int) -> None:
    """Without any clean-up: at these operations, other than at Python's, half of a change is done."""
    child = os.fork()
    if child == 0:
        original, done = getattr(os, operation), 0

        def killing(*arguments: object, **others: object) -> None:
            nonlocal done
            done += 1
            if done == nth:
                os.kill(os.getpid(), signal.SIGKILL)
            original(*arguments, **others)

        setattr(os, operation, killing)
        try:
            small_run(tmp_path, checkpoint_minutes=1e-9).run()
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    small_run(tmp_path, resume=RunFolder(tmp_path).holds_a_checkpoint()).run()
    assert contents(tmp_path) == contents(whole)
    assert {path.name for path in tmp_path.iterdir()} == {path.name for path in whole.iterdir()}
