"""Several devices in one program: mixing them is refused, and moving changes no result."""

import functools
from typing import Any

import numpy
import pytest
import tinygen_kernels
from device_arrays import need
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from op_row import Example, Op
from op_table import OPS

import tinygen.functional as F
from tinygen import Tensor, grad, manual_seed, nn, optim
from tinygen.backend import to_device
from tinygen.saving import checkpoint

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("fast_kernels")]

fixed = settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])


@functools.cache
def one_of(op: Op) -> Example:
    """Any example of a row of the table, with all the arrays that it can take."""
    once = settings(database=None, max_examples=20, phases=[Phase.generate])
    return find(op.examples(), lambda example: len(example.arrays) > (op.name in ("concatenate", "stack")), settings=once)


of_several = pytest.mark.parametrize("op", [op for op in OPS if len(one_of(op).arrays) > 1], ids=str)


@of_several
@pytest.mark.parametrize("devices", [("cpu", "cuda"), ("cuda", "cpu"), ("cuda", "cuda:1"), ("cuda:1", "cuda")], ids=str)
def test_arguments_on_different_devices_are_refused_in_one_sentence(op: Op, devices: tuple[str, str]) -> None:
    need(*devices)
    first, *others = one_of(op).arrays
    inputs = [Tensor(to_device(first.copy(), devices[0])), *[Tensor(to_device(other.copy(), devices[1])) for other in others]]
    mixed = r"^\w+: arguments on different devices: .* on c.*; move them to one with \.to\(device\)$"
    # Of two GPUs the second is current, and a composed function may begin with operations on the
    # first.
    alone = r"The device where the array resides \(\d\) is different from the current device \(\d\)"
    with pytest.raises(ValueError, match=mixed if "cpu" in devices else f"{mixed}|{alone}"):
        one_of(op).function(*inputs)


@pytest.mark.parametrize("op", OPS, ids=str)
def test_a_second_gpu_serves_as_well_as_the_first(op: Op) -> None:
    need("cuda:1")
    results = []
    for device in ("cpu", "cuda:1"):
        inputs = one_of(op).tensors(device=device)
        y = one_of(op).function(*inputs)
        results.append([y, *grad(y, inputs, F.ones(y.shape, "float64", y.device))])
    for a, b in zip(*results, strict=True):
        assert b.device == "cuda:1"
        assert_allclose(b.numpy(), a.numpy(), rtol=1e-12, atol=1e-12)


def test_kernels_take_arrays_of_one_device_which_becomes_current() -> None:
    import cupy

    need("cuda:1")
    x, y = to_device(numpy.zeros(3), "cuda:1"), to_device(numpy.zeros(3), "cuda")
    assert tinygen_kernels.for_array(x, None, x) is tinygen_kernels.cuda
    assert cupy.cuda.Device() == x.device
    with pytest.raises(ValueError, match=r"^the kernels take arrays of one device, not of <CUDA Device 1>, cpu$"):
        tinygen_kernels.for_array(x, numpy.zeros(3))
    with pytest.raises(ValueError, match=r"^the kernels take arrays of one device, not of <CUDA Device 1>, <CUDA Device 0>$"):
        tinygen_kernels.for_array(x, y)
    with pytest.raises(TypeError, match=r"^the kernels take float32 and float64, not int64$"):
        tinygen_kernels.for_array(x.astype("int64"))


@pytest.mark.parametrize("optimizer", [optim.SGD, optim.Adam, optim.RMSprop])
def test_a_network_over_two_gpus_trains(optimizer: Any) -> None:
    """Its first half on one, its second half on the other; gradients travel back."""
    need("cuda:1")
    first, second = nn.Dense(3, 4).to("cuda"), nn.Dense(4, 1).to("cuda:1")
    x = F.randn((5, 3), device="cuda")
    second(F.relu(first(x)).to("cuda:1")).sum().backward()
    assert {p.grad.device for p in first.parameters() if p.grad is not None} == {"cuda:0"}
    assert {p.grad.device for p in second.parameters() if p.grad is not None} == {"cuda:1"}
    before = [p.numpy() for p in (first.weight, second.weight)]
    optimizer([*first.parameters(), *second.parameters()]).step()
    assert all((p.numpy() != old).any() for p, old in zip((first.weight, second.weight), before, strict=True))


@fixed
@given(data=st.data(), n=st.integers(0, 40), size=st.integers(1, 9))
def test_gradients_of_repeated_indices_are_sums_of_exact_numbers(data: st.DataObject, n: int, size: int) -> None:
    """The sum of integers does not depend on the order, and no infinity leaks to another element."""
    index = numpy.array(data.draw(st.lists(st.integers(-size, size - 1), min_size=n, max_size=n)), "int64")
    values = numpy.array(data.draw(st.lists(st.sampled_from([1.0, 2.0, -3.0, 16.0, numpy.inf]), min_size=n, max_size=n)), "float32")
    expected = numpy.zeros(size, "float32")
    numpy.add.at(expected, index, values)
    x = F.zeros((size,), device="cuda", requires_grad=True)
    found = grad(x[index], x, F.tensor(values, device="cuda"))
    assert_array_equal(found.numpy(), expected)


def test_gradients_of_repeated_indices_have_the_same_bits_every_time() -> None:
    random = numpy.random.default_rng(0)
    index, values = random.integers(10, size=1000), F.tensor(random.standard_normal(1000), "float32", "cuda")
    x = F.zeros((10,), device="cuda", requires_grad=True)
    assert len({grad(x[index], x, values).numpy().tobytes() for _ in range(5)}) == 1


class Trained:
    """A small network and its optimiser after some steps on a device."""

    def __init__(self, steps: int, device: str) -> None:
        manual_seed(0)
        self.model = nn.Sequential(nn.Dense(3, 4, bias=False), nn.BatchNorm(4), nn.ReLU(), nn.Dense(4, 2)).to(device)
        self.adam = optim.Adam(self.model.parameters(), 0.01)
        self.train(steps)

    def train(self, steps: int) -> None:
        for _ in range(steps):
            loss = (self.model(F.randn((8, 3), device=self.model.parameters()[0].device)) ** 2).mean()
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()

    def state(self) -> dict[str, Any]:
        parts = {"model": self.model.state_dict(), "adam": self.adam.state_dict()}
        return {f"{part}/{name}": array for part, state in parts.items() for name, array in state.items()}

    def load(self, arrays: dict[str, Any]) -> None:
        for part, owner in (("model/", self.model), ("adam/", self.adam)):
            owner.load_state_dict({name.removeprefix(part): array for name, array in arrays.items() if name.startswith(part)})


@pytest.mark.parametrize("devices", [("cuda", "cpu"), ("cpu", "cuda"), ("cuda", "cuda:1")], ids=str)
def test_a_checkpoint_goes_on_on_another_device(devices: tuple[str, str], tmp_path: Any) -> None:
    need(*devices)
    saved, loaded = Trained(2, devices[0]), Trained(0, devices[1])
    checkpoint.save(tmp_path / "saved", saved.state(), {})
    loaded.load(checkpoint.load(tmp_path / "saved")[0])
    for name, array in saved.state().items():
        assert_array_equal(loaded.state()[name], array)
    for trained in (saved, loaded):
        manual_seed(1)
        trained.train(2)
    for name, array in saved.state().items():
        assert_allclose(loaded.state()[name], array, rtol=1e-5, atol=1e-7)


def test_the_state_of_an_optimiser_follows_its_parameters() -> None:
    moved, stayed = Trained(2, "cpu"), Trained(2, "cpu")
    moved.model.to("cuda")
    for trained in (moved, stayed):
        manual_seed(1)
        trained.train(2)
    assert {array.device.id for state in moved.adam.state for array in state.values()} == {0}
    for name, array in stayed.state().items():
        assert_allclose(moved.state()[name], array, rtol=1e-5, atol=1e-7)
