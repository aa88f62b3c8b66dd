# mypy: allow-untyped-defs
"""The matrices of the three convolutions, as operands of a tile.

Read as a matrix product C = A B, where B always lies in memory as a matrix and A is gathered from an image:

                     m                k                n         A         B
    conv2d           pixel            tap, channel     output    from x    w
    conv2d_data      pixel            tap, output      channel   from g    w, its last axes swapped
    conv2d_weight    tap, channel     pixel            output    from x    g

A pixel is a place (image, row, column) of the grid over which the kernel slides. Along each axis it meets a tap at

    source = start + pixel*stride + tap*dilation

of the gathered image. In the flat image, A[pixel, tap] lies at place(pixel) + place(tap); it is 0 unless both sources are inside. A
thread keeps one of the two, the half that its row of A fixes, and steps through the other without a division.

**Coalescing.** Global memory is read in sectors of 32 bytes, eight float32. When the 32 threads of a warp read a number each, the GPU
fetches every sector that one of them touches: 4 if they are neighbours, up to 32 if not. So threads side by side read side by side.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from numba import cuda, int32, uint32

from tinygen_kernels.cuda.launch import device
from tinygen_kernels.cuda.memory import load4
from tinygen_kernels.cuda.tile import Operand, Tile, own_piece

NOWHERE = 1 << 29  # a row that no image has, nor has any row that is a step away: what is read there is 0


class Axis(NamedTuple):
    """The rows, or the columns, of a convolution, for all phases (see `phase`) of a launch."""

    grid: int  # pixels of the grid
    size: int  # of the gathered image
    taps: int
    stride: int  # source = start + pixel*stride + tap*dilation
    dilation: int
    start: int
    made: int  # size of the image that is made
    apart: int = 1  # its pixels of one phase lie so far apart
    phases: int = 1
    first: int = 0  # phase p = first + i*between
    between: int = 0


class Geometry(NamedTuple):
    """C is (m, n), in each phase. The blocks with z = phase*pieces + i add up the i-th piece of k, for the i-th plane of partial sums."""

    m: int
    n: int
    k: int  # of one phase
    piece: int  # its length
    pieces: int
    plane: int  # elements from one to the next
    channels: int  # of the gathered image
    rows: Axis
    columns: Axis


@device
def own_phase(g):
    """The number of this block's phase."""
    return uint32(uint32(cuda.blockIdx.z) // uint32(g.pieces))


class Half(NamedTuple):
    """One half of a gather. Its index counts (high, middle, low); radix(g) is the number of middle and of low ones.

    source(high, middle, low, g) is the place, row and column that it contributes.
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
    """(row, column) of this block's phase p: it makes the pixels p % apart + i*apart and starts p // apart early.

    In the gradient to the image of a strided convolution the pixels r, r + stride, ... meet the same taps, every (stride / gcd(stride,
    dilation))-th one. So each remainder r is a convolution with a kernel of its own that slides over g in steps of one: nothing is
    multiplied by zeros between the pixels of g, and no two threads write to the same pixel.
    """
    number = own_phase(g)
    row = uint32(number // uint32(g.columns.phases))
    column = uint32(number - row * g.columns.phases)
    return uint32(g.rows.first + row * g.rows.between), uint32(g.columns.first + column * g.columns.between)


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
    down, right = phase(g)
    row = int32(g.rows.start - int32(down // uint32(g.rows.apart)) + row * g.rows.stride)
    column = int32(g.columns.start - int32(right // uint32(g.columns.apart)) + column * g.columns.stride)
    return int32(((image * g.rows.size + row) * g.columns.size + column) * g.channels), row, column


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
    """Where pixel m of the phase begins in the image that is made; -1 if that has no such pixel."""
    image, row, column = digits(uint32(m), pixel_radix(g))
    down, right = phase(g)
    row = int32(row * g.rows.apart + down % uint32(g.rows.apart))
    column = int32(column * g.columns.apart + right % uint32(g.columns.apart))
    place = int32(own_piece(g) * g.plane + ((image * g.rows.made + row) * g.columns.made + column) * g.n)
    return place if row < g.rows.made and column < g.columns.made else int32(-1)


@device
def place_of_sum(m, g):
    """Where row m of the piece's partial sums begins."""
    return int32(own_piece(g) * g.plane + m * g.n)


def pixels_by_taps(tile: Tile, dtype: Any, width: int) -> Operand:
    """A[m, k], m a pixel and k = (tap row, tap column, channel), counted anew in every phase.

    Neighbouring threads read neighbouring channels of one pixel: `depth` of them are 32 or 64 bytes, whole sectors.
    """
    return _gathered(tile, dtype, width, PHASE, TAP, True)


def taps_by_pixels(tile: Tile, dtype: Any, width: int) -> Operand:
    """A[m, k], m = (tap row, tap column, channel) and k a pixel.

    Neighbouring threads read neighbouring channels of one pixel, as many as it has, then those of the next tap.
    """
    return _gathered(tile, dtype, width, TAP, PIXEL, False)


def matrix(tile: Tile, dtype: Any, width: int) -> Operand:
    """B[k, n], row-major, one for each phase.

    Neighbouring threads read neighbouring columns, 64 bytes and more, whole sectors where 8 divides n.
    """
    mine, step, passes, put = _share(tile, tile.columns, tile.columns, width, False)
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
    """A[m, k] = image[place(m) + place(k)]. The state: how much of k is left, the digits of k, and three numbers for each m."""
    mine, step, passes, put = _share(tile, tile.rows, tile.pitch, width, transposed)
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
            # As unsigned numbers, what lies above or left of the image is far beyond its end.
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
    """How threads share a slab of (depth, length): mine() is the k and the place of the first number, the next are `step` further.

    Neighbouring threads take neighbours along the slab, or, where it is a transposed copy, along k. put is that of an `Operand`.
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
    """out[at], ... = array[i], ..., one or four of them, or 0 where they are not inside the matrix."""

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
