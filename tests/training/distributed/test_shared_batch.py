"""A batch that several processes share gives what one process gives: here the processes are threads, which change the same numbers."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy
import pytest
from team import together

import tinygen as tg
from tinygen import backend, nn, optim
from tinygen import functional as F
from tinygen.backend import shards
from tinygen.command_line import UsageError
from tinygen.data import Augmentation, Loader
from tinygen.functional.norm import BatchNormFunction, MinibatchDeviationFunction

ROWS = numpy.random.default_rng(0).standard_normal((7, 3, 3, 2))
SIZES = [2, 3]  # 7 rows are 3 and 4, or 2, 2 and 3


def close(x: Any, y: Any) -> None:
    numpy.testing.assert_allclose(x, y, rtol=1e-11, atol=1e-13)


def network() -> nn.Sequential:
    numbers = numpy.random.default_rng(1)
    layers = [nn.Flatten(), nn.Dense(18, 5), nn.BatchNorm(5, negative_slope=0.2), nn.Dense(5, 4), nn.BatchNorm(4), nn.Dense(4, 3)]
    net = nn.Sequential(*layers).double()
    for p in net.parameters():
        p.data[...] = numbers.standard_normal(p.shape)
    return net


def deviation_loss(y: tg.Tensor) -> tg.Tensor:
    """Not a sum over the rows: it has their deviation, as the discriminator of the recurrent GAN."""
    return (y.std(axis=0) * y).mean() + F.mse_loss(y, 1.0)


@pytest.mark.parametrize("size", SIZES)
def test_the_gradients_of_a_loss_that_mixes_the_rows(size: int) -> None:
    def gradients(rows: slice) -> list[numpy.ndarray]:
        net = network()
        deviation_loss(net(tg.tensor(ROWS[rows]))).backward()
        found = [p.grad.data for _, p, _ in optim.optimizer.gradients(net.parameters(), "")]
        return [*found, *(t.data for _, t in net.named_buffers())]

    whole, parts = gradients(slice(None)), together(size, 7, gradients)
    for part in parts:
        assert all(a.tobytes() == b.tobytes() for a, b in zip(part, parts[0], strict=True))
        for a, b in zip(part, whole, strict=True):
            close(a, b)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    "make", [lambda: BatchNormFunction(1e-5, 0.2), lambda: MinibatchDeviationFunction(1e-5, 1)], ids=["norm", "deviation"]
)
def test_the_gradients_of_a_batch_to_its_own_rows_and_of_these_gradients(make: Callable[[], Any], size: int, fused: bool) -> None:
    """Each process has the gradient of its own loss, which is that of the whole one by its share of the rows."""
    direction = numpy.random.default_rng(2).standard_normal(ROWS.shape)

    def gradients(rows: slice) -> list[numpy.ndarray]:
        x = tg.tensor(ROWS[rows], requires_grad=True)
        gamma, beta = (tg.tensor(numbers, requires_grad=True) for numbers in ([1.5, -0.5], [0.25, 2.0]))
        gamma, beta = gamma.astype("float64"), beta.astype("float64")
        function = make()
        arguments = (x, gamma, beta) if isinstance(function, BatchNormFunction) else (x,)
        y = function(*arguments) if fused else function.composite(*arguments)
        loss = (tg.tensor(direction[rows][..., :1]) * y**3).mean()  # each process has another gradient of what they share
        (first,) = tg.grad(loss, [x], retain_graph=True)  # by a kernel, where there is one
        (g,) = tg.grad(loss, [x], create_graph=True)
        g = g * (len(x) / 7)
        (gg,) = tg.grad((g * tg.tensor(direction[rows])).sum(axis=(1, 2, 3)).mean(), [x])
        return [first.data * (len(x) / 7), g.data, gg.data * (len(x) / 7)]

    for whole, *parts in zip(gradients(slice(None)), *together(size, 7, gradients), strict=True):
        close(numpy.concatenate(parts), whole)


@pytest.mark.parametrize("size", SIZES)
def test_the_deviations_of_two_batches_whose_rows_take_turns(size: int) -> None:
    def deviations(rows: slice) -> numpy.ndarray:
        pairs = tg.stack([tg.tensor(ROWS[rows]), tg.tensor(ROWS[::-1][rows] ** 2)], axis=1)
        return F.minibatch_deviation(pairs.reshape(-1, 3, 3, 2), batches=2).numpy()

    whole, parts = deviations(slice(None)), together(size, 7, deviations)
    assert len(numpy.unique(whole[..., -1])) == 2
    close(numpy.concatenate(parts), whole)


@pytest.mark.parametrize("size", SIZES)
def test_random_numbers_are_the_rows_of_those_of_the_whole_batch(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = ROWS, ROWS[::-1].copy()
    augment = nn.DifferentiableAugment(["colour", "translation", "cutout"])

    def drawn(rows: slice) -> list[numpy.ndarray]:
        x = tg.tensor(real[rows])
        n = len(x)
        penalty = F.gradient_penalty(lambda x: (x**2).sum(axis=(1, 2, 3)), x, tg.tensor(fake[rows]))
        own = [F.randn((n, 2)), F.rand((3 * n,)), F.dropout(x, 0.3), F.dropout(x.reshape(-1, 2), 0.3), augment(x)]
        stream = backend.generator()
        labels = [stream.integers(9, size=n), stream.uniform(-1, 1, (n, 2)), stream.normal(size=n)]
        same = [F.rand((1,)).numpy(), numpy.array(stream.random()), penalty.numpy()]
        return [*(t.numpy() for t in own), *labels, *same]

    tg.manual_seed(3)
    whole = drawn(slice(None))
    generators = [numpy.random.Generator(numpy.random.Philox(3)) for _ in range(size)]
    parts = together(size, 7, with_own_generator(drawn, generators, monkeypatch))
    for name, (all_rows, *own) in enumerate(zip(whole, *parts, strict=True)):
        if name < len(whole) - 3:
            numpy.testing.assert_array_equal(numpy.concatenate(own), all_rows)
        else:
            close(own, [all_rows] * size)


def with_own_generator(work: Callable[[slice], Any], generators: list[Any], monkeypatch: pytest.MonkeyPatch) -> Callable[[slice], Any]:
    """work, in which each thread draws from a stream of its own, as each process does."""
    own = threading.local()

    class OfThread:
        def __getattr__(self, name: str) -> Any:
            return getattr(own.generator, name)

    monkeypatch.setattr(backend.random, "_generator", OfThread())

    def run(rows: slice) -> Any:
        own.generator = generators.pop()
        return work(rows)

    return run


def test_what_has_no_rows_to_share_is_refused() -> None:
    with pytest.raises(UsageError, match=r"draw random numbers by random, standard_normal.*, not by permutation"):
        together(2, 4, lambda rows: backend.generator().permutation(4))


@pytest.mark.parametrize("size", SIZES)
def test_the_loader_gives_the_rows_of_the_whole_batches(size: int) -> None:
    images = numpy.random.default_rng(0).integers(0, 256, (25, 8, 8, 1), dtype=numpy.uint8)
    loader = Loader(images, numpy.arange(25), batch_size=7, seed=1, drop_last=False, augment=Augmentation(["flip", "shift", "crop"]))
    parts = [list(loader.epoch(4, 1, rank, size)) for rank in range(size)]
    assert [loader.rows(batch) for batch in range(4)] == [7, 7, 7, 4]
    for whole, *own in zip(loader.epoch(4, 1), *parts, strict=True):
        assert max(len(labels) for _, labels in own) - min(len(labels) for _, labels in own) <= 1
        for all_rows, *rows in zip(whole, *own, strict=True):
            numpy.testing.assert_array_equal(numpy.concatenate(rows), all_rows)


def test_many_gradients_are_averaged_in_buckets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of one dtype and few numbers each, in their order."""
    monkeypatch.setattr(shards, "_BUCKET", 10)
    shapes, sent = [(4,), (2, 2), (3,), (20,), (), (5,)], list[tuple[int, str]]()

    def averaged(rows: slice) -> list[numpy.ndarray]:
        given = [numpy.full(shape, rows.start + i, "float64" if i == 5 else "float32") for i, shape in enumerate(shapes)]
        with backend.sharing(telling(sent.append)):
            return backend.averaged(given)

    for own in together(2, 4, averaged):
        assert [(x.shape, x.dtype.name) for x in own[4:]] == [((), "float32"), ((5,), "float64")]
        assert all((x == 1 + i).all() for i, x in enumerate(own))  # the mean of 0 + i and 2 + i
    assert sorted(sent) == sorted(2 * [(11, "float32"), (20, "float32"), (1, "float32"), (5, "float64")])


@dataclass
class Told:
    """A sum that logs the number of its elements when it is begun, and each time that it is asked for, which is always too early."""

    active: backend.Shard
    log: Callable[[Any], object]
    x: backend.Array

    def __post_init__(self) -> None:
        self.log((self.x.size, self.x.dtype.name))
        self.sum = self.active.begin(self.x)

    def arrived(self) -> bool:
        self.log("asked")
        return False

    def wait(self) -> backend.Array:
        return self.sum.wait()


def telling(log: Callable[[Any], object]) -> backend.Shard:
    """The shard of this thread, of whose sums the log is told."""
    active = backend.shard()
    assert active is not None
    return replace(active, begin=partial(Told, active, log))


@pytest.mark.parametrize("clip_norm", [None, 1e-3])
def test_a_bucket_is_on_its_way_while_the_walk_goes_on_and_once(clip_norm: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "_BUCKET", 10)

    class Walk(tg.Listener):
        def __init__(self, log: list[Any]) -> None:
            self.log = log

        def backward(self, node: Any, *_: Any) -> Any:
            yield
            self.log.append(type(node).__name__.removesuffix("Function"))

    def minimized(rows: slice) -> list[Any]:
        net, log = dense(), list[Any]()
        groups = optim.Groups([optim.SGD(net.parameters(), 0.1)], clip_norm=clip_norm)
        with backend.sharing(telling(log.append)), tg.listening(Walk(log)):
            groups.minimize(net(tg.tensor(ROWS[rows])).sum(axis=1).mean())
        return log

    for log in together(2, 7, minimized):
        first, second, third, rest = ((size, "float64") for size in (12, 23, 94, 5))
        tail = ["Dense", first, "asked", "Dense", second, "asked", "Dense", third, "asked", rest]
        assert log[log.index("Dense") :] == tail


def dense() -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Dense(18, 5), nn.Dense(5, 4), nn.Dense(4, 3)).double()


@dataclass(slots=True, eq=False)
class Nothing(tg.Function):
    """x, and no gradient."""

    def forward(self, x: numpy.ndarray) -> numpy.ndarray:
        return x.copy()

    def backward(self, g: tg.Tensor, y: tg.Tensor, x: tg.Tensor) -> None:
        return None


@pytest.mark.parametrize("size", SIZES)
def test_losses_that_add_up_and_gradients_that_arrive_by_one_of_two_ways(size: int) -> None:
    def trained(rows: slice) -> list[numpy.ndarray]:
        p, x = tg.tensor(numpy.arange(1.0, 3.0), requires_grad=True), tg.tensor(ROWS[rows].sum(axis=(1, 2)))
        none = tg.tensor(numpy.ones(2), requires_grad=True)
        sgd = optim.SGD([p, none], 0.1)
        (x * p).sum(axis=1).mean().backward()
        (x * p**2).sum(axis=1).mean().backward()
        sgd.step()
        between = p.numpy().copy()
        sgd.minimize((Nothing()(p * 2.0) * x + p * x + Nothing()(none)).sum(axis=1).mean())
        assert p.grad is not None
        after = p.grad.numpy().copy()
        (x * p).sum(axis=1).mean().backward()
        sgd.step()
        return [between, after, p.numpy()]

    whole, *parts = trained(slice(None)), *together(size, 7, trained)
    for part in parts:
        for own, all_rows in zip(part, whole, strict=True):
            close(own, all_rows)
