"""The kernels for NumPy arrays, compiled by Numba. `tinygen_kernels.reference` defines each one.

Read `conv.py` for the idea, `plan.py` for the table and the words, `simd.py` for the tile, then
`weight.py`, `ranges.py`, `panels.py` and `products.py`. For fewer multiplications in kernels of 3x3
and of 4x4 with stride 2, read `winograd_matrices.py`, `winograd.py`, `winograd_tiles.py` and
`winograd_weight.py`. `vector.py`, `parallel.py`, `team.py`, `atomic.py`, `compiled.py`, `cache.py`,
`ahead.py` and `memory.py` explain what these use. `elementwise.py`, `norm.py` and
`pool.py` can be read on their own.
"""

from tinygen_kernels.cpu.conv import conv2d, conv2d_data, conv2d_weight
from tinygen_kernels.cpu.elementwise import (
    adam,
    binary_cross_entropy,
    binary_cross_entropy_backward,
    blend,
    dropout,
    leaky_relu,
    leaky_relu_backward,
    sigmoid,
    softplus,
    tanh_backward,
)
from tinygen_kernels.cpu.norm import (
    batch_norm,
    batch_norm_backward,
    bias_leaky_relu_backward,
    column_sums,
    group_norm,
    group_norm_backward,
    minibatch_deviation,
    minibatch_deviation_backward,
)
from tinygen_kernels.cpu.pool import avg_pool2d, avg_pool2d_data, max_pool2d, max_pool2d_gather, max_pool2d_scatter
from tinygen_kernels.cpu.products import matmul
