"""Damaged images, and such as ask for more memory than they are worth, are right or refused in one sentence."""

import gzip
import io
import lzma
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
from numpy.testing import assert_array_equal
from PIL import Image, features

from tinygen.command_line import UsageError
from tinygen.data import load_image_folder, load_images, load_npz, read_idx

MEGABYTE = 2**20


@pytest.fixture
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5 * MEGABYTE


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.usefixtures("little_memory")
def test_more_than_a_header_promises_is_not_read(tmp_path: Path, zipped: bool) -> None:
    with (gzip.open if zipped else open)(tmp_path / "images", "wb") as file:
        file.write(b"\0\0\x08\x03" + struct.pack(">III", 2, 3, 4))
        for _ in range(50):
            file.write(bytes(MEGABYTE))
    with pytest.raises(UsageError, match=r"images holds more than 24 bytes of data where its header, \(2, 3, 4\) of uint8, promises 24$"):
        read_idx(tmp_path / "images")


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.usefixtures("little_memory")
def test_no_memory_is_taken_for_a_promise(tmp_path: Path, zipped: bool) -> None:
    with (gzip.open if zipped else open)(tmp_path / "images", "wb") as file:
        file.write(b"\0\0\x08\x03" + struct.pack(">III", 2**12, 2**14, 2**14) + b"some")
    with pytest.raises(UsageError, match=r"images holds 4 bytes of data where its header, .*, promises 1099511627776$"):
        read_idx(tmp_path / "images")


def write_member(path: Path, header: str, content: bytes = b"", how: int = zipfile.ZIP_STORED) -> None:
    """An .npz file whose train_images have this header."""
    stored = io.BytesIO()
    numpy.lib.format.write_array_header_1_0(stored, {"descr": "|u1", "fortran_order": False, "shape": ()})
    header = header.ljust(117) + "\n"
    with zipfile.ZipFile(path, "w", how) as file:
        file.writestr("train_images.npy", stored.getvalue()[:8] + struct.pack("<H", len(header)) + header.encode() + content)


@pytest.mark.parametrize(
    ("descr", "shape", "message"),
    [
        ("'|u1'", f"({2**40},)", "train_images holds 4 bytes of data where its header, .* promises 1099511627776$"),
        ("'<U0'", f"({2**40},)", "train_images holds "),
        ("'<f8'", f"({2**40}, {2**40})", "train_images holds 4 bytes of data where its header, .* promises "),
        ("'|u1'", "(-4,)", "train_images holds "),
        ("'|u1'", "(-2, -2)", "train_images holds the shape .*, which is beyond NumPy: "),
        ("'|u1'", "(4," + "1," * 70 + ")", "train_images holds the shape .*, which is beyond NumPy: "),
        ("()", "(4,)", "."),
        ("'|O'", "(4,)", "train_images holds Python objects, which would have to be unpickled$"),
    ],
)
@pytest.mark.usefixtures("little_memory")
def test_headers_that_promise_what_is_not_there(tmp_path: Path, descr: str, shape: str, message: str) -> None:
    write_member(tmp_path / "set.npz", f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}", b"1234")
    with pytest.raises(UsageError, match=rf"set\.npz is not a readable \.npz file: {message}"):
        load_npz(tmp_path / "set.npz")


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_each_way_of_packing_that_is_damaged(tmp_path: Path, how: int) -> None:
    write_member(tmp_path / "set.npz", "{'descr': '|u1', 'fortran_order': False, 'shape': (4, 4), }", bytes(16), how)
    content = (tmp_path / "set.npz").read_bytes()
    for i in range(50, 100, 3):
        (tmp_path / "set.npz").write_bytes(content[:i] + bytes([content[i] ^ 255]) + content[i + 1 :])
        with pytest.raises(UsageError, match=r"set\.npz (is not a readable|lacks)"):
            load_npz(tmp_path / "set.npz")
    assert issubclass(lzma.LZMAError, Exception) and not issubclass(lzma.LZMAError, OSError | ValueError)


def png(pixels: numpy.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


PIXELS = numpy.random.default_rng(0).integers(0, 256, (5, 6, 3), dtype=numpy.uint8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten images, the first of which a test may overwrite."""
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(10):
        (folder / f"{i}.png").write_bytes(png(PIXELS))
    return folder


def test_a_png_with_a_flipped_bit_never_gives_other_pixels(tmp_path: Path) -> None:
    """Any one bit. Smooth images pack so well that a flipped bit may unpack, and no row is missing."""
    pixels = numpy.add.outer(numpy.arange(28), numpy.arange(28)).astype(numpy.uint8)
    content = png(pixels)
    for part in ("train", "test"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "0.png").write_bytes(content)
    refused = 0
    for i in range(8 * len(content)):
        (tmp_path / "train" / "0.png").write_bytes(content[: i // 8] + bytes([content[i // 8] ^ 1 << i % 8]) + content[i // 8 + 1 :])
        try:
            images = load_image_folder(tmp_path).train_images
        except UsageError as error:
            assert "train/0.png" in str(error) and "\n" not in str(error)
            refused += 1
        else:
            assert_array_equal(images[0, ..., 0], pixels)
    assert refused > 7 * len(content)


def png_of_16_bits(kind: int, channels: int) -> bytes:
    """Pillow writes none in colour."""
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 4, 4, 16, kind, 0, 0, 0)),
        (b"IDAT", zlib.compress((b"\0" + bytes(8 * channels)) * 4)),
        (b"IEND", b""),
    ]
    packed = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


@pytest.mark.parametrize(
    ("content", "mode"),
    [
        (png_of_16_bits(0, 1), "I;16"),
        (png_of_16_bits(2, 3), "RGB;16"),
        (png_of_16_bits(6, 4), "RGBA;16"),
        (b"P6 4 4 65535\n" + bytes(96), "RGB;16"),
    ],
    ids=["grey", "colour", "transparent", "PPM"],
)
def test_more_than_eight_bits_are_not_cut(folder: Path, content: bytes, mode: str) -> None:
    (folder / "0.png").write_bytes(content)
    with pytest.raises(UsageError, match=f"0.png has pixels of Pillow's mode {mode}, and only those of 8 bits per channel can be read"):
        load_image_folder(folder)


@pytest.mark.parametrize("suffix", ["PPM", "BMP", "TIFF"])
def test_no_memory_is_taken_for_pixels_that_are_not_there(folder: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    Image.fromarray(numpy.zeros((5, 6, 3), numpy.uint8)).save(file, suffix)
    content = file.getvalue().replace(b"P6\n6 5\n", b"P6\n9000 9000\n").replace(struct.pack("<II", 6, 5), struct.pack("<II", 9000, 9000))
    for tag in (256, 257):  # TIFF's width and height
        content = content.replace(struct.pack("<HHII", tag, 4, 1, 262 - tag), struct.pack("<HHII", tag, 4, 1, 9000))
    (folder / "0.png").write_bytes(content)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("its memory was taken"))
    with pytest.raises(UsageError, match=r"0\.png is not a readable image: its \d+ bytes cannot hold 9000x9000 pixels$"):
        load_image_folder(folder)


@pytest.mark.parametrize("suffix", ["PNG", "WEBP", "AVIF", "GIF", "TIFF"])
def test_a_packed_picture_may_be_much_larger_than_its_file(tmp_path: Path, suffix: str) -> None:
    if suffix == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    for i in range(10):
        Image.new("RGB", (200, 200)).save(tmp_path / f"{i}.png", suffix, **({"compression": "tiff_lzw"} if suffix == "TIFF" else {}))
    assert load_image_folder(tmp_path).train_images.shape[1:] == (200, 200, 3)


def test_a_link_without_a_target_is_named(tmp_path: Path) -> None:
    for i in range(10):
        (tmp_path / f"{i}.png").write_bytes(png(PIXELS))
    (tmp_path / "5.png").unlink()
    (tmp_path / "5.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(UsageError, match=r"5\.png is not a readable image: .*No such file"):
        load_images(tmp_path)


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its contents are invisible, even whether there are images."""
    (tmp_path / "cats").mkdir()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UsageError, match=r"it holds cats/ \(permission to read is missing for cats\)$"):
        load_images(tmp_path)
