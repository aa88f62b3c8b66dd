"""Training by replays: a replayed step is the step, to the bit. And what cannot be recorded is told."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
from numpy.testing import assert_array_equal
from traced_memory import peak_memory

import tinygen as tg
from tinygen import backend, manual_seed, nn, optim
from tinygen.command_line import UsageError
from tinygen.training.graph import GraphStep


def small(device: str) -> tuple[dict[str, Any], Callable[..., dict[str, Any]]]:
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


def losses(step: Callable[..., dict[str, Any]], sizes: list[int], device: str) -> list[float]:
    random = numpy.random.default_rng(0)
    batches = [backend.to_device(random.standard_normal((n, 3)).astype("float32"), device) for n in sizes]
    return [step(x)["loss"].item() for x in batches]


@pytest.mark.parametrize("kind", [optim.SGD, optim.RMSprop, optim.Adam])
def test_every_optimiser_follows_its_schedule(kind: Any, replays: list[int], fast_device: str) -> None:
    def given() -> tuple[dict[str, Any], Callable[..., dict[str, Any]]]:
        parts, _ = small(fast_device)
        rule = kind(parts["network"].parameters(), optim.Schedule(0.1, "linear", steps=12))

        def step(x: Any) -> dict[str, Any]:
            loss = (parts["network"](tg.Tensor(x)) ** 2).mean()
            rule.minimize(loss)
            return {"loss": loss}

        return {"network": parts["network"], "rule": rule}, step

    (_, plain), (parts, step) = given(), given()
    manual_seed(0)
    expected = losses(plain, [5] * 10, fast_device)
    manual_seed(0)
    assert losses(GraphStep(step, parts, fast_device), [5] * 10, fast_device) == expected
    assert len(replays) == 7


def test_noise_dropout_average_and_spectral_norm_go_on(replays: list[int], fast_device: str) -> None:
    """Batches of another size are done without the graph, and it goes on after them."""
    sizes = [5, 5, 5, 5, 5, 4, 5, 3, 5, 5]
    (others, plain), (parts, step) = small(fast_device), small(fast_device)
    manual_seed(0)
    expected = losses(plain, sizes, fast_device)
    manual_seed(0)
    assert losses(GraphStep(step, parts, fast_device), sizes, fast_device) == expected
    assert len(set(expected)) == len(expected)
    assert len(replays) == 5
    for name, part in parts.items():
        for key, array in part.state_dict().items():
            assert_array_equal(array, others[name].state_dict()[key], err_msg=f"{name}.{key}")


def steered_step(device: str) -> tuple[GraphStep, list[float]]:
    """A step whose weight the host halves each time, and that weight."""
    weight = [1.0]

    def step(x: Any) -> dict[str, Any]:
        weight[0] *= 0.5
        return {"loss": weight[0] * tg.Tensor(x).sum()}

    return GraphStep(step, small(device)[0], device), weight


def test_a_step_that_the_host_steers_goes_on_without_replays(replays: list[int], capsys: Any, fast_device: str) -> None:
    steered, weight = steered_step(fast_device)
    x = backend.to_device(numpy.ones((2, 3), "float32"), fast_device)
    assert [steered(x)["loss"].item() for _ in range(3)] == [3.0, 1.5, 0.75]
    steered(x)
    assert "goes on without replays" in capsys.readouterr().out
    weight[0] = 1.0
    assert steered(x)["loss"].item() == 3.0
    assert len(replays) == 1


@pytest.mark.parametrize("sizes", [[5, 5, 5, 3, 5, 5], [5, 5, 3, 5, 5, 3], [3, 5, 3, 5, 3, 3]])
def test_batches_of_another_size_are_not_counted(sizes: list[int], replays: list[int], capsys: Any, fast_device: str) -> None:
    steered, _ = steered_step(fast_device)
    for n in sizes:
        steered(backend.to_device(numpy.ones((n, 3), "float32"), fast_device))
    assert ("goes on without replays" in capsys.readouterr().out, len(replays)) == (sizes.count(sizes[0]) >= 4, sizes.count(sizes[0]) >= 4)


def test_an_array_that_was_replaced_ends_the_replays(replays: list[int], capsys: Any, fast_device: str) -> None:
    parts, step = small(fast_device)
    graphed = GraphStep(step, parts, fast_device)
    losses(graphed, [5] * 5, fast_device)
    for parameter in parts["network"].parameters():
        parameter.data = parameter.data.copy()
    before = len(replays)
    losses(graphed, [5] * 2, fast_device)
    assert len(replays) == before == 2
    assert capsys.readouterr().out.count("goes on without replays") == 1


def test_a_step_that_reads_a_number_is_refused(fast_device: str) -> None:
    parts, _ = small(fast_device)

    def step(x: Any) -> dict[str, Any]:
        return {"loss": tg.Tensor(x).sum().item()}

    reading = GraphStep(step, parts, fast_device)
    x = backend.to_device(numpy.ones((2, 3), "float32"), fast_device)
    reading(x)
    reading(x)
    with pytest.raises(UsageError, match="--graph: this step cannot be recorded, so leave it out: "):
        reading(x)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_named_with_the_cure(monkeypatch: pytest.MonkeyPatch, fast_device: str) -> None:
    parts, step = small(fast_device)
    graphed = GraphStep(step, parts, fast_device)
    losses(graphed, [5] * 3, fast_device)
    monkeypatch.setattr(tempfile, "TemporaryFile", functools.partial(open, "/dev/full", "w+b"))
    told = r"^--graph: the state cannot be kept in .*: No space left on device; TMPDIR may name another one$"
    with pytest.raises(UsageError, match=told):
        losses(graphed, [5], fast_device)


def test_the_comparison_holds_no_copy_of_the_state() -> None:
    network = nn.Dense(600, 600)
    rule, x = optim.Adam(network.parameters()), numpy.ones((2, 600), "float32")

    def step(x: Any) -> dict[str, Any]:
        loss = (network(tg.Tensor(x)) ** 2).mean()
        rule.minimize(loss)
        return {"loss": loss}

    graphed = GraphStep(step, {"network": network, "rule": rule}, "cpu")
    graphed(x)
    graphed(x)
    state = 3 * network.weight.data.nbytes
    assert peak_memory(lambda: graphed(x)) < 0.8 * state  # of the fourth call, behind the third; one part is read at a time
