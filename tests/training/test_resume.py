"""Which runs can be gone on with: those of the same program, options and data, whatever their format and place."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy
import pytest
from small_run import ROWS, contents, small_run

from tinygen.command_line import UsageError
from tinygen.data import NameDataset, load_images
from tinygen.saving import checkpoint
from tinygen.saving.run_folder import read_run
from tinygen.training.loop import Training
from tinygen.training.options import Options, Positive

FORMAT_0 = Path(__file__).parent / "format_0"  # left by an epoch and three batches of `small_run` before formats had numbers


@dataclass(kw_only=True)
class Older(Options):
    lr: Positive[float] = 0.1
    gone: int = 3


@dataclass(kw_only=True)
class Newer(Options):
    lr: Positive[float] = 0.1
    average: float = 0.0
    widths: tuple[int, ...] = (1, 2)


@dataclass(kw_only=True)
class Foreign(Options):
    @property
    def script(self) -> str:
        return "dcgan"


def refused(training: Training, message: str) -> None:
    before = {path: path.read_bytes() for path in training.options.out.rglob("*") if path.is_file()}
    with pytest.raises(UsageError) as error:
        training.run()
    assert message in str(error.value) and "\n" not in str(error.value)
    assert {path: path.read_bytes() for path in training.options.out.rglob("*") if path.is_file()} == before


def test_what_a_checkpoint_says_of_its_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    small_run(Path("run"), epochs=2, data=Path("photos"), kind=Older).run()
    arrays, metadata = checkpoint.load("run/checkpoint.safetensors")
    assert metadata["format"] == "1" and metadata["tinygen"].count(".") == 2 and metadata["script"] == "test_resume"
    assert json.loads(metadata["options"]) == {
        "out": str(tmp_path / "run"), "epochs": 2, "batch_size": 8, "seed": 7, "device": "cpu", "resume": False,
        "data": str(tmp_path / "photos"), "classes": None, "size": None, "crop": None, "grey": False, "lr": 0.1, "gone": 3,
    }  # fmt: skip
    assert len(metadata["data"]) == 64
    assert {name.split("/")[0] for name in arrays} == {"parts", "run"}
    run = read_run(tmp_path / "run" / "checkpoint.safetensors")
    assert (run.epoch, run.batch, list(run.parts)) == (2, 0, ["adam", "model"])


def test_another_script_is_refused(tmp_path: Path) -> None:
    small_run(tmp_path, epochs=1, kind=Foreign).run()
    refused(small_run(tmp_path, resume=True), "is from a run of dcgan, which small_run cannot resume")


def test_other_settings_of_an_optimiser_are_refused(tmp_path: Path) -> None:
    small_run(tmp_path, epochs=1).run()
    refused(small_run(tmp_path, resume=True, betas=(0.0, 0.1)), "checkpoint.safetensors, adam: ")


def test_a_new_option_has_its_default_in_old_runs(tmp_path: Path) -> None:
    small_run(tmp_path, epochs=1, kind=Older).run()
    refused(small_run(tmp_path, resume=True, kind=Newer, average=0.5), "is from a run with other options: average 0.0 is now 0.5")
    refused(small_run(tmp_path, resume=True, kind=Newer, lr=0.2), "is from a run with other options: lr 0.1 is now 0.2")
    small_run(tmp_path, epochs=2, resume=True, kind=Newer).run()
    small_run(tmp_path, epochs=3, resume=True, kind=Newer).run()
    assert len(contents(tmp_path)[1]) == 3


def test_data_are_known_by_their_contents(tmp_path: Path) -> None:
    small_run(tmp_path / "run", epochs=1, data=tmp_path / "here").run()
    other = ROWS.copy()
    other[-1, -1] += 1
    message = "the loader holds other data than those that the run of "
    refused(small_run(tmp_path / "run", resume=True, rows=other, data=tmp_path / "here"), message)
    (tmp_path / "run").rename(tmp_path / "moved")
    small_run(tmp_path / "moved", epochs=2, resume=True, data=tmp_path / "there").run()
    assert len(contents(tmp_path / "moved")[1]) == 2


def test_any_change_of_images_labels_classes_or_names_is_seen(few_images: Path, tmp_path: Path) -> None:
    data = load_images(few_images)
    own = {name: getattr(data, name) for name in ("train_images", "train_labels", "test_images", "test_labels")}
    names = numpy.array(data.classes)

    def digest_of(classes: numpy.ndarray = names, **changed: numpy.ndarray) -> str:
        numpy.savez(tmp_path / "data.npz", **{**own, "classes": classes, **changed})
        return load_images(tmp_path / "data.npz").digest()

    changes = [{name: array ^ (numpy.arange(array.size).reshape(array.shape) == 5)} for name, array in own.items()]
    changes += [{name: array[::-1]} for name, array in own.items()]
    digests = [digest_of(), digest_of(names[::-1]), *(digest_of(**change) for change in changes)]
    assert digests[0] == data.digest(), "wherever they lie"
    assert len(set(digests)) == len(digests)
    together, apart = NameDataset(("ab",), ("c",), ""), NameDataset(("a", "b"), ("c",), "")
    assert together.digest() != apart.digest() == NameDataset(("a", "b"), ("c",), "elsewhere").digest()


def test_a_run_of_the_first_format_goes_on(tmp_path: Path) -> None:
    shutil.copytree(FORMAT_0, tmp_path / "run")
    before, _ = checkpoint.load(FORMAT_0 / "checkpoint.safetensors")
    training = small_run(tmp_path / "run", resume=True)
    training._resume()
    assert (training.epoch, training.batch, training.counts["loss"]) == (1, 3, 3)
    assert training.totals["now and then"] == training.counts["now and then"]
    for part, owner in training.parts.items():
        for name, array in owner.state_dict().items():
            if f"{part}/{name}" in before:
                numpy.testing.assert_array_equal(array, before[f"{part}/{name}"])
    small_run(tmp_path / "run", resume=True).run()
    assert [line["epoch"] for line in contents(tmp_path / "run")[1]] == [1, 2, 3]
    assert checkpoint.load(tmp_path / "run" / "checkpoint.safetensors")[1]["format"] == "1"


def test_the_first_format_s_data_are_known_by_their_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    arrays, metadata = checkpoint.load(FORMAT_0 / "checkpoint.safetensors")
    options = json.loads(metadata["options"]) | {"data": "photos"}
    checkpoint.save("checkpoint.safetensors", arrays, metadata | {"options": json.dumps(options)})
    refused(small_run(tmp_path, resume=True, data=Path("elsewhere")), f"data {tmp_path / 'photos'} is now {tmp_path / 'elsewhere'}")
    small_run(tmp_path, resume=True, data=tmp_path / "photos").run()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format": "2"}, "is of format 2, and tinygen "),
        ({"format": "one"}, "is of format one, and tinygen "),
        ({"progress": "{}"}, "is a damaged checkpoint: KeyError('epoch')"),
        ({"progress": '{"epoch": "a", "batch": 0, "seconds": 0}'}, "is a damaged checkpoint: TypeError("),
        ({"progress": '{"epoch": -1, "batch": 0, "seconds": 0}'}, "is a damaged checkpoint: ValueError("),
        ({"options": "["}, "is a damaged checkpoint: JSONDecodeError("),
        ({"options": "[]"}, "is a damaged checkpoint: TypeError("),
    ],
)
def test_metadata_that_mean_nothing_are_refused(tmp_path: Path, metadata: dict[str, str], message: str) -> None:
    small_run(tmp_path, epochs=1).run()
    arrays, own = checkpoint.load(tmp_path / "checkpoint.safetensors")
    checkpoint.save(tmp_path / "checkpoint.safetensors", arrays, own | metadata)
    refused(small_run(tmp_path, resume=True), f"{tmp_path / 'checkpoint.safetensors'} {message}")


@pytest.mark.parametrize("damage", [b'{"epoch": 1, "seco', b"null\n", b'{"epoch": "x"}\n', b"\xff\n"])
def test_lines_of_the_log_are_known_by_their_epoch(tmp_path: Path, damage: bytes) -> None:
    small_run(tmp_path, epochs=2).run()
    _, second = (tmp_path / "log.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "log.jsonl").write_bytes(second + damage)
    small_run(tmp_path, epochs=3, resume=True).run()
    assert [line["epoch"] for line in contents(tmp_path)[1]] == [2, 3]
