"""Sums that several processes begin together, at different speed, and wait for in another order: python sums.py."""

import time

import numpy

from tinygen.training.distributed import joined

if __name__ == "__main__":
    group, random = joined(), numpy.random.default_rng(0)
    shapes = [(), (5000,), (1, 7), (100, 1000), (4001,)]
    given = [random.standard_normal((group.size, *shape)).astype("float32") for shape in shapes]
    bits: dict[int, bytes] = {}
    for _ in range(20):
        pauses = random.uniform(0, 0.002, (group.size, len(given)))
        sums = []
        for x, pause in zip(given, pauses[group.rank], strict=True):
            time.sleep(pause)
            sums.append(group.begin(x[group.rank]))
        for i in random.permutation(len(given)):
            total = sums[i].wait()
            assert total.shape == shapes[i]
            numpy.testing.assert_allclose(total, given[i].sum(axis=0), rtol=1e-5, atol=1e-6)
            assert bits.setdefault(i, total.tobytes()) == total.tobytes()
    assert all(other == bits for other in group.gather(bits))
    group.end()
