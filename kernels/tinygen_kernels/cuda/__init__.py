"""The kernels for CuPy arrays, compiled by Numba for CUDA.

`tinygen_kernels.reference` defines each of them. For convolutions, read `tile.py`, `operands.py`,
`products.py` and `conv.py` in this order; `ladder/cuda/` leads to the tile in five smaller steps,
and `tensor_cores.py` goes on from it. `compiler.py` and `launch.py` are how a kernel is compiled
and started, and `last_block.py` how its blocks combine their results. `pool.py` borrows the axes of
`operands.py`; the other files can be read on their own.
"""

from tinygen_kernels.cuda.conv import conv2d, conv2d_data, conv2d_weight, matmul
from tinygen_kernels.cuda.elementwise import (
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
from tinygen_kernels.cuda.norm import (
    batch_norm,
    batch_norm_backward,
    bias_leaky_relu_backward,
    column_sums,
    group_norm,
    group_norm_backward,
    minibatch_deviation,
    minibatch_deviation_backward,
)
from tinygen_kernels.cuda.pool import avg_pool2d, avg_pool2d_data, max_pool2d, max_pool2d_gather, max_pool2d_scatter
