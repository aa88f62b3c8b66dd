"""Sums of the arrays of GPUs, and steps of a small model with batch norm, as one process makes them: python on_gpus.py [stand-in]."""

import sys

if "stand-in" in sys.argv:
    from tests.stand_in import replace_cupy

    replace_cupy()

import numpy

import tinygen as tg
from tinygen import nn, optim
from tinygen.data.loader import shares
from tinygen.training.distributed import joined, sharing

RANDOM = numpy.random.default_rng(0)
X, WEIGHT = RANDOM.standard_normal((7, 3)), RANDOM.standard_normal((3, 2))


def trained(x: numpy.ndarray, device: str) -> list[numpy.ndarray]:
    """The parameters after two steps on these rows."""
    model = nn.Sequential(nn.Dense(3, 2, bias=False), nn.BatchNorm(2), nn.LeakyReLU()).double()
    model[0].weight.writable("test")[...] = WEIGHT
    model = model.to(device)
    adam = optim.Adam(model.parameters(), 0.1)
    for _ in range(2):
        adam.minimize(((model(tg.tensor(x, device=device)) - 1) ** 2).mean())
    return [p.numpy() for p in model.parameters()]


if __name__ == "__main__":
    import cupy

    group = joined()
    device = f"cuda:{group.local_rank % cupy.cuda.runtime.getDeviceCount()}"
    given = RANDOM.standard_normal((group.size, 5, 4))
    found = group.all_reduce(tg.tensor(given[group.rank], device=device).data)
    assert tg.Tensor(found).device == device
    numpy.testing.assert_allclose(found.get(), given.sum(axis=0), rtol=1e-12)

    with sharing(group, len(X)):
        several = trained(X[slice(*shares(len(X), group.rank, group.size))], device)
    for a, b in zip(several, trained(X, "cpu"), strict=True):
        numpy.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    assert len({b"".join(p.tobytes() for p in parameters) for parameters in group.gather(several)}) == 1
    group.end()
