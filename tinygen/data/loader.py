"""Batches in a random order that depends only on a seed and the number of the epoch."""

from collections.abc import Iterator

import numpy

from tinygen.command_line import UsageError
from tinygen.data.augment import Augmentation
from tinygen.data.stream import Images, Streamed


def shares(rows: int, rank: int, size: int) -> tuple[int, int]:
    """The first row, and the one after the last, of process `rank` of `size` that share so many rows as evenly as can be."""
    return rows * rank // size, rows * (rank + 1) // size


class Loader:
    """Cuts arrays of equal length N into shuffled batches. Rows with one index stay together.
    `Streamed` images are decoded by threads, two batches ahead.

    batch_size   rows in a batch, 1 to N
    seed         0 to 2**64 - 1
    augment      changes the first array's rows of each batch, as the seed, the epoch and the number of
                 the batch say
    drop_last    leave out the rows that do not fill a last batch, other rows in each epoch; otherwise
                 the last batch is short

    Raises ValueError if the arrays' lengths differ or a number is out of its range.
    """

    def __init__(self, *arrays: Images, batch_size: int, seed: int, drop_last: bool = True, augment: Augmentation | None = None) -> None:
        lengths = [len(array) for array in arrays]
        if len(set(lengths)) != 1:
            raise ValueError(f"Loader: takes one or more arrays of equal length, not of the lengths {lengths}")
        if not 1 <= batch_size <= lengths[0]:
            raise UsageError(
                f"Loader: batch_size must be 1 to {lengths[0]}, the number of examples, not {batch_size}; in a script, give --batch-size"
            )
        if not 0 <= seed < 2**64:
            raise UsageError(f"Loader: seed must be 0 to 2**64 - 1, not {seed}")
        self.arrays = arrays
        self.batch_size = batch_size
        self.seed = seed
        self.drop_last = drop_last
        self.augment = augment

    def __len__(self) -> int:
        """The number of batches in an epoch."""
        whole, rest = divmod(len(self.arrays[0]), self.batch_size)
        return whole if self.drop_last or rest == 0 else whole + 1

    def rows(self, batch: int) -> int:
        """The number of rows of a batch of an epoch."""
        return min(self.batch_size, len(self.arrays[0]) - batch * self.batch_size)

    def epoch(self, number: int, start: int = 0, rank: int = 0, size: int = 1) -> Iterator[tuple[numpy.ndarray, ...]]:
        """The batches of epoch `number` from batch `start` on: the rest of an epoch that was stopped.

        Each batch is a tuple with as many new arrays as the loader was given. Where `size` processes
        share each batch, they are the rows of process `rank`, as `shares` says. Raises ValueError
        unless 0 <= start <= len(self).
        """
        if not 0 <= number < 2**64:
            raise ValueError(f"Loader: the number of an epoch must be 0 to 2**64 - 1, not {number}")
        if not 0 <= start <= len(self):
            raise ValueError(f"Loader: an epoch has {len(self)} batches, so it cannot start at batch {start}")
        order = self._permutation(number)
        bounds = [shares(self.rows(batch), rank, size) for batch in range(start, len(self))]
        chosen = [order[batch * self.batch_size :][slice(*own)] for batch, own in enumerate(bounds, start)]
        batches = zip(*(self._batches(array, chosen) for array in self.arrays), strict=True)
        augment = self.augment
        if augment is None:
            return batches
        return (
            (augment(first, self.seed, number, i, bounds[i - start][0], self.rows(i)), *others)
            for i, (first, *others) in enumerate(batches, start)
        )

    def _batches(self, array: Images, chosen: list[numpy.ndarray]) -> Iterator[numpy.ndarray]:
        if isinstance(array, Streamed):
            return array.batches(chosen, ahead=2 * self.batch_size)
        return (array[rows] for rows in chosen)

    def _permutation(self, number: int) -> numpy.ndarray:
        # Raw random numbers are ranked, since all versions of NumPy have the same raw stream of Philox.
        # Generator.permutation may change.
        key = numpy.array([self.seed, number], dtype=numpy.uint64)
        return numpy.random.Philox(key=key).random_raw(len(self.arrays[0])).argsort(kind="stable")
