"""What a recording of NumPy's calls does again, what it cannot do, and the memory that it takes."""

import threading

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from tinygen_kernels import array_module, cpu, recording
from tinygen_kernels.memory_pool import address
from tinygen_kernels.recording import Recorded, Recording


def test_a_replay_writes_new_results_to_the_first_places() -> None:
    x = numpy.ones(3)
    with Recording() as recorded:
        y = numpy.tanh(recorded.watched(x))
    x[...] = 2
    assert_array_equal(y, numpy.tanh(numpy.ones(3)))
    recorded.replay()
    assert_array_equal(y, numpy.tanh(x))


CALLS = {
    "operators": lambda x, xp: 2 * x - x / 3 > 0.5,
    "several results": lambda x, xp: numpy.add(*numpy.modf(x * 5)),
    "a sum of all": lambda x, xp: x.sum() + x.mean(),
    "a view, and a change of it": lambda x, xp: _set(x.copy(), 0.5),
    "a change by a function": lambda x, xp: _added_at(x.copy()),
    "arrays of the module": lambda x, xp: xp.zeros_like(x) + xp.arange(4)[:, None] * x,
    "an array of arrays": lambda x, xp: xp.array(x, "float32", copy=True),
    "functions": lambda x, xp: numpy.concatenate([x, numpy.where(x > 0, x, 0)], axis=1),
    "several places": lambda x, xp: numpy.concatenate(numpy.split(numpy.sort(x, axis=0), 2)),
    "an order": lambda x, xp: x[x.argsort(axis=0)[:, 0]],
    "an order of axes": lambda x, xp: numpy.exp(x.T).reshape(-1),
    "a view of a temporary array": lambda x, xp: numpy.broadcast_arrays(x, numpy.full((4, 1), 7.0))[1] + x,
}


def _set(x: numpy.ndarray, value: float) -> numpy.ndarray:
    x[1:3, ::-2].T[...] = value * x[0, 0]
    return x


def _added_at(x: numpy.ndarray) -> numpy.ndarray:
    numpy.add.at(x, ([0, 0], [1, 1]), x[2, :2])
    return x


@pytest.mark.parametrize("name", CALLS)
@settings(deadline=None, max_examples=5)
@given(seeds=st.tuples(st.integers(0, 99), st.integers(0, 99)))
def test_a_replay_computes_what_numpy_computes(name: str, seeds: tuple[int, int]) -> None:
    first, second = (numpy.random.default_rng(seed).standard_normal((4, 3)) for seed in seeds)
    x = first.copy()
    with Recording() as recorded:
        y = CALLS[name](recorded.watched(x), array_module(recorded.watched(x)))
    assert_array_equal(y, CALLS[name](first, numpy))
    for numbers in (second, first):
        x[...] = numbers
        recorded.replay()
        assert isinstance(y, Recorded)
        assert_array_equal(y.view(numpy.ndarray), CALLS[name](numbers, numpy), strict=True)


def test_outside_of_a_recording_the_arrays_are_numpy_s() -> None:
    with Recording() as recorded:
        y = recorded.watched(numpy.arange(3.0)) + 1
    calls = len(recorded.calls)
    assert type(y * 2) is type(y[1:].copy()) is type(numpy.concatenate([y, y])) is numpy.ndarray
    assert (float(y[1]), y[2].item(), y.tolist(), bool((y > 0).all())) == (2.0, 3.0, [1.0, 2.0, 3.0], True)
    assert len(recorded.calls) == calls and array_module(y) is numpy


def test_kernels_take_the_arrays_of_a_recording_that_is_over() -> None:
    with Recording() as recorded:
        y = recorded.watched(numpy.linspace(-1, 1, 5, dtype="float32")) * 2
    z = cpu.leaky_relu(y, 0.5)
    assert type(z) is numpy.ndarray
    assert_array_equal(z, numpy.array([-1, -0.5, 0, 1, 2], "float32"))


@pytest.mark.parametrize("read", [float, int, bool, lambda x: x.item(), lambda x: x.tolist(), lambda x: [0, 1, 2][x.astype(int)]])
def test_a_number_cannot_be_read(read: object) -> None:
    with Recording() as recorded, pytest.raises(RuntimeError, match=r"^a number of an array is read \(\w+\), which cannot be captured$"):
        read(recorded.watched(numpy.array(1.0)))  # type: ignore[operator]
    assert recording.current() is None


def test_an_array_of_which_nothing_was_written_down_is_refused() -> None:
    with Recording() as recorded, pytest.raises(RuntimeError, match=r"^an array of shape \(3,\) comes from a call .* cannot be captured$"):
        recorded.watched(numpy.ones(3)).byteswap() + 1


def test_a_freed_array_leaves_its_place_to_the_next() -> None:
    places = set()
    with Recording() as recorded:
        x = recorded.watched(numpy.ones(100_000))
        for _ in range(20):
            x = x + 1
            places.add(address(x))
    assert len(places) == 2
    recorded.replay()
    assert_array_equal(x, numpy.full(100_000, 21.0))


def test_another_thread_is_not_recorded() -> None:
    x, results = numpy.ones(3).view(Recorded), []
    with Recording() as recorded:
        thread = threading.Thread(target=lambda: results.append(x + 1))
        thread.start()
        thread.join()
    assert not recorded.calls and type(results[0]) is numpy.ndarray
