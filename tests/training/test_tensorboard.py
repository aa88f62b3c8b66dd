import io
import json
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
from numpy.testing import assert_array_equal
from PIL import Image
from small_run import contents, small_run

from tinygen.command_line import UsageError


def events(file: Path) -> Iterator[Any]:
    """The events in a file: each has its length, a checksum of that, its bytes, and a checksum of these."""
    from tensorboardX.proto.event_pb2 import Event

    content = file.read_bytes()
    while content:
        (length,) = struct.unpack("<Q", content[:8])
        yield Event.FromString(content[12 : 12 + length])
        content = content[16 + length :]


def test_tensorboard_gets_the_log_and_the_samples(tmp_path: Path) -> None:
    run = tmp_path / "run"
    small_run(run, epochs=2, tensorboard=True).run()
    small_run(run, epochs=3, resume=True, tensorboard=True).run()
    written = [event for file in sorted((run / "tensorboard").iterdir()) for event in events(file)]
    values = [(event.step, value) for event in written for value in event.summary.value]
    scalars = [(step, value.tag, value.simple_value) for step, value in values if value.HasField("simple_value")]
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    expected = [(line["epoch"], name.replace(" ", "_"), numpy.float32(line[name])) for line in log for name in line if name != "epoch"]
    assert scalars == expected
    pictures = {step: value.image.encoded_image_string for step, value in values if value.HasField("image")}
    assert list(pictures) == [1, 2, 3]
    for epoch, picture in pictures.items():
        with Image.open(io.BytesIO(picture)) as image, Image.open(run / "samples" / f"epoch-00{epoch}.png") as sample:
            assert_array_equal(numpy.asarray(image), numpy.asarray(sample.convert("RGB")))
    small_run(tmp_path / "without", epochs=3).run()
    assert contents(run) == contents(tmp_path / "without")


def test_without_tensorboardx_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(UsageError, match=r"pip install 'tinygen\[tensorboard\]'"):
        small_run(tmp_path / "run", tensorboard=True)
    assert not (tmp_path / "run").exists()
