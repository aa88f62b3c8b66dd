"""Where arrays live, and where random numbers come from.

devices.py    "cpu" and "cuda": which device an array is on, and how it gets to another
driver.py     what NVIDIA's driver says
random.py     the one stream of random numbers
replay.py     operations on a GPU that are recorded once and done again as a whole
shards.py     a batch that several processes share
memory.py     how the C library keeps the memory of freed arrays
"""

from tinygen_kernels import Array, array_module
from tinygen_kernels.precision import allow_tf32

from tinygen.backend.devices import (
    best_device,
    compile_ahead,
    compute_where,
    copied_ahead,
    device_of,
    expect_array,
    floats,
    from_host,
    to_device,
)
from tinygen.backend.memory import give_memory_back
from tinygen.backend.random import generator, keeping_random_state, manual_seed, random_state, set_random_state
from tinygen.backend.replay import Captured, CapturedOnHost, capturing, on_host, watched
from tinygen.backend.shards import Arrived, Averages, Shard, Sum, averaged, place, shard, sharing, summed
