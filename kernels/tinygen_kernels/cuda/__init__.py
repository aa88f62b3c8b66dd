"""The kernels for CuPy arrays, compiled by Numba for CUDA. `tinygen_kernels.reference` says what each of them means.

Convolutions are best read in the order `tile.py`, `operands.py`, `products.py`, `conv.py`; the other files stand by themselves.
"""

import os

# Read once, when Numba's CUDA package is imported: no wait for the stream at each launch, no warning about small grids.
os.environ.setdefault("NUMBA_CUDA_ARRAY_INTERFACE_SYNC", "0")
os.environ.setdefault("NUMBA_CUDA_LOW_OCCUPANCY_WARNINGS", "0")

from tinygen_kernels.cuda.conv import conv2d, conv2d_data, conv2d_weight, matmul
from tinygen_kernels.cuda.elementwise import adam, dropout, leaky_relu, leaky_relu_backward
from tinygen_kernels.cuda.norm import batch_norm, batch_norm_backward, column_sums
from tinygen_kernels.cuda.pool import avg_pool2d, avg_pool2d_data, max_pool2d, max_pool2d_gather, max_pool2d_scatter
