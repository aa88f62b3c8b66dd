"""Whatever happens to the bytes of a run's files, they are read right, or refused in one sentence that names the file."""

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import small_run

from tinygen import backend
from tinygen.command_line import UsageError
from tinygen.report.html import write_report
from tinygen.saving.run_folder import RunFolder, read_run
from tinygen.training.resume import resume


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped within its third epoch."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with suppress(SystemExit):
        small_run(folder, stop_at=12).run()
    assert (read_run(RunFolder(folder).checkpoint).epoch, read_run(RunFolder(folder).previous).batch) == (2, 0)
    return folder


@st.composite
def damage(draw: st.DrawFn, content: bytes) -> bytes:
    """The content cut, with a flipped bit, or with some bytes replaced by others or by nothing."""
    start = draw(st.integers(0, len(content) - 1))
    flipped = bytes([content[start] ^ 1 << draw(st.integers(0, 7))])
    spliced = draw(st.binary(max_size=9)) + content[start + draw(st.integers(0, 9)) :]
    return content[:start] + draw(st.sampled_from([b"", flipped + content[start + 1 :], spliced]))


def state_after_resuming(folder: Path) -> tuple[object, ...]:
    training = small_run(folder, resume=True)
    resume(training)
    parts = [array.tobytes() for part in training.parts.values() for array in part.state_dict().values()]
    return training.epoch, training.batch, training.totals, parts, backend.random_state().tobytes()


@settings(deadline=None, max_examples=40)
@given(data=st.data(), name=st.sampled_from(["checkpoint", "checkpoint", "log", "picture"]))
def test_damaged_files_of_a_run(stopped: Path, data: st.DataObject, name: str) -> None:
    damaged, older = (RunFolder(stopped.parent / name) for name in ("damaged", "older"))
    for folder in (damaged, older):
        shutil.rmtree(folder.path, ignore_errors=True)
        shutil.copytree(stopped, folder.path)
    older.checkpoint.unlink()
    path = damaged.picture(1) if name == "picture" else getattr(damaged, name)
    path.write_bytes(data.draw(damage(path.read_bytes())))
    try:
        write_report([damaged.path], damaged.report)
        assert state_after_resuming(damaged.path) in (state_after_resuming(stopped), state_after_resuming(older.path))
    except UsageError as error:
        assert path.name in str(error) and "\n" not in str(error)
