import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from traced_memory import peak_memory

import tinygen as tg
from tinygen import nn
from tinygen.saving import checkpoint

modest = settings(deadline=None, max_examples=50)

arrays = st.sampled_from(sorted(checkpoint.DTYPES)).flatmap(
    lambda dtype: stn.arrays(dtype, stn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)
VIEWS: dict[str, Callable[[numpy.ndarray], numpy.ndarray]] = {
    "itself": lambda a: a,
    "transposed": lambda a: a.T,
    "reversed": lambda a: a[..., ::-1] if a.ndim else a,
    "every other": lambda a: a[::2] if a.ndim else a,
    "repeated": lambda a: numpy.broadcast_to(a, (2, *a.shape)),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
}
views = st.builds(lambda array, view: VIEWS[view](array), arrays, st.sampled_from(sorted(VIEWS)))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
names = texts.filter(lambda name: name != "__metadata__")


@modest
@given(saved=st.dictionaries(names, views, max_size=4), metadata=st.dictionaries(texts, texts, max_size=4))
def test_load_gives_back_what_save_got(scratch_file: Path, saved: dict[str, numpy.ndarray], metadata: dict[str, str]) -> None:
    checkpoint.save(scratch_file, saved, metadata)
    loaded, loaded_metadata = checkpoint.load(scratch_file)
    assert loaded_metadata == metadata
    assert loaded.keys() == saved.keys()
    for name, array in saved.items():
        native = array.astype(array.dtype.newbyteorder("="))
        assert loaded[name].dtype == native.dtype and loaded[name].shape == array.shape
        assert loaded[name].tobytes() == native.tobytes()
        assert loaded[name].flags.writeable


def test_a_transposed_view_survives(tmp_path: Path) -> None:
    """safetensors 0.8.0 alone writes memory as it lies, so that a view comes back scrambled."""
    weight = numpy.arange(6.0, dtype=numpy.float32).reshape(2, 3)
    checkpoint.save(tmp_path / "file", {"weight": weight.T}, {})
    assert checkpoint.load(tmp_path / "file")[0]["weight"].tolist() == weight.T.tolist()


@modest
@given(saved=st.dictionaries(names, views, max_size=4), metadata=st.dictionaries(texts, texts, max_size=4))
def test_safetensors_reads_what_save_wrote(scratch_file: Path, saved: dict[str, numpy.ndarray], metadata: dict[str, str]) -> None:
    native = {name: numpy.asarray(array, array.dtype.newbyteorder("="), order="C") for name, array in saved.items()}
    checkpoint.save(scratch_file, saved, metadata)
    loaded = safetensors.numpy.load_file(scratch_file)
    assert {name: array.tobytes() for name, array in loaded.items()} == {name: array.tobytes() for name, array in native.items()}


def test_saving_takes_hardly_more_memory_than_the_arrays(tmp_path: Path) -> None:
    """A tenth of the arrays at most, where one of ten has to be copied to be contiguous."""
    saved = {f"{i}": numpy.ones((1000, 100)) for i in range(9)} | {"transposed": numpy.ones((1000, 100)).T}
    total = sum(array.nbytes for array in saved.values())
    assert peak_memory(lambda: checkpoint.save(tmp_path / "file", saved)) <= 0.12 * total


def test_equal_contents_make_equal_files(tmp_path: Path) -> None:
    saved = {"b": numpy.array(True), "a": numpy.ones(3), "c": numpy.ones(2)}
    metadata = {f"key {i}": "é\n\0" * i for i in range(9)}
    contents = set()
    for order in (list, reversed):
        checkpoint.save(tmp_path / "file", dict(order(saved.items())), dict(order(metadata.items())))
        contents.add((tmp_path / "file").read_bytes())
    assert len(contents) == 1
    (content,) = contents
    assert int.from_bytes(content[:8], "little") % 8 == 0, "the arrays are not aligned"


def test_weights_by_the_public_names(tmp_path: Path) -> None:
    first, second = nn.Dense(3, 2), nn.Dense(3, 2)
    tg.save(tmp_path / "weights", first.state_dict())
    arrays, metadata = tg.load(tmp_path / "weights")
    second.load_state_dict(arrays)
    numpy.testing.assert_array_equal(second.weight.numpy(), first.weight.numpy())
    assert metadata == {}


def test_another_programs_file_without_metadata_is_read(tmp_path: Path) -> None:
    safetensors.numpy.save_file({"a": numpy.ones(3)}, tmp_path / "file")
    loaded, metadata = checkpoint.load(tmp_path / "file")
    assert loaded["a"].tolist() == [1, 1, 1] and metadata == {}


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    path = tmp_path / "file"
    checkpoint.save(path, {"a": numpy.zeros(3)}, {"step": "1"})
    before = path.read_bytes()

    def fail(*_: object) -> None:
        assert len(list(tmp_path.iterdir())) == 2, "the new content is not in a file beside the old one"
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, failing, fail)
        with pytest.raises(OSError, match="no space left"):
            checkpoint.save(path, {"a": numpy.ones(3)}, {"step": "2"})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_content_is_on_disk_before_the_name_and_the_name_before_the_return(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    fsync, replace = os.fsync, os.replace

    def recorded_fsync(descriptor: int) -> None:
        calls.append("fsync folder" if os.path.sameopenfile(descriptor, folder) else "fsync file")
        fsync(descriptor)

    def recorded_replace(source: Path, target: Path) -> None:
        calls.append("replace")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(os, "replace", recorded_replace)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        checkpoint.save(tmp_path / "file", {"a": numpy.ones(3)}, {})
    finally:
        os.close(folder)
    assert calls == ["fsync file", "replace", "fsync folder"]


@pytest.mark.parametrize("dtype", ["complex128", "longdouble", "datetime64[D]", "U3", "O", "i4,f4"])
def test_a_dtype_that_cannot_be_saved_is_refused_before_anything_is_written(tmp_path: Path, dtype: str) -> None:
    with pytest.raises(ValueError, match=r"array 'odd' is of .*, and only bool, int8, .* can be saved"):
        checkpoint.save(tmp_path / "file", {"good": numpy.ones(2), "odd": numpy.zeros(2, dtype)}, {})
    assert not list(tmp_path.iterdir())


def test_names_and_metadata_that_the_format_cannot_hold_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no array can be named '__metadata__'"):
        checkpoint.save(tmp_path / "file", {"__metadata__": numpy.ones(2)}, {})
    with pytest.raises(TypeError, match="metadata must be strings, not 'step': 3"):
        checkpoint.save(tmp_path / "file", {}, {"step": 3})  # type: ignore[dict-item]
    for saved, metadata in (({"\ud800": numpy.ones(2)}, {}), ({}, {"step": "\ud800"})):
        with pytest.raises(ValueError, match="surrogates not allowed"):
            checkpoint.save(tmp_path / "file", saved, metadata)
    assert not list(tmp_path.iterdir())


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere cannot be loaded: No such file"):
        checkpoint.load(tmp_path / "nowhere")


@modest
@given(data=st.data())
def test_a_truncated_file_is_refused(scratch_file: Path, data: st.DataObject) -> None:
    checkpoint.save(scratch_file, {"a": numpy.ones(3), "b": numpy.ones(2, bool)}, {"step": "1"})
    whole = scratch_file.read_bytes()
    scratch_file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(ValueError, match="scratch cannot be loaded"):
        checkpoint.load(scratch_file)


@modest
@given(data=st.data())
def test_a_damaged_file_never_gives_other_contents(scratch_file: Path, data: st.DataObject) -> None:
    """Numbers are as sound with a flipped bit, so that only the checksum can tell."""
    arrays, metadata = {"a": numpy.ones(3), "b": numpy.ones(2, bool)}, {"step": "1"}
    checkpoint.save(scratch_file, arrays, metadata)
    content = bytearray(scratch_file.read_bytes())
    start = data.draw(st.integers(0, len(content) - 1))
    spliced = data.draw(st.binary(min_size=1, max_size=3))
    content[start : start + len(spliced)] = spliced
    scratch_file.write_bytes(content)
    try:
        loaded, loaded_metadata = checkpoint.load(scratch_file)
    except ValueError as error:
        assert "scratch cannot be loaded: " in str(error)
    else:  # the name of the checksum may be hit
        assert {name: array.tobytes() for name, array in loaded.items()} == {name: array.tobytes() for name, array in arrays.items()}
        assert loaded_metadata.items() >= metadata.items()


def test_the_name_of_the_checksum_is_taken(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no metadata can be named 'tinygen/sha256'"):
        checkpoint.save(tmp_path / "file", {}, {checkpoint.CHECKSUM: "0"})


def test_an_error_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"No space left on device: '.*/file'$"):
        checkpoint.write_whole(tmp_path / "file", b"")


def test_an_error_is_told_even_if_nothing_can_be_cleaned_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a folder that becomes read-only."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", "the temporary file")

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(os, "fsync", lambda file: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match=r"No space left on device: '.*/file'$"):
        checkpoint.write_whole(tmp_path / "file", b"")


def with_header(dtype: str, shape: list[int], size: int) -> bytes:
    header = json.dumps({"a": {"dtype": dtype, "shape": shape, "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + bytes(size)


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04 a zip file, as PyTorch writes it",
        with_header("BF16", [2], 4),
        with_header("F8_E4M3", [2], 2),
        with_header("F32", [1] * 65, 4),
    ],
    ids=["zip", "bfloat16", "float8", "65 dimensions"],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(ValueError, match=r"file cannot be loaded: ."):
        checkpoint.load(tmp_path / "file")
