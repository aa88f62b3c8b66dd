"""Places that freed arrays leave to the next ones. The pool by sizes is tested where it serves: test_cpu_memory.py."""

import itertools

import numpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tinygen_kernels import memory_pool
from tinygen_kernels.memory_pool import Places, address


@pytest.mark.parametrize("region", [1 << 28, 1 << 12], ids=["one region", "several"])
@given(turns=st.lists(st.tuples(st.integers(0, 5000), st.none() | st.integers(0, 99)), min_size=1))
def test_places_do_not_overlap_and_those_of_freed_neighbours_become_one(region: int, turns: list[tuple[int, int | None]]) -> None:
    """In each turn, an array of so many bytes is made, and one may be freed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory_pool, "_REGION", region)
        places, arrays = Places(), list[numpy.ndarray]()
        for size, freed in turns:
            arrays.append(places.lend(size))
            if freed is not None:
                del arrays[freed % len(arrays)]
            spans = sorted((address(array), address(array) + array.size) for array in arrays)
            assert all(start % 64 == 0 for start, _ in spans)
            assert all(end <= start for (_, end), (start, _) in itertools.pairwise(spans))
        arrays.clear()
        first = places.lend(0)
        assert len(places._free) == len(places._regions)
        assert address(first) == address(places._regions[0])
