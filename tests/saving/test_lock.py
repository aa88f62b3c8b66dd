"""One process at a time, and a killed one is out of the way."""

import subprocess
import sys
from pathlib import Path

import pytest

from tinygen.command_line import UsageError
from tinygen.saving import lock

HOLDER = """
import sys, time
from pathlib import Path
from tinygen.saving.lock import locked
with locked(Path(sys.argv[1]), "held"):
    print("locked", flush=True)
    time.sleep(600)
"""


def test_only_one_holds_it_and_nothing_stays(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    for _ in range(2):
        with lock.locked(path, "held by another"):
            with pytest.raises(UsageError, match=r"^held by another$"), lock.locked(path, "held by another"):
                raise AssertionError
            assert path.exists()
        assert not path.exists()


def test_a_killed_process_holds_it_no_more(tmp_path: Path) -> None:
    path = tmp_path / ".lock"
    with subprocess.Popen([sys.executable, "-c", HOLDER, path], stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"locked\n"
        with pytest.raises(UsageError, match=r"^held$"), lock.locked(path, "held"):
            raise AssertionError
        holder.kill()
        holder.wait()
        assert path.exists()
        with lock.locked(path, "held"):
            pass
    assert not path.exists()


def test_a_lock_that_was_removed_while_it_was_opened_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else its opener and whoever makes the file anew would hold it together."""
    path, original = tmp_path / ".lock", lock._lock

    def removed_meanwhile(file: object) -> None:
        monkeypatch.setattr(lock, "_lock", original)
        path.unlink()
        original(file)  # type: ignore[arg-type]

    monkeypatch.setattr(lock, "_lock", removed_meanwhile)
    with lock.locked(path, "held"):
        assert path.exists()


def test_where_the_file_system_has_no_locks_none_is_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(file: object) -> None:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr(lock, "_lock", unsupported)
    with lock.locked(tmp_path / ".lock", "held"), lock.locked(tmp_path / ".lock", "held"):
        pass
