"""The kernels for NumPy arrays, compiled by Numba. `tinygen_kernels.reference` defines each one.

Read `conv.py` for the idea, `plan.py` for the table and the words, `simd.py` for the tile, then
`weight.py`, `ranges.py` and `panels.py`. `vector.py`, `parallel.py`, `team.py`, `cache.py` and
`memory.py` explain what these use. `elementwise.py`, `norm.py` and `pool.py` can be read on their
own.
"""

import sys
from typing import Any

from numba.core import event

from tinygen_kernels.cpu.conv import conv2d, conv2d_data, conv2d_weight, matmul
from tinygen_kernels.cpu.elementwise import adam, dropout, leaky_relu, leaky_relu_backward
from tinygen_kernels.cpu.norm import batch_norm, batch_norm_backward, column_sums
from tinygen_kernels.cpu.pool import avg_pool2d, avg_pool2d_data, max_pool2d, max_pool2d_gather, max_pool2d_scatter


class _TellOnce(event.Listener):
    """Tells the user why the first call takes long.

    Numba sends no event if it finds the machine code in its cache.
    """

    told = False

    def on_start(self, event: Any) -> None:
        if not self.told and event.data["dispatcher"].py_func.__module__.startswith(__name__):
            self.told = True
            print("tinygen: compiling the CPU kernels for this machine, which takes the first run about half a minute", file=sys.stderr)

    def on_end(self, event: Any) -> None:
        pass


event.register("numba:compile", _TellOnce())
