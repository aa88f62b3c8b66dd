from collections.abc import Callable
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinygen.backend import generator, manual_seed, random_state, set_random_state

modest = settings(deadline=None, max_examples=50)

Draw = Callable[[numpy.random.Generator], Any]


DRAWS: dict[str, Draw] = {
    "normal": lambda g: g.standard_normal(3),
    "single normal": lambda g: g.standard_normal(3, numpy.float32),
    "uniform": lambda g: g.uniform(-1, 1, 5),
    "single uniform": lambda g: g.random(1, numpy.float32),  # takes half of 64 bits and keeps the other half
    "small integer": lambda g: g.integers(0, 100, dtype=numpy.uint32),
    "permutation": lambda g: g.permutation(7),
}


draws = st.lists(st.sampled_from(sorted(DRAWS)), max_size=6)


seeds = st.integers(0, 2**64)


def drawn(names: list[str]) -> list[bytes]:
    return [numpy.asarray(DRAWS[name](generator())).tobytes() for name in names]


class TestRandomStream:
    @modest
    @given(before=draws, between=draws, after=draws)
    def test_goes_on_from_where_it_was(self, before: list[str], between: list[str], after: list[str]) -> None:
        drawn(before)
        state = random_state()
        first = drawn(after)
        drawn(between)
        set_random_state(state)
        assert_array_equal(random_state(), state)
        assert drawn(after) == first

    @modest
    @given(seed=seeds, before=draws, after=draws)
    def test_a_seed_starts_it_anew(self, seed: int, before: list[str], after: list[str]) -> None:
        manual_seed(seed)
        first = drawn(after)
        drawn(before)
        manual_seed(seed)
        assert drawn(after) == first

    @modest
    @given(two=st.lists(seeds, min_size=2, max_size=2, unique=True))
    def test_other_seeds_give_other_numbers(self, two: list[int]) -> None:
        streams = []
        for seed in two:
            manual_seed(seed)
            streams.append(drawn(["normal"]))
        assert streams[0] != streams[1]

    def test_a_state_does_not_move_with_the_stream(self) -> None:
        state = random_state()
        copy = state.copy()
        drawn(["normal", "single uniform"])
        assert_array_equal(state, copy)
        assert (random_state() != state).any()

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (numpy.zeros(12, numpy.uint64), r"uint64 of shape \(12,\)"),
            (numpy.zeros((1, 13), numpy.uint64), r"uint64 of shape \(1, 13\)"),
            (numpy.zeros(13), r"float64 of shape \(13,\)"),
        ],
    )
    def test_what_is_no_state_is_refused_and_changes_nothing(self, wrong: numpy.ndarray, said: str) -> None:
        before = random_state()
        with pytest.raises(ValueError, match=f"^a random state is 13 uint64 numbers, got {said}$"):
            set_random_state(wrong)
        assert_array_equal(random_state(), before)
