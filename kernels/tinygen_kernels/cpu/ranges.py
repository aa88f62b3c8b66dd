"""How the output pixels of an image are divided into ranges, for the plans of `plan.py`.

Most ranges of a large image are alike: they read the same pattern of places, shifted. Such ranges
are of one *kind*. A plan describes each kind once, and each range by its kind and where it starts.
Rows and columns are divided separately, so the table of a whole image is never computed.
"""

from typing import NamedTuple

import numpy

from tinygen_kernels import Array


class Ranges(NamedTuple):
    """Positions count elements: in the result from its start, in the images that are read likewise.

    kinds:  for each kind an array with a row for each output pixel: its position, then the position
            that it reads from at each tap, or a negative number outside the image. Both are
            relative to the start of the range.
    kind:   the kind of each range.
    starts: (position in the result, position in the image) of each range.
    """

    kinds: list[Array]
    kind: Array
    starts: Array


def ranges(rows: Array, columns: Array, width: int, about: int, outputs: int, channels: int) -> Ranges:
    """Divide an image, whose source tables these are, into ranges of about so many pixels.

    A range is some whole rows or, in a very wide image, a part of one row. The image that is read
    is `width` pixels wide. A pixel has `outputs` elements in the result, and `channels` in the
    image.
    """
    row_kinds, row_kind, row_starts = _along(rows, max(1, round(about / len(columns))))
    column_kinds, column_kind, column_starts = _along(columns, about)
    widths, elements = numpy.array([len(columns), width]), numpy.array([outputs, channels])
    kinds = []
    for down in row_kinds:
        for across in column_kinds:
            pixel = numpy.arange(len(down))[:, None] * len(columns) + numpy.arange(len(across))
            read = down[:, None, :, None] * width + across[:, None]
            read[(down < 0)[:, None, :, None] | (across < 0)[:, None]] = -1
            kinds.append(numpy.column_stack([pixel.ravel() * outputs, read.reshape(pixel.size, -1) * channels]))
    kind = (row_kind[:, None] * len(column_kinds) + column_kind).ravel()
    return Ranges(kinds, kind, ((row_starts[:, None] * widths + column_starts) * elements).reshape(-1, 2))


def of_images(kind: Array, images: int, result_size: int, image_size: int) -> Array:
    """The rows of a kind for several images, which are one range. The sizes count elements."""
    step = numpy.where(numpy.arange(kind.shape[1]) == 0, result_size, image_size)
    return numpy.where(kind < 0, -1, kind + numpy.arange(images)[:, None, None] * step).reshape(-1, kind.shape[1])


def _along(source: Array, about: int) -> tuple[list[Array], Array, Array]:
    """Divide the rows or columns of an image into nearly equal ranges of about so many.

    Returns the source table of each kind of range, relative to the first row that it reads; the
    kind of each range; and its first row of the result and of the image.
    """
    count = max(1, round(len(source) / about))
    bounds = numpy.arange(count + 1) * len(source) // count
    index = bounds[:-1, None] + numpy.arange(numpy.diff(bounds).max())
    tables = source[numpy.minimum(index, len(source) - 1)]
    tables[index >= bounds[1:, None]] = -2  # a range may be one shorter than the longest
    read = numpy.where(tables < 0, tables.max(), tables).min(axis=(1, 2))
    tables = numpy.where(tables < 0, tables, tables - read[:, None, None])
    as_bytes = tables.reshape(count, -1).view(f"V{tables[0].nbytes}").ravel()  # each range as one value
    _, first, kind = numpy.unique(as_bytes, return_index=True, return_inverse=True)
    return [table[table[:, 0] > -2] for table in tables[first]], kind, numpy.column_stack([bounds[:-1], read])
