# mypy: allow-untyped-defs
"""The matrices of the three convolutions, as operands of a tile.

Each convolution is a matrix product C = A B. B is stored as a matrix; A is gathered from an image:

                     m                k                n         A         B
    conv2d           pixel            tap, channel     output    from x    w
    conv2d_data      pixel            tap, output      channel   from y    w, its last axes swapped
    conv2d_weight    tap, channel     pixel            output    from x    y

A pixel is a position (image, row, column) in the grid over which the kernel slides. Along each axis
it meets a tap at pixel

    source = start + pixel*stride + tap*dilation

of the gathered image. In the flat image, A[pixel, tap] is at place(pixel) + place(tap), where
`place` counts elements. A[pixel, tap] is 0 if the source is outside along either axis. A thread's
row of A fixes one half of this sum, which the thread keeps. It steps through the other half without
divisions.

**Coalescing.** Global memory is read in sectors of 32 bytes, eight float32. When the 32 threads of
a warp read one number each, the GPU fetches every sector that one of them touches: 4 if the numbers
are neighbours, up to 32 if not. So neighbouring threads read neighbouring numbers.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import cuda, int32, uint32

from tinygen_kernels.cuda.compiler import device
from tinygen_kernels.cuda.memory import load4
from tinygen_kernels.cuda.tile import Operand, Tile

# A row index so large that it stays outside every image of fewer than 2^30 rows, padding included,
# even after a tap offset is added. Twice it is still an int32. Such reads give 0.
NOWHERE = (1 << 30) - 1


class Axis(NamedTuple):
    """The rows, or the columns, of a convolution or of pooling, for all phases (see `phase`) of a launch."""

    grid: int  # pixels of the grid
    size: int  # of the gathered image
    taps: int
    stride: int  # source = start + pixel*stride + tap*dilation
    dilation: int
    start: int
    output: int  # size of the result
    apart: int = 1  # the distance of its pixels of one phase
    phases: int = 1
    first: int = 0  # phase p = first + i*between
    between: int = 0


class Geometry(NamedTuple):
    """C is (m, n) in each phase. Block (phase*tiles + t)*pieces + i sums piece i of k for tile t of C."""

    m: int
    n: int
    k: int  # of one phase
    tiles: int
    piece: int  # the length of one
    pieces: int
    channels: int  # of the gathered image
    rows: Axis
    columns: Axis
    stacked: int  # 1 if phase p has image p to itself, instead of all images


@device
def own_phase(g):
    """The number of the phase of this block."""
    return uint32(uint32(uint32(cuda.blockIdx.x) // uint32(g.pieces)) // uint32(g.tiles))


class Half(NamedTuple):
    """One half of a gather. Its index has three digits (high, middle, low).

    radix(g) is the number of values of the middle and of the low digit. source(high, middle, low,
    g) is what the half contributes to the place, row and column.
    """

    radix: Callable[..., Any]
    source: Callable[..., Any]


@device
def digits(i, radix):
    """Index i as (high, middle, low)."""
    line = uint32(i // uint32(radix[1]))
    high = uint32(line // uint32(radix[0]))
    return int32(high), int32(line - high * radix[0]), int32(i - line * radix[1])


@device
def phase(g):
    """(image, row, column) of the phase of this block.

    Along each axis, phase p computes the pixels p % apart + i*apart and starts p // apart early. In
    the gradient with respect to the image of a strided convolution, the pixels r, r + stride, ...
    meet the same taps: every (stride / gcd(stride, dilation))-th one. So the pixels of each
    remainder r are a convolution with its own kernel, which slides over y in steps of one. Nothing
    is multiplied by zeros between the pixels of y, and no two threads write to the same pixel.
    """
    number = own_phase(g)
    row = uint32(number // uint32(g.columns.phases))
    column = uint32(number - row * g.columns.phases)
    return int32(number * g.stacked), uint32(g.rows.first + row * g.rows.between), uint32(g.columns.first + column * g.columns.between)


@device
def pixel_radix(g):
    return g.rows.grid, g.columns.grid


@device
def pixel_source(image, row, column, g):
    row = int32(g.rows.start + row * g.rows.stride)
    column = int32(g.columns.start + column * g.columns.stride)
    return int32(((image * g.rows.size + row) * g.columns.size + column) * g.channels), row, column


@device
def phase_source(image, row, column, g):
    own_image, down, right = phase(g)
    row, column = int32(row - down // uint32(g.rows.apart)), int32(column - right // uint32(g.columns.apart))
    return pixel_source(int32(image + own_image), row, column, g)


@device
def tap_radix(g):
    return g.columns.taps, g.channels


@device
def tap_source(row, column, channel, g):
    row, column = int32(row * g.rows.dilation), int32(column * g.columns.dilation)
    return int32((row * g.columns.size + column) * g.channels + channel), row, column


PIXEL, PHASE, TAP = Half(pixel_radix, pixel_source), Half(pixel_radix, phase_source), Half(tap_radix, tap_source)


@device
def place_of_pixel(m, g):
    """The index at which pixel m of the phase begins in the result, or -1 if it has no pixel m."""
    image, row, column = digits(uint32(m), pixel_radix(g))
    own_image, down, right = phase(g)
    row = int32(row * g.rows.apart + down % uint32(g.rows.apart))
    column = int32(column * g.columns.apart + right % uint32(g.columns.apart))
    place = int32((((image + own_image) * g.rows.output + row) * g.columns.output + column) * g.n)
    return place if row < g.rows.output and column < g.columns.output else int32(-1)


@device
def place_of_sum(m, g):
    """The index at which row m of a weight begins."""
    return int32(m * g.n)


def pixels_by_taps(tile: Tile, dtype: Any, width: int) -> Operand:
    """A[m, k] with m a pixel and k = (tap row, tap column, channel), both counted within a phase.

    Neighbouring threads read neighbouring channels of one pixel. `depth` channels are 32 or 64
    bytes, which are whole sectors.
    """
    return _gathered(tile, dtype, width, PHASE, TAP, True)


def taps_by_pixels(tile: Tile, dtype: Any, width: int) -> Operand:
    """A[m, k] with m = (tap row, tap column, channel) and k a pixel.

    Neighbouring threads read neighbouring channels of one pixel, then those at the next tap.
    """
    return _gathered(tile, dtype, width, TAP, PIXEL, False)


def matrix(tile: Tile, dtype: Any, width: int) -> Operand:
    """B[k, n], row-major, one for each phase.

    Neighbouring threads read neighbouring columns, 64 bytes or more. These are whole sectors if 8
    divides n.
    """
    mine, step, passes, put = _share(tile, tile.columns, tile.pitches[1], width, False)
    read, depth = _reader(width, dtype), tile.depth
    LEFT, PLACE, COLUMNS = 0, 1, 2

    @device
    def start(state, first, k0, k1, g):
        k, n = mine()
        state[LEFT] = int32(k1 - k0 - k)
        state[PLACE] = int32((int32(own_phase(g) * g.k) + k0 + k) * g.n + first + n)
        state[COLUMNS] = int32(g.n - first - n)

    @device
    def fetch(array, state, out, g):
        for p in range(passes):
            inside = state[LEFT] > 0 and state[COLUMNS] > p * step
            read(array, int32(state[PLACE] + p * step), inside, out, p * width)
        state[LEFT] = int32(state[LEFT] - depth)
        state[PLACE] = int32(state[PLACE] + depth * g.n)

    return Operand(3, passes * width, start, fetch, put)


def _gathered(tile: Tile, dtype: Any, width: int, fixed: Half, moving: Half, transposed: bool) -> Operand:
    """A[m, k] = image[place(m) + place(k)].

    The state is the rest of k, the digits of k, and the place, row and column of each m.
    """
    mine, step, passes, put = _share(tile, tile.rows, tile.pitches[0], width, transposed)
    read, depth = _reader(width, dtype), tile.depth
    fixed_radix, fixed_source = fixed
    moving_radix, moving_source = moving
    LEFT, HIGH, MIDDLE, LOW, FIXED = 0, 1, 2, 3, 4

    @device
    def start(state, first, k0, k1, g):
        k, m = mine()
        for p in range(passes):
            high, middle, low = digits(uint32(first + m + p * step), fixed_radix(g))
            place, row, column = fixed_source(high, middle, low, g)
            state[FIXED + 3 * p] = place
            state[FIXED + 3 * p + 1] = row if uint32(first + m + p * step) < uint32(g.m) else int32(NOWHERE)
            state[FIXED + 3 * p + 2] = column
        state[LEFT] = int32(k1 - k0 - k)
        state[HIGH], state[MIDDLE], state[LOW] = digits(uint32(k0 + k), moving_radix(g))

    @device
    def fetch(array, state, out, g):
        place, row, column = moving_source(state[HIGH], state[MIDDLE], state[LOW], g)
        row = row if state[LEFT] > 0 else int32(NOWHERE)
        for p in range(passes):
            # Rows above the image and columns left of it are negative: as unsigned numbers, very
            # large.
            source_row, source_column = uint32(int32(state[FIXED + 3 * p + 1] + row)), uint32(int32(state[FIXED + 3 * p + 2] + column))
            inside = source_row < uint32(g.rows.size) and source_column < uint32(g.columns.size)
            read(array, int32(state[FIXED + 3 * p] + place), inside, out, p * width)
        middle, low = moving_radix(g)
        state[LEFT] = int32(state[LEFT] - depth)
        state[LOW] = int32(state[LOW] + depth)
        while state[LOW] >= low:
            state[LOW] = int32(state[LOW] - low)
            state[MIDDLE] = int32(state[MIDDLE] + 1)
            if state[MIDDLE] == middle:
                state[MIDDLE] = int32(0)
                state[HIGH] = int32(state[HIGH] + 1)

    return Operand(FIXED + 3 * passes, passes * width, start, fetch, put)


def _share(tile: Tile, length: int, pitch: int, width: int, transposed: bool) -> Any:
    """How threads share a slab (depth, length): (mine, step, passes, put).

    mine() is the k and the index of a thread's first number; its next numbers are `step` further.
    Neighbouring threads take neighbours along the slab or, if it is a transposed copy, along k. put
    is that of an `Operand`.
    """
    lanes = tile.depth // width if transposed else tile.threads // tile.depth
    step = tile.threads // lanes if transposed else lanes * width
    passes, v_step = length // step, pitch if transposed else 1

    @device
    def mine():
        thread = uint32(cuda.threadIdx.x)
        major, minor = int32(thread // uint32(lanes)), int32(thread % uint32(lanes) * uint32(width))
        if transposed:
            return minor, major
        return major, minor

    @device
    def put(shared, slab, out):
        k, place = mine()
        to = uint32(slab + uint32(k * pitch + place))
        for p in range(passes):
            for v in range(width):
                shared[uint32(to + uint32(p * step + v * v_step))] = out[p * width + v]

    return mine, step, passes, put


def _reader(width: int, dtype: Any) -> Any:
    """A function that copies one or four elements from array[i] to out[at], or 0 if not inside."""

    @device
    def read(array, i, inside, out, at):
        for v in range(width):
            out[at + v] = dtype(0)
        if inside:
            if width == 4:
                out[at], out[at + 1], out[at + 2], out[at + 3] = load4(array, uint32(i))
            else:
                out[at] = array[uint32(i)]

    return read
