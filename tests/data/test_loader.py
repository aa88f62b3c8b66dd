"""Batches: each row once in an epoch, in an order that the seed and the epoch alone decide."""

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinygen.data import Loader

modest = settings(deadline=None, max_examples=50)
seeds = st.integers(0, 2**64 - 1)


def indexed_loader(size: tuple[int, int], seed: int, drop_last: bool) -> Loader:
    index = numpy.arange(size[0])
    return Loader(index[:, None] * 10.0, index, batch_size=size[1], seed=seed, drop_last=drop_last)


sizes = st.integers(1, 40).flatmap(lambda rows: st.tuples(st.just(rows), st.integers(1, rows)))
loaders = st.builds(indexed_loader, sizes, seeds, st.booleans())


class TestLoader:
    @modest
    @given(loader=loaders, number=seeds)
    def test_an_epoch_shows_each_row_once_and_keeps_rows_together(self, loader: Loader, number: int) -> None:
        whole, rest = divmod(len(loader.arrays[0]), loader.batch_size)
        batches = list(loader.epoch(number))
        lengths = [loader.batch_size] * whole + ([] if loader.drop_last or rest == 0 else [rest])
        assert [len(labels) for _, labels in batches] == lengths and len(loader) == len(lengths)
        assert len(set(numpy.concatenate([labels for _, labels in batches]))) == sum(lengths)
        for images, labels in batches:
            assert_array_equal(images, labels[:, None] * 10.0)

    @modest
    @given(loader=loaders, number=seeds, data=st.data())
    def test_resuming_inside_an_epoch_gives_the_rest_of_it(self, loader: Loader, number: int, data: st.DataObject) -> None:
        start = data.draw(st.integers(0, len(loader)))
        uninterrupted = list(loader.epoch(number))[start:]
        numpy.random.seed(start)  # noqa: NPY002  the global stream must have no say
        another = Loader(*loader.arrays, batch_size=loader.batch_size, seed=loader.seed, drop_last=loader.drop_last)
        resumed = list(another.epoch(number, start))
        for expected, came in zip(uninterrupted, resumed, strict=True):
            assert_array_equal(came[1], expected[1])

    def test_every_seed_and_every_epoch_has_its_own_order(self) -> None:
        def order(seed: int, number: int) -> tuple[int, ...]:
            (batch,) = next(Loader(numpy.arange(20), batch_size=20, seed=seed).epoch(number))
            return tuple(batch.tolist())

        numbers = [0, 1, 2, 2**32, 2**63]
        assert len({order(seed, number) for seed in numbers for number in numbers}) == len(numbers) ** 2

    def test_the_order_is_the_same_on_every_machine_for_ever(self) -> None:
        (batch,) = next(Loader(numpy.arange(8), batch_size=8, seed=7).epoch(3))
        assert batch.tolist() == [2, 5, 7, 3, 0, 6, 4, 1]

    def test_a_row_comes_equally_often_at_every_place(self) -> None:
        loader = Loader(numpy.arange(4), batch_size=4, seed=1)
        orders = numpy.array([batch for number in range(4000) for (batch,) in loader.epoch(number)])
        counts = numpy.array([numpy.bincount(orders[:, place]) for place in range(4)])
        assert abs(counts - 1000).max() < 5 * numpy.sqrt(4000 * 0.25 * 0.75)

    @pytest.mark.parametrize(
        ("lengths", "batch_size", "seed", "message"),
        [
            ((4, 5), 2, 0, r"equal length, not of the lengths \[4, 5\]"),
            ((), 1, 0, r"one or more arrays .* \[\]"),
            ((4,), 5, 0, "batch_size must be 1 to 4, the number of examples, not 5"),
            ((4,), 0, 0, "batch_size must be 1 to 4, the number of examples, not 0"),
            ((4,), 2, -1, "seed must be 0 to .*, not -1"),
            ((4,), 2, 2**64, f"seed must be 0 to .*, not {2**64}"),
        ],
    )
    def test_says_what_is_wrong(self, lengths: tuple[int, ...], batch_size: int, seed: int, message: str) -> None:
        with pytest.raises(ValueError, match=f"Loader: .*{message}"):
            Loader(*map(numpy.zeros, lengths), batch_size=batch_size, seed=seed)

    def test_a_start_outside_the_epoch_is_refused_at_once(self) -> None:
        loader = Loader(numpy.zeros(7), batch_size=2, seed=0)
        for start in (-1, 4):
            with pytest.raises(ValueError, match=f"has 3 batches, so it cannot start at batch {start}"):
                loader.epoch(0, start)
        with pytest.raises(ValueError, match=r"number of an epoch must be 0 to .*, not -1"):
            loader.epoch(-1)
