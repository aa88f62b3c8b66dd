"""How long the GPU's convolutions should take, worked out on paper. It is a prediction: `bench --device cuda` tests it.

A convolution is one or a few matrix products (`cuda.products`). Three things take their time, and
the longest one counts:

    issue    A multiprocessor issues 128 multiply-adds at a time (64 on some), at best. Of what the innermost loop of a tile issues, a
             share are multiply-adds (`bench --ptx`). Blocks multiply whole tiles, those beyond the
             edges of C and of k, too. The multiprocessor with most blocks is the last to finish,
             and one with fewer blocks than `Tile.wanted` waits for its operands, by assumption in
             proportion.
    memory   Each array passes once between memory and chip; partial sums pass twice.
    start    3 us for each launch.

Batch 64 of the layers of the DCGAN, and 16 images of 64x64 with 64 channels, in us, on an H100 and
then on an RTX 4090; "bound" is what no kernel can beat there, "paper" the prediction, "t" a
transposed convolution:

                                            GFLOP    MB  issue  memory  bound  paper  of peak  issue  memory  bound  paper  of peak
    64,32,32,1->64 k4 s2 psame     forward   0.03   4.5      1       1      1      4      12%      1       4      4      7       5%
    64,32,32,1->64 k4 s2 psame        data   0.03   4.5     22       1      1     25       2%     18       4      4     21       2%
    64,32,32,1->64 k4 s2 psame      weight   0.03   4.5     21       2      1     24       2%     17       7      4     20       2%
    64,16,16,64->128 k4 s2 psame   forward   1.07   6.8     21       7     16     24      66%     17      23     13     26      49%
    64,16,16,64->128 k4 s2 psame      data   1.07   6.8     21       7     16     24      66%     16      23     13     26      49%
    64,16,16,64->128 k4 s2 psame    weight   1.07   6.8     21       7     16     24      66%     17      23     13     26      49%
    64,4,4,256->128 k4 s2 psame t  forward   1.07   5.2     21       7     16     24      66%     17      22     13     25      52%
    64,4,4,256->128 k4 s2 psame t     data   1.07   5.2     21       7     16     24      66%     17      22     13     25      52%
    64,4,4,256->128 k4 s2 psame t   weight   1.07   5.2     21       7     16     24      66%     17      22     13     25      52%
    64,8,8,128->64 k4 s2 psame t   forward   1.07   6.8     21       7     16     24      66%     16      23     13     26      49%
    64,8,8,128->64 k4 s2 psame t      data   1.07   6.8     21       7     16     24      66%     17      23     13     26      49%
    64,8,8,128->64 k4 s2 psame t    weight   1.07   6.8     21       7     16     24      66%     17      23     13     26      49%
    64,16,16,64->1 k4 s2 psame t   forward   0.03   4.5     22       1      1     25       2%     18       4      4     21       2%
    64,16,16,64->1 k4 s2 psame t      data   0.03   4.5      1       1      1      4      12%      1       4      4      7       5%
    64,16,16,64->1 k4 s2 psame t    weight   0.03   4.5     21       2      1     24       2%     17       7      4     20       2%
    16,64,64,64->64 k3 s1 psame    forward   4.83  33.7     90      10     72     93      78%     70      33     58     73      80%
    16,64,64,64->64 k3 s1 psame       data   4.83  33.7     90      10     72     93      78%     70      33     58     73      80%
    16,64,64,64->64 k3 s1 psame     weight   4.83  33.7     98      15     72    101      71%     79      50     58     82      71%
"""

from dataclasses import dataclass

from tinygen_kernels.cuda.products import Product, phases, product_of, sliding
from tinygen_kernels.cuda.tile import LARGE, NARROW, SMALL, TALL

from tinygen.bench.layers import DIRECTIONS, Direction, Layer
from tinygen.bench.protocol import table

_START = 3e-6
_MULTIPLICATIONS = {LARGE: 0.88, TALL: 0.83, SMALL: 0.78, NARROW: 0.74}  # of what the inner loop issues


@dataclass(frozen=True)
class GPU:
    """By its data sheet: multiprocessors, 10^12 float32 operations a second with a multiply-add as two, 10^12 bytes a second."""

    name: str
    processors: int
    teraflops: float
    terabytes: float


def this_gpu() -> GPU:
    """The current one, by what its driver tells; the lanes of a multiprocessor by its generation (CUDA C++ Programming Guide)."""
    import cupy

    device = cupy.cuda.Device()
    of = device.attributes
    lanes = 64 if device.compute_capability in ("70", "75", "80") else 128
    teraflops = 2 * lanes * of["MultiProcessorCount"] * of["ClockRate"] * 1e3 / 1e12  # kHz
    terabytes = 2 * of["MemoryClockRate"] * 1e3 * of["GlobalMemoryBusWidth"] / 8 / 1e12  # kHz, twice a cycle; bits
    return GPU(str(device), of["MultiProcessorCount"], teraflops, terabytes)


H100, RTX_4090 = GPU("H100", 132, 67.0, 3.35), GPU("RTX 4090", 128, 82.6, 1.008)

LAYERS = [
    Layer(64, (32, 32), 1, 64, 4, 2, "same"),
    Layer(64, (16, 16), 64, 128, 4, 2, "same"),
    Layer(64, (4, 4), 256, 128, 4, 2, "same", transposed=True),
    Layer(64, (8, 8), 128, 64, 4, 2, "same", transposed=True),
    Layer(64, (16, 16), 64, 1, 4, 2, "same", transposed=True),
    Layer(16, (64, 64), 64, 64, 3, 1, "same"),
]


@dataclass(frozen=True)
class Prediction:
    """Seconds. bound: the larger of all operations at the peak and all bytes at the full bandwidth."""

    issue: float
    memory: float
    launches: int
    bound: float

    @property
    def seconds(self) -> float:
        return max(self.issue, self.memory) + self.launches * _START


def predict(layer: Layer, direction: Direction, gpu: GPU) -> Prediction:
    """One direction of a layer in float32."""
    products = _products(layer, direction, gpu.processors)
    partial = 2 * 4 * sum(product.partial for product in products)
    memory = (layer.bytes("float32") + partial) / (gpu.terabytes * 1e12)
    bound = max(layer.flops() / (gpu.teraflops * 1e12), layer.bytes("float32") / (gpu.terabytes * 1e12))
    return Prediction(sum(_issue(product, gpu) for product in products), memory, len(products), bound)


def _products(layer: Layer, direction: Direction, processors: int) -> list[Product]:
    """Those that the launcher would run."""
    c = layer.convolution()
    window = c.kernel_size, c.stride, c.padding, (1, 1)
    if direction != "weight" and (direction == "forward") == layer.transposed:
        launches = phases(c.size, c.output, *window)
        return [product_of(layer.images, c.outputs, c.channels, axes, "float32", processors, False) for *_, axes in launches]
    return [product_of(layer.images, c.channels, c.outputs, sliding(c.size, *window), "float32", processors, direction == "weight")]


def _issue(product: Product, gpu: GPU) -> float:
    """The seconds of the multiprocessor that has most blocks."""
    tile, g = product.tile, product.geometry
    most = -(-product.blocks // gpu.processors)
    flops = 2 * tile.rows * tile.columns * -(-g.piece // tile.depth) * tile.depth
    return most * flops / (gpu.teraflops * 1e12 / gpu.processors * _MULTIPLICATIONS[tile] * min(1.0, most / tile.wanted))


def paper() -> list[str]:
    """The table above."""
    columns = ("issue", "memory", "bound", "paper", "of peak")
    rows: list[tuple[str, ...]] = [("", "", "GFLOP", "MB", *columns, *columns)]
    for layer in LAYERS:
        for direction in DIRECTIONS:
            name, size = str(layer).replace(" transposed", " t"), layer.bytes("float32")
            row: tuple[str, ...] = name, direction, f"{layer.flops() / 1e9:.2f}", f"{size / 1e6:.1f}"
            for gpu in (H100, RTX_4090):
                p = predict(layer, direction, gpu)
                times = (f"{seconds * 1e6:.0f}" for seconds in (p.issue, p.memory, p.bound, p.seconds))
                row += (*times, f"{layer.flops() / p.seconds / gpu.teraflops / 1e12:.0%}")
            rows.append(row)
    return table(rows)
