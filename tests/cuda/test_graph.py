"""Training by CUDA graphs: a replayed step is the step, to the bit. And what cannot be recorded is told."""

import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy
import pytest
from numpy.testing import assert_array_equal

import tinygen as tg
from tinygen import backend, manual_seed, nn, optim
from tinygen.command_line import UsageError
from tinygen.training.graph import GraphStep

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("fast_kernels")]


def small(device: str = "cuda") -> tuple[dict[str, Any], Callable[..., dict[str, Any]]]:
    """The parts and the step of a network with all that changes from step to step."""
    manual_seed(3)
    network = nn.Sequential(nn.SpectralNorm(nn.Dense(3, 4)), nn.BatchNorm(4), nn.LeakyReLU(0.2), nn.Dropout(0.5), nn.Dense(4, 1)).to(device)
    rule = optim.AdamW(network.parameters(), optim.Schedule(0.1, "cosine", steps=20, warm_up=3), weight_decay=0.1)
    average = optim.Average(network, 0.9)

    def step(x: Any) -> dict[str, Any]:
        loss = (network(tg.Tensor(x) + 0.1 * tg.randn(x.shape, device=device)) ** 2).mean()
        rule.minimize(loss)
        average.update()
        return {"loss": loss}

    return {"network": network, "rule": rule, "average": average}, step


def losses(step: Callable[..., dict[str, Any]], sizes: list[int]) -> list[float]:
    random = numpy.random.default_rng(0)
    batches = [backend.to_device(random.standard_normal((n, 3)).astype("float32"), "cuda") for n in sizes]
    return [step(x)["loss"].item() for x in batches]


@pytest.mark.parametrize("kind", [optim.SGD, optim.RMSprop, optim.Adam])
def test_every_optimiser_follows_its_schedule(kind: Any, replays: list[int]) -> None:
    def given() -> tuple[dict[str, Any], Callable[..., dict[str, Any]]]:
        parts, _ = small()
        rule = kind(parts["network"].parameters(), optim.Schedule(0.1, "linear", steps=12))

        def step(x: Any) -> dict[str, Any]:
            loss = (parts["network"](tg.Tensor(x)) ** 2).mean()
            rule.minimize(loss)
            return {"loss": loss}

        return {"network": parts["network"], "rule": rule}, step

    (_, plain), (parts, step) = given(), given()
    manual_seed(0)
    expected = losses(plain, [5] * 10)
    manual_seed(0)
    assert losses(GraphStep(step, parts, "cuda"), [5] * 10) == expected
    assert len(replays) == 7


def test_noise_dropout_average_and_spectral_norm_go_on(replays: list[int]) -> None:
    """Batches of another size are done without the graph, and it goes on after them."""
    sizes = [5, 5, 5, 5, 5, 4, 5, 3, 5, 5]
    (others, plain), (parts, step) = small(), small()
    manual_seed(0)
    expected = losses(plain, sizes)
    manual_seed(0)
    assert losses(GraphStep(step, parts, "cuda"), sizes) == expected
    assert len(set(expected)) == len(expected)
    assert len(replays) == 5
    for name, part in parts.items():
        for key, array in part.state_dict().items():
            assert_array_equal(array, others[name].state_dict()[key], err_msg=f"{name}.{key}")


def steered_step() -> tuple[GraphStep, list[float]]:
    """A step whose weight the host halves each time, and that weight."""
    weight = [1.0]

    def step(x: Any) -> dict[str, Any]:
        weight[0] *= 0.5
        return {"loss": weight[0] * tg.Tensor(x).sum()}

    return GraphStep(step, small()[0], "cuda"), weight


def test_a_step_that_the_host_steers_goes_on_without_replays(replays: list[int], capsys: Any) -> None:
    steered, weight = steered_step()
    x = backend.to_device(numpy.ones((2, 3), "float32"), "cuda")
    assert [steered(x)["loss"].item() for _ in range(3)] == [3.0, 1.5, 0.75]
    steered(x)
    assert "goes on without replays" in capsys.readouterr().out
    weight[0] = 1.0
    assert steered(x)["loss"].item() == 3.0
    assert len(replays) == 1


@pytest.mark.parametrize("sizes", [[5, 5, 5, 3, 5, 5], [5, 5, 3, 5, 5, 3], [3, 5, 3, 5, 3, 3]])
def test_batches_of_another_size_are_not_counted(sizes: list[int], replays: list[int], capsys: Any) -> None:
    steered, _ = steered_step()
    for n in sizes:
        steered(backend.to_device(numpy.ones((n, 3), "float32"), "cuda"))
    assert ("goes on without replays" in capsys.readouterr().out, len(replays)) == (sizes.count(sizes[0]) >= 4, sizes.count(sizes[0]) >= 4)


def test_an_array_that_was_replaced_ends_the_replays(replays: list[int], capsys: Any) -> None:
    parts, step = small()
    graphed = GraphStep(step, parts, "cuda")
    losses(graphed, [5] * 5)
    for parameter in parts["network"].parameters():
        parameter.data = parameter.data.copy()
    before = len(replays)
    losses(graphed, [5] * 2)
    assert len(replays) == before == 2
    assert capsys.readouterr().out.count("goes on without replays") == 1


def test_another_thread_is_not_recorded() -> None:
    seen: list[Any] = []

    def function(x: Any) -> Any:
        thread = threading.Thread(target=lambda: seen.append(backend.capturing()))
        thread.start()
        thread.join()
        return x + 1

    backend.Captured(function, (backend.to_device(numpy.ones(3, "float32"), "cuda"),))
    assert seen == [None]


@pytest.fixture
def memory(waits: list[str]) -> Any:
    """What pools have taken from the device, which only the stand-in counts."""
    return sys.modules["tests.stand_in.memory"]


def grasping(x: Any) -> Any:
    """x + 1, after temporary arrays that are each too large for the memory of those before."""
    import cupy

    for n in (2000, 4000, 8000):
        cupy.empty(n, "float32")
    return x + 1


def test_a_recording_s_memory_is_taken_as_long_as_its_graph_lives(memory: Any) -> None:
    before = len(memory.taken)
    captured = backend.Captured(grasping, (backend.to_device(numpy.ones(3, "float32"), "cuda"),))
    assert len(memory.taken) == before + 3
    del captured
    assert len(memory.taken) == before


def test_a_recording_fails_rather_than_give_memory_back_that_its_graph_goes_on_to_use(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CAPACITY", sum(block.size for block in memory.taken) + 50_000)
    with pytest.raises(MemoryError, match="Out of memory allocating 32,256 bytes"):
        backend.Captured(grasping, (backend.to_device(numpy.ones(3, "float32"), "cuda"),))


def test_a_step_that_reads_a_number_is_refused() -> None:
    parts, _ = small()

    def step(x: Any) -> dict[str, Any]:
        return {"loss": tg.Tensor(x).sum().item()}

    reading = GraphStep(step, parts, "cuda")
    x = backend.to_device(numpy.ones((2, 3), "float32"), "cuda")
    reading(x)
    reading(x)
    with pytest.raises(UsageError, match="--graph: this step cannot be recorded, so leave it out: "):
        reading(x)


def test_a_cpu_is_refused() -> None:
    with pytest.raises(UsageError, match="--graph replays the operations of a GPU: give it with --device cuda"):
        GraphStep(lambda: {}, {}, "cpu")
