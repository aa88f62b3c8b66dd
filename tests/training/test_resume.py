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
from tinygen.training.resume import resume

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
        "out": str(tmp_path / "run"), "epochs": 2, "batch_size": 8, "seed": 7, "device": "cpu", "resume": False, "checkpoint_minutes": 10,
        "tensorboard": False, "graph": False, "with_": None,
        "data": str(tmp_path / "photos"), "classes": None, "size": None, "crop": None, "grey": False, "augment": None, "lr": 0.1, "gone": 3,
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
    resume(training)
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
        ({"progress": "{}"}, "is a damaged checkpoint: its progress is {} in a run of 1 epochs"),
        ({"progress": '{"epoch": "a", "batch": 0, "seconds": 0}'}, "is a damaged checkpoint: its progress is "),
        ({"progress": '{"epoch": -1, "batch": 0, "seconds": 0}'}, "is a damaged checkpoint: its progress is "),
        ({"progress": '{"epoch": 1, "batch": 0, "seconds": NaN}'}, "is a damaged checkpoint: its progress is "),
        ({"progress": f'{{"epoch": {10**30}, "batch": 0, "seconds": 0}}'}, "is a damaged checkpoint: its progress is "),
        ({"progress": '{"epoch": 0, "batch": 6, "seconds": 0}'}, "is 6 batches within an epoch, which has 5 here"),
        ({"options": "["}, "is a damaged checkpoint: its options are not JSON: "),
        ({"options": "[" * 100_000}, "is a damaged checkpoint: its options are not JSON: "),
        ({"options": "[]"}, "is a damaged checkpoint: its options are not a JSON object"),
    ],
)
def test_metadata_that_mean_nothing_are_refused(tmp_path: Path, metadata: dict[str, str], message: str) -> None:
    small_run(tmp_path, epochs=1).run()
    arrays, own = checkpoint.load(tmp_path / "checkpoint.safetensors")
    checkpoint.save(tmp_path / "checkpoint.safetensors", arrays, own | metadata)
    refused(small_run(tmp_path, resume=True), f"{tmp_path / 'checkpoint.safetensors'} {message}")


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("run/totals/loss", numpy.array([1.0, 0.0]), "is a damaged checkpoint: run/totals/loss is [1.0, 0.0] after 3 batches"),
        ("run/totals/loss", numpy.array([1.0, 4.0]), "is a damaged checkpoint: run/totals/loss is [1.0, 4.0] after 3 batches"),
        ("run/totals/loss", numpy.array([numpy.nan, 1.0]), "is a damaged checkpoint: run/totals/loss is [nan, 1.0] after 3 batches"),
        ("run/totals/loss", numpy.ones(3), "is a damaged checkpoint: run/totals/loss is [1.0, 1.0, 1.0] after 3 batches"),
        ("run/other", numpy.ones(3), "is a damaged checkpoint: run/other is "),
        ("run/random", numpy.ones(13, numpy.uint64) * 5, ", run/random: the last numbers of a random state are at most 4, 1 and "),
        ("run/random", numpy.ones(3), ", run/random: a random state is 13 uint64 numbers, got float64 of shape (3,)"),
        ("parts/adam/steps", numpy.array(numpy.nan), "is a damaged checkpoint: NaN is in adam/steps"),
        (
            "parts/model/layers.0.bias",
            numpy.full(4, numpy.nan, numpy.float32),
            "is a damaged checkpoint: NaN is in model/layers.0.bias",
        ),
    ],
)
def test_arrays_that_mean_nothing_are_refused(tmp_path: Path, name: str, array: numpy.ndarray, message: str) -> None:
    with pytest.raises(SystemExit):
        small_run(tmp_path, stop_at=2).run()
    (tmp_path / "checkpoint.previous.safetensors").unlink()
    arrays, metadata = checkpoint.load(tmp_path / "checkpoint.safetensors")
    checkpoint.save(tmp_path / "checkpoint.safetensors", arrays | {name: array}, metadata)
    refused(small_run(tmp_path, resume=True), message)


@pytest.mark.parametrize("damage", [b"", b'{"epoch": 3, "seco', b"null\n", b'{"epoch": "x"}\n', b"\xff\n", b'{"epoch": 3}'])
def test_what_follows_the_last_line_of_the_log_is_dropped(tmp_path: Path, damage: bytes) -> None:
    small_run(tmp_path, epochs=2).run()
    with open(tmp_path / "log.jsonl", "ab") as log:
        log.write(damage)
    small_run(tmp_path, epochs=3, resume=True).run()
    assert [line["epoch"] for line in contents(tmp_path)[1]] == [1, 2, 3]


FIRST, SECOND, THIRD = b'{"epoch": 1}\n', b'{"epoch": 2}\n', b'{"epoch": 3}\n'


@pytest.mark.parametrize(
    ("log", "line", "message"),
    [
        (FIRST + b'{"epoch": 2, "seco', 2, "is not JSON: "),
        (FIRST + b"\xff\n" + THIRD, 2, "is not JSON: "),
        (FIRST + b"null\n" + THIRD, 2, "is not an object of numbers"),
        (FIRST + b'{"epoch": 2, "loss": "high"}\n' + THIRD, 2, "is not an object of numbers"),
        (FIRST + SECOND, 3, "is missing: the checkpoint is of epoch 3"),
        (FIRST + FIRST + SECOND + THIRD, 2, "is of epoch 1 where epoch 2 was expected"),
        (FIRST + THIRD, 2, "is of epoch 3 where epoch 2 was expected"),
        (b'{"epoch": "x"}\n' + SECOND + THIRD, 1, "is not an object of numbers"),
        (b"{}\n" + SECOND + THIRD, 1, "is of epoch None where epoch 1 was expected"),
    ],
)
def test_a_damaged_log_is_refused_by_its_line(tmp_path: Path, log: bytes, line: int, message: str) -> None:
    small_run(tmp_path, epochs=3).run()
    (tmp_path / "log.jsonl").write_bytes(log)
    refused(small_run(tmp_path, epochs=4, resume=True), f"{tmp_path / 'log.jsonl'}, line {line} {message}")
    (tmp_path / "log.jsonl").unlink()
    small_run(tmp_path, epochs=4, resume=True).run()
    small_run(tmp_path, epochs=5, resume=True).run()
    assert [line["epoch"] for line in contents(tmp_path)[1]] == [4, 5]
