"""The memory of freed arrays is used for new ones, if the C library does not do that itself."""

import gc

import numpy
import pytest
from tinygen_kernels.cpu import memory

LARGE = 1 << 20


@pytest.fixture(autouse=True)
def without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_KEEPS", True)
    monkeypatch.setattr(memory, "_pool", memory.Pool(64 << 20))


def place(array: numpy.ndarray) -> int:
    return array.ctypes.data


def test_a_freed_array_s_memory_serves_the_next_of_about_its_size() -> None:
    first = memory.empty((5, 450_000), "float32")
    where = place(first)
    del first
    assert place(memory.empty(1_125_100, "float64")) == where  # and freed again
    assert place(memory.empty(LARGE, "float32")) != where  # of less than half the size


def test_memory_is_not_shared_while_any_view_of_it_lives() -> None:
    arrays = [memory.empty(LARGE, "float32") for _ in range(3)]
    views = [array[5:].reshape(-1, 1).T for array in arrays]
    for i, array in enumerate(arrays):
        array[:] = i
    del arrays, array
    gc.collect()
    fresh = [memory.empty(LARGE, "float32") for _ in range(3)]
    for array in fresh:
        array[:] = -1
    assert [set(view.ravel()) for view in views] == [{0.0}, {1.0}, {2.0}]


def test_arrays_are_whole_aligned_and_writable() -> None:
    for shape in (0, 1, (3, 7), (LARGE, 1), (2, LARGE + 13)):
        array = memory.empty(shape, "float64")
        array[...] = 1.5
        assert array.shape == (shape if isinstance(shape, tuple) else (shape,))
        assert place(array) % 64 == 0 and array.flags.carray and (array == 1.5).all()


def test_a_step_in_a_loop_keeps_no_more_than_it_needs() -> None:
    for _ in range(50):
        step = [memory.empty(LARGE + 1000 * i, "float32") for i in range(4)]
        del step
    assert 4 * 4 * LARGE <= memory._pool.bytes < 5 * 4 * LARGE


def test_sizes_that_never_come_again_do_not_fill_the_pool() -> None:
    size = LARGE
    for _ in range(300):  # from 1 to 20 MB
        memory.empty(size, "uint8")
        assert memory._pool.bytes <= 64 << 20
        size += size // 100
    assert max(memory._pool._free) > 19 << 20  # the pool still keeps what is new


def test_memory_that_is_larger_than_the_pool_goes_back() -> None:
    memory.empty(65 << 20, "uint8")
    assert memory._pool.bytes == 0


def test_memory_that_is_freed_while_the_pool_is_at_work_goes_back() -> None:
    array = memory.empty(LARGE, "uint8")
    with memory._pool._lock:
        del array
        assert memory.empty(LARGE, "uint8").size == LARGE
    assert memory._pool.bytes == 0
