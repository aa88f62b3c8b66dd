"""What the files of a run say, or one sentence that names the file."""

import json
from pathlib import Path

import numpy
import pytest

from tinygen.command_line import UsageError
from tinygen.saving import checkpoint
from tinygen.saving.log import append_line, read_log
from tinygen.saving.run_folder import RunFolder

NUMBER = {"value": 1.0, "margin": 0.1}
EVALUATION = {name: {"generated": {"a": NUMBER}} for name in ("quality", "novelty", "class_shares")} | {"format": 1}


def test_a_log_is_read_up_to_the_line_that_is_being_written(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    append_line(path, {"epoch": 1, "loss": 0.5})
    append_line(path, {"epoch": 2, "loss": None})
    with open(path, "a") as log:
        log.write('{"epoch": 3, "lo')
    assert read_log(path) == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": None}]
    with open(path, "a") as log:
        log.write("\n")
    with pytest.raises(UsageError, match=r"log\.jsonl, line 3 is not JSON: "):
        read_log(path)


@pytest.mark.parametrize(
    ("arrays", "metadata"),
    [
        ({}, {"epoch": "1"}),
        ({"images": numpy.zeros(3, numpy.uint8)}, {"epoch": "1"}),
        ({"images": numpy.zeros((1, 2, 2, 1), numpy.float32)}, {"epoch": "1"}),
        ({"images": numpy.zeros((1, 2, 2, 1), numpy.uint8)}, {}),
        ({"images": numpy.zeros((1, 2, 2, 1), numpy.uint8)}, {"epoch": "one"}),
    ],
)
def test_generated_images_that_are_none(tmp_path: Path, arrays: dict[str, numpy.ndarray], metadata: dict[str, str]) -> None:
    checkpoint.save(tmp_path / "generated.safetensors", arrays, metadata)
    with pytest.raises(UsageError, match=r"generated\.safetensors does not hold the images of a run"):
        RunFolder(tmp_path).read_generated()


def test_an_evaluation_is_read(tmp_path: Path) -> None:
    for evaluation in ({"n": 3}, EVALUATION):
        (tmp_path / "evaluation.json").write_text(json.dumps(evaluation))
        assert RunFolder(tmp_path).read_evaluation() == evaluation


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b"[" * 100_000,
        b'{"format": 1}',
        *(json.dumps(EVALUATION | {"novelty": x}).encode() for x in ([], {"a": 1})),
    ],
)
def test_a_damaged_evaluation_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "evaluation.json").write_bytes(content)
    with pytest.raises(UsageError, match=r"evaluation\.json is damaged: .*; delete it, and evaluate the run again$") as error:
        RunFolder(tmp_path).read_evaluation()
    assert len(str(error.value)) < 400 + len(str(tmp_path)), "it does not quote the file"
