"""Where arrays live, and where random numbers come from.

devices.py    "cpu" and "cuda": which device an array is on, and how it gets to another
driver.py     what NVIDIA's driver says
random.py     the one stream of random numbers
memory.py     how the C library keeps the memory of freed arrays
"""

from tinygen_kernels import Array, array_module

from tinygen.backend import memory
from tinygen.backend.devices import best_device, compute_where, copied_ahead, device_of, expect_array, floats, to_device
from tinygen.backend.random import generator, keeping_random_state, manual_seed, random_state, set_random_state
