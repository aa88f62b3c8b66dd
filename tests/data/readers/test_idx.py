"""IDX files read back the same, zipped or not, and what is damaged is refused in one sentence."""

import gzip
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from image_files import IDX_CODES, as_idx

from tinygen.data import read_idx

modest = settings(deadline=None, max_examples=50)
any_idx_array = st.sampled_from(sorted(IDX_CODES)).flatmap(
    lambda dtype: stn.arrays(dtype, stn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


class TestIdx:
    @modest
    @given(array=any_idx_array, zipped=st.booleans())
    def test_reads_back_any_array_bit_for_bit(self, scratch_file: Path, array: numpy.ndarray, zipped: bool) -> None:
        scratch_file.write_bytes(gzip.compress(as_idx(array)) if zipped else as_idx(array))
        result = read_idx(scratch_file)
        assert result.dtype == array.dtype and result.dtype.isnative and result.shape == array.shape
        assert result.tobytes() == array.tobytes() and result.flags.writeable

    @modest
    @given(array=any_idx_array, data=st.data())
    def test_a_truncated_file_is_refused(self, scratch_file: Path, array: numpy.ndarray, data: st.DataObject) -> None:
        whole = as_idx(array)
        scratch_file.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        with pytest.raises(ValueError, match="scratch"):
            read_idx(scratch_file)

    @modest
    @given(array=any_idx_array, data=st.data())
    def test_a_damaged_gzip_never_gives_other_numbers(self, scratch_file: Path, array: numpy.ndarray, data: st.DataObject) -> None:
        zipped = bytearray(gzip.compress(as_idx(array)))
        zipped[data.draw(st.integers(0, len(zipped) - 1))] ^= data.draw(st.integers(1, 255))
        scratch_file.write_bytes(zipped[: data.draw(st.integers(0, len(zipped)))])
        try:
            result = read_idx(scratch_file)
        except ValueError as error:
            assert "scratch" in str(error)
        else:  # gzip's own header holds a time stamp and the like, which mean nothing here
            assert result.tobytes() == array.tobytes()

    @modest
    @given(head=st.sampled_from([b"", b"\0\0\x08", b"\0\0\x0d\x01", b"\x1f\x8b\x08"]), tail=st.binary(max_size=40))
    def test_any_bytes_are_read_or_refused(self, scratch_file: Path, head: bytes, tail: bytes) -> None:
        scratch_file.write_bytes(head + tail)
        try:
            read_idx(scratch_file)
        except ValueError as error:
            assert "scratch" in str(error)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"\0\0", "holds 2 bytes, fewer than the 4"),
            (b"PK\x03\x04", "begins with the bytes 0x504b where an IDX file has 0x0000"),
            (b"\0\0\x0a\x01", "elements of type 0x0a, and IDX knows only 0x08, 0x09"),
            (b"\0\0\x08\x03\0\0\0\x0a", "holds 8 bytes, fewer than the 16 of a header of 3 dimensions"),
            (as_idx(numpy.zeros((10, 28, 28), "uint8"))[:116], r"holds 100 bytes .* \(10, 28, 28\) of uint8, promises 7840"),
            (as_idx(numpy.zeros(3, "int16")) + b"x", r"more than 6 bytes of data where its header, \(3,\) of int16, promises 6"),
            (b"\0\0\x0e\x04" + b"\xff" * 16, f"0 bytes of data .* promises {(2**32 - 1) ** 4 * 8}"),
            (b"\0\0\x08\x41" + b"\0\0\0\x01" * 65 + b"x", "beyond NumPy"),
            (gzip.compress(b"\0\0\x08\0x", mtime=0)[:-3], "bytes, is a damaged gzip file: "),
        ],
    )
    def test_says_what_is_wrong(self, tmp_path: Path, content: bytes, message: str) -> None:
        (tmp_path / "file").write_bytes(content)
        with pytest.raises(ValueError, match=f"file.*{message}"):
            read_idx(tmp_path / "file")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match="nowhere"):
            read_idx(tmp_path / "nowhere")
