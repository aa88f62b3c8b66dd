import gzip
import hashlib
from pathlib import Path

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as stn
from numpy.testing import assert_array_equal

from tinygen.data import CLASSES, ImageDataset, Loader, fashion_mnist, load_fashion_mnist, load_idx, pad_to, read_idx, to_float
from tinygen.data.readers.idx import FILES

IDX_CODES = {"uint8": 0x08, "int8": 0x09, "int16": 0x0B, "int32": 0x0C, "float32": 0x0D, "float64": 0x0E}
modest = settings(deadline=None, max_examples=50)


def as_idx(array: numpy.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    elements = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return bytes([0, 0, IDX_CODES[array.dtype.name], array.ndim]) + sizes + elements


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that a property may overwrite at each example."""
    return tmp_path_factory.mktemp("data") / "scratch"


any_idx_array = st.sampled_from(sorted(IDX_CODES)).flatmap(
    lambda dtype: stn.arrays(dtype, stn.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
)


class TestIdx:
    @modest
    @given(array=any_idx_array, zipped=st.booleans())
    def test_reads_back_any_array_bit_for_bit(self, scratch: Path, array: numpy.ndarray, zipped: bool) -> None:
        scratch.write_bytes(gzip.compress(as_idx(array)) if zipped else as_idx(array))
        result = read_idx(scratch)
        assert result.dtype == array.dtype and result.dtype.isnative and result.shape == array.shape
        assert result.tobytes() == array.tobytes() and result.flags.writeable

    @modest
    @given(array=any_idx_array, data=st.data())
    def test_a_truncated_file_is_refused(self, scratch: Path, array: numpy.ndarray, data: st.DataObject) -> None:
        whole = as_idx(array)
        scratch.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
        with pytest.raises(ValueError, match="scratch"):
            read_idx(scratch)

    @modest
    @given(array=any_idx_array, data=st.data())
    def test_a_damaged_gzip_never_gives_other_numbers(self, scratch: Path, array: numpy.ndarray, data: st.DataObject) -> None:
        zipped = bytearray(gzip.compress(as_idx(array)))
        zipped[data.draw(st.integers(0, len(zipped) - 1))] ^= data.draw(st.integers(1, 255))
        scratch.write_bytes(zipped[: data.draw(st.integers(0, len(zipped)))])
        try:
            result = read_idx(scratch)
        except ValueError as error:
            assert "scratch" in str(error)
        else:  # gzip's own header holds a time stamp and the like, which mean nothing here
            assert result.tobytes() == array.tobytes()

    @modest
    @given(head=st.sampled_from([b"", b"\0\0\x08", b"\0\0\x0d\x01", b"\x1f\x8b\x08"]), tail=st.binary(max_size=40))
    def test_any_bytes_are_read_or_refused(self, scratch: Path, head: bytes, tail: bytes) -> None:
        scratch.write_bytes(head + tail)
        try:
            read_idx(scratch)
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


def write_folder(folder: Path, suffix: str = "", rows: int = 5) -> None:
    folder.mkdir(exist_ok=True)
    for name in FILES:
        array = numpy.arange(rows * 12).reshape(rows, 4, 3) if "images" in name else numpy.arange(rows)
        content = as_idx(array.astype(numpy.uint8))
        (folder / (name + suffix)).write_bytes(gzip.compress(content) if suffix else content)


@pytest.fixture
def no_debian(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The place of Debian's package, moved to where nothing is yet."""
    monkeypatch.setattr(fashion_mnist, "DEBIAN_FOLDER", tmp_path / "debian")
    return tmp_path / "debian"


class TestFashionMnist:
    def test_the_embedded_subset_is_balanced_and_the_same_for_ever(self, no_debian: Path) -> None:
        data = load_fashion_mnist()
        assert data.describe() == "data: embedded Fashion-MNIST subset, 4,000 training and 500 test images of 28x28x1"
        assert data.classes == CLASSES
        assert_array_equal(numpy.bincount(data.train_labels), [400] * 10)
        assert_array_equal(numpy.bincount(data.test_labels), [50] * 10)
        arrays = (data.train_images, data.train_labels, data.test_images, data.test_labels)
        content = b"".join(array.astype(numpy.uint8).tobytes() for array in arrays)
        assert hashlib.sha256(content).hexdigest() == "98d47a271c569b1020ac8fd464451c5c9de1bef641a48c3ee83b5dfb8bb0051e"

    def test_debians_full_set_comes_before_the_embedded_one(self, no_debian: Path) -> None:
        write_folder(no_debian, ".gz")
        data = load_fashion_mnist()
        assert data.describe() == f"data: Fashion-MNIST in {no_debian}, 5 training and 5 test images of 4x3x1"
        assert data.classes == CLASSES[:5], "those that occur"

    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_a_folder_of_the_user_s_own(self, tmp_path: Path, suffix: str) -> None:
        write_folder(tmp_path / "mine", suffix, rows=4)
        data = load_idx(tmp_path / "mine")
        assert data.source == str(tmp_path / "mine") and data.classes == ("0", "1", "2", "3")
        assert_array_equal(data.test_labels, [0, 1, 2, 3])
        assert_array_equal(data.train_images[..., 0], numpy.arange(48).reshape(4, 4, 3))
        assert data.train_images.dtype == numpy.uint8 and data.train_labels.dtype == numpy.int64

    def test_says_which_files_are_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError, match=f"{tmp_path} lacks {', '.join(FILES)}"):
            load_idx(tmp_path)
        write_folder(tmp_path)
        (tmp_path / "t10k-images-idx3-ubyte").unlink()
        with pytest.raises(FileNotFoundError, match="lacks t10k-images-idx3-ubyte, which"):
            load_idx(tmp_path)

    @pytest.mark.parametrize("debian", [False, True])
    def test_a_damaged_folder_is_never_passed_over(self, no_debian: Path, debian: bool) -> None:
        write_folder(no_debian, ".gz")
        (no_debian / "train-images-idx3-ubyte.gz").write_bytes(b"\x1f\x8b damaged")
        with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz"):
            load_fashion_mnist() if debian else load_idx(no_debian)

    def test_files_of_other_content_are_refused(self, tmp_path: Path) -> None:
        write_folder(tmp_path)
        (tmp_path / "train-labels-idx1-ubyte").write_bytes(as_idx(numpy.zeros(5, "float32")))
        with pytest.raises(ValueError, match=r"train-labels-idx1-ubyte holds float32 of shape \(5,\) where labels are uint8"):
            load_idx(tmp_path)
        (tmp_path / "train-images-idx3-ubyte").write_bytes(as_idx(numpy.zeros((5, 12), "uint8")))
        with pytest.raises(ValueError, match=r"train-images-idx3-ubyte holds uint8 of shape \(5, 12\) where images are uint8"):
            load_idx(tmp_path)


def dataset(**changes: object) -> ImageDataset:
    images, labels = numpy.zeros((3, 4, 5, 1), numpy.uint8), numpy.array([0, 1, 1])
    parts = dict(train_images=images, train_labels=labels, test_images=images, test_labels=labels, classes=("a", "b"), source="here")
    return ImageDataset(**(parts | changes))  # type: ignore[arg-type]


class TestImageDataset:
    def test_agreeing_parts_are_taken(self) -> None:
        assert dataset().describe() == "data: here, 3 training and 3 test images of 4x5x1"

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            (dict(train_images=numpy.zeros((3, 4, 5), numpy.uint8)), r"training images must be uint8 .*, not uint8 \(3, 4, 5\)"),
            (dict(test_images=numpy.zeros((3, 4, 5, 1))), r"test images must be uint8 .*, not float64 \(3, 4, 5, 1\)"),
            (dict(train_labels=numpy.zeros((3, 1), numpy.int64)), r"training labels must be int64 \(N,\), not int64 \(3, 1\)"),
            (dict(test_labels=numpy.zeros(3, numpy.uint8)), r"test labels must be int64 \(N,\), not uint8 \(3,\)"),
            (dict(train_labels=numpy.array([0, 1])), "3 training images but 2 labels"),
            (dict(test_images=numpy.zeros((0, 4, 5, 1), numpy.uint8)), "there are no test images, and at least one is needed"),
            (dict(test_images=numpy.zeros((3, 4, 6, 1), numpy.uint8)), "training images are 4x5x1 but test images 4x6x1"),
            (dict(test_labels=numpy.array([0, 2, 1])), "test labels run from 0 to 2, but 2 classes allow 0 to 1"),
            (dict(train_labels=numpy.array([0, -1, 1])), "training labels run from -1 to 1, but"),
        ],
    )
    def test_says_what_does_not_agree(self, changes: dict[str, object], message: str) -> None:
        with pytest.raises(ValueError, match=f"^here: {message}"):
            dataset(**changes)

    @given(count=st.integers(1, 60), n=st.integers(0, 70))
    def test_draws_test_images_without_repetition_and_always_the_same(self, count: int, n: int) -> None:
        images = numpy.arange(count, dtype=numpy.uint8).reshape(count, 1, 1, 1)
        labels = numpy.zeros(count, numpy.int64)
        data = ImageDataset(images, labels, images, labels, ("all",), "made up")
        drawn = data.draw_test_images(n)
        assert drawn.shape == (min(n, count), 1, 1, 1) and len(numpy.unique(drawn)) == len(drawn)
        assert_array_equal(drawn, data.draw_test_images(n))

    def test_draws_from_all_classes_of_sorted_test_images(self) -> None:
        images = numpy.arange(10, dtype=numpy.uint8).repeat(100).reshape(1000, 1, 1, 1)
        labels = images.ravel().astype(numpy.int64)
        data = ImageDataset(images, labels, images, labels, tuple("0123456789"), "made up")
        assert len(numpy.unique(data.draw_test_images(100))) == 10


class TestNetworkInput:
    @modest
    @given(low=st.floats(-10, 10), span=st.floats(0.1, 10), dtype=st.sampled_from(["float32", "float64"]))
    def test_to_float_is_even_and_exact_at_both_ends(self, low: float, span: float, dtype: str) -> None:
        levels = to_float(numpy.arange(256, dtype=numpy.uint8).reshape(2, 8, 16, 1), low, low + span, dtype)
        assert levels.dtype == dtype and levels.shape == (2, 8, 16, 1)
        assert levels.flat[0] == numpy.dtype(dtype).type(low) and levels.flat[255] == numpy.dtype(dtype).type(low + span)
        numpy.testing.assert_allclose(numpy.diff(levels.ravel()), span / 255, rtol=1e-2)

    @modest
    @given(images=stn.arrays(numpy.uint8, stn.array_shapes(min_dims=4, max_dims=4, max_side=5)), border=st.integers(0, 5))
    def test_pad_to_centres_on_black(self, images: numpy.ndarray, border: int) -> None:
        _, height, width, _ = images.shape
        size = max(height, width) + border
        padded = pad_to(images, size)
        assert padded.shape == (len(images), size, size, images.shape[3]) and padded.dtype == numpy.uint8
        top, left = (size - height) // 2, (size - width) // 2
        assert_array_equal(padded[:, top : top + height, left : left + width], images)
        padded[:, top : top + height, left : left + width] = 0
        assert not padded.any()

    def test_wrong_input_is_refused(self) -> None:
        images = numpy.zeros((1, 28, 20, 1), numpy.uint8)
        with pytest.raises(ValueError, match="28x20 do not fit into 27x27; --size 27 makes them smaller"):
            pad_to(images, 27)
        with pytest.raises(ValueError, match="pad_to: images must be a uint8 array, 0 to 255, not float32"):
            pad_to(images.astype(numpy.float32), 32)
        with pytest.raises(ValueError, match="to_float: images must be a uint8 array, 0 to 255, not int64"):
            to_float(images.astype(numpy.int64), -1, 1)


seeds = st.integers(0, 2**64 - 1)


def indexed_loader(size: tuple[int, int], seed: int, drop_last: bool) -> Loader:
    index = numpy.arange(size[0])
    return Loader(index[:, None] * 10.0, index, batch_size=size[1], seed=seed, drop_last=drop_last)


sizes = st.integers(1, 40).flatmap(lambda rows: st.tuples(st.just(rows), st.integers(1, rows)))
loaders = st.builds(indexed_loader, sizes, seeds, st.booleans())


class TestLoader:
    @modest
    @given(loader=loaders, number=seeds)
    def test_an_epoch_shows_each_row_once_and_keeps_rows_together(self, loader: Loader, number: int) -> None:
        whole, rest = divmod(len(loader.arrays[0]), loader.batch_size)
        batches = list(loader.epoch(number))
        lengths = [loader.batch_size] * whole + ([] if loader.drop_last or rest == 0 else [rest])
        assert [len(labels) for _, labels in batches] == lengths and len(loader) == len(lengths)
        assert len(set(numpy.concatenate([labels for _, labels in batches]))) == sum(lengths)
        for images, labels in batches:
            assert_array_equal(images, labels[:, None] * 10.0)

    @modest
    @given(loader=loaders, number=seeds, data=st.data())
    def test_resuming_inside_an_epoch_gives_the_rest_of_it(self, loader: Loader, number: int, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(loader)))
        uninterrupted = list(loader.epoch(number))[start:]
        numpy.random.seed(start)  # noqa: NPY002  the global stream must have no say
        another = Loader(*loader.arrays, batch_size=loader.batch_size, seed=loader.seed, drop_last=loader.drop_last)
        resumed = list(another.epoch(number, start))
        for expected, came in zip(uninterrupted, resumed, strict=True):
            assert_array_equal(came[1], expected[1])

    def test_every_seed_and_every_epoch_has_its_own_order(self) -> None:
        def order(seed: int, number: int) -> tuple[int, ...]:
            (batch,) = next(Loader(numpy.arange(20), batch_size=20, seed=seed).epoch(number))
            return tuple(batch.tolist())

        numbers = [0, 1, 2, 2**32, 2**63]
        assert len({order(seed, number) for seed in numbers for number in numbers}) == len(numbers) ** 2

    def test_the_order_is_the_same_on_every_machine_for_ever(self) -> None:
        (batch,) = next(Loader(numpy.arange(8), batch_size=8, seed=7).epoch(3))
        assert batch.tolist() == [2, 5, 7, 3, 0, 6, 4, 1]

    def test_a_row_comes_equally_often_at_every_place(self) -> None:
        loader = Loader(numpy.arange(4), batch_size=4, seed=1)
        orders = numpy.array([batch for number in range(4000) for (batch,) in loader.epoch(number)])
        counts = numpy.array([numpy.bincount(orders[:, place]) for place in range(4)])
        assert abs(counts - 1000).max() < 5 * numpy.sqrt(4000 * 0.25 * 0.75)

    @pytest.mark.parametrize(
        ("lengths", "batch_size", "seed", "message"),
        [
            ((4, 5), 2, 0, r"equal length, not of the lengths \[4, 5\]"),
            ((), 1, 0, r"one or more arrays .* \[\]"),
            ((4,), 5, 0, "batch_size must be 1 to 4, the number of examples, not 5"),
            ((4,), 0, 0, "batch_size must be 1 to 4, the number of examples, not 0"),
            ((4,), 2, -1, "seed must be 0 to .*, not -1"),
            ((4,), 2, 2**64, f"seed must be 0 to .*, not {2**64}"),
        ],
    )
    def test_says_what_is_wrong(self, lengths: tuple[int, ...], batch_size: int, seed: int, message: str) -> None:
        with pytest.raises(ValueError, match=f"Loader: .*{message}"):
            Loader(*map(numpy.zeros, lengths), batch_size=batch_size, seed=seed)

    def test_a_start_outside_the_epoch_is_refused_at_once(self) -> None:
        loader = Loader(numpy.zeros(7), batch_size=2, seed=0)
        for start in (-1, 4):
            with pytest.raises(ValueError, match=f"has 3 batches, so it cannot start at batch {start}"):
                loader.epoch(0, start)
        with pytest.raises(ValueError, match=r"number of an epoch must be 0 to .*, not -1"):
            loader.epoch(-1)
