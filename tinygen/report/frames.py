"""Pictures for a page that must stay small: WebP files in `data:` addresses, within a budget of bytes."""

import base64
import io
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numpy

from tinygen.command_line import UsageError

if TYPE_CHECKING:
    from PIL.Image import Image

Key = TypeVar("Key")

LONGEST = 1200  # pixels of a side
MOST = 200  # frames of a film
QUALITIES = (None, 90, 75, 50)  # of WebP, from the best on; None is lossless


def frames(pictures: Mapping[Key, Path], budget: int) -> dict[Key, str]:
    """The addresses of the pictures, by their keys.

    All have the best quality with which they take `budget` characters together. If even the lowest
    does not suffice, the first, the last and as many as possible between them are kept.

    Raises UsageError if a picture cannot be read.
    """
    keys = _spread(list(pictures), MOST)
    if not keys:
        return {}
    probes = [load(pictures[key]) for key in {keys[0], keys[len(keys) // 2], keys[-1]}]
    for quality in QUALITIES:
        largest = max(len(address(probe, quality)) for probe in probes)
        if largest * len(keys) <= budget:
            break
    keys = _spread(keys, max(1, budget // largest))
    addresses = {key: address(load(pictures[key]), quality) for key in keys}
    while sum(map(len, addresses.values())) > budget and len(addresses) > 1:
        addresses = {key: addresses[key] for key in _spread(list(addresses), len(addresses) - 1)}
    return addresses


def _spread(keys: list[Key], count: int) -> list[Key]:
    """At most `count` of the keys, evenly spread; the last one is among them."""
    if len(keys) <= count:
        return keys
    chosen = numpy.linspace(len(keys) - 1, 0, count).round().astype(int)
    return [keys[i] for i in sorted(set(chosen.tolist()))]


def load(path: Path) -> "Image":
    """A picture in the fewest pixels: pixels that are drawn as blocks of NxN are taken once.

    Raises UsageError if it cannot be read.
    """
    from PIL import Image

    try:
        with Image.open(path) as file:
            picture = file.convert("L" if file.mode in ("1", "L") else "RGB")
    except Exception as error:  # Pillow's readers raise anything for damaged files
        raise UsageError(f"{path} is not a readable picture: {error}") from error
    pixels = numpy.asarray(picture)
    for n in (4, 3, 2):
        small = pixels[::n, ::n]
        if not any(side % n for side in pixels.shape[:2]) and numpy.array_equal(small.repeat(n, axis=0).repeat(n, axis=1), pixels):
            picture = Image.fromarray(small)
            break
    picture.thumbnail((LONGEST, LONGEST))
    return picture


def address(picture: "Image", quality: int | None) -> str:
    """The picture as a `data:` address."""
    file = io.BytesIO()
    if quality is None:
        picture.save(file, "WEBP", lossless=True)
    else:
        picture.save(file, "WEBP", quality=quality)
    return f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"
