"""The state of a module: a copy of it makes another the same; its dtype and device can change."""

import sys
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from numpy.testing import assert_array_equal
from small_models import Autoencoder, built, trees

from tinygen import backend, nn, ones, optim, randn, tensor, zeros
from tinygen.testing import gradcheck

modest = settings(deadline=None, max_examples=30)


class TestState:
    @modest
    @given(tree=trees)
    def test_makes_another_model_the_same(self, tree: Any) -> None:
        model, twin = built(tree), built(tree)
        held = [t.data for _, t in twin.named_tensors()]
        twin.load_state_dict(model.state_dict())
        for (name, a), (_, b), array in zip(model.named_tensors(), twin.named_tensors(), held, strict=True):
            assert_array_equal(a.data, b.data, err_msg=name)
            assert b.data is array, "loading is in place, so that an optimiser keeps its parameters"

    def test_is_a_copy(self) -> None:
        model = nn.Dense(1, 1)
        state = model.state_dict()
        weight = state["weight"].item()
        model.weight.data += 1
        assert state["weight"] == weight
        state["weight"] += 5
        assert model.weight.item() == pytest.approx(weight + 1)

    def test_without_copies_has_the_arrays_that_a_step_changes(self) -> None:
        model = nn.Sequential(nn.Dense(2, 3), nn.BatchNorm(3))
        rules = optim.Adam(model.parameters()[:2]), optim.Groups([optim.SGD(model.parameters()[2:], momentum=0.9)])
        average = optim.Average(model, 0.5)

        def step() -> None:
            model(randn((4, 2))).sum().backward()
            for part in (*rules, average):
                part.update() if part is average else part.step()

        step()
        for part in (model, *rules, average):
            live, copies = part.state_dict(copy=False), part.state_dict()
            before = {name: array.copy() for name, array in copies.items()}
            step()
            moved = [name for name, array in part.state_dict().items() if array.ndim and (array != before[name]).any()]
            assert moved
            for name in moved:
                assert_array_equal(live[name], part.state_dict()[name], err_msg=name)
                assert_array_equal(copies[name], before[name], err_msg=name)

    def test_of_another_model_is_refused_with_all_that_is_wrong_and_changes_nothing(self) -> None:
        model = nn.Sequential(nn.Dense(2, 3), nn.Dense(3, 1))
        before = model.state_dict()
        wrong = {name: array + 1 for name, array in before.items()}
        wrong["extra"] = wrong.pop("layers.0.bias")
        wrong["more"] = wrong.pop("layers.1.bias")
        wrong["layers.0.weight"] = numpy.zeros((3, 2), numpy.float32)
        wrong["layers.1.weight"] = numpy.zeros((3, 1))
        with pytest.raises(ValueError) as refusal:
            model.load_state_dict(wrong)
        assert str(refusal.value) == (
            "this state does not fit Sequential: missing layers.0.bias, layers.1.bias; unexpected extra, more; "
            "layers.0.weight is float32 (3, 2) instead of float32 (2, 3); layers.1.weight is float64 (3, 1) instead of float32 (3, 1)"
        )
        for name, array in model.state_dict().items():
            assert_array_equal(array, before[name])

    def test_what_both_have_can_be_taken_alone(self) -> None:
        model = nn.Sequential(nn.Dense(2, 3), nn.Dense(3, 1))
        before = model.state_dict()
        state = {"layers.0.weight": numpy.ones((2, 3), numpy.float32), "head": numpy.ones(1)}
        missing, unexpected = model.load_state_dict(state, strict=False)
        assert (missing, unexpected) == (["layers.0.bias", "layers.1.weight", "layers.1.bias"], ["head"])
        after = model.state_dict()
        assert_array_equal(after["layers.0.weight"], 1)
        assert_array_equal(after["layers.1.weight"], before["layers.1.weight"])
        assert model.load_state_dict(before) == ([], [])
        with pytest.raises(ValueError, match=r"^this state does not fit Sequential: layers\.0\.bias is a list, not an array$"):
            model.load_state_dict({"layers.0.bias": [1, 2, 3]}, strict=False)
        with pytest.raises(ValueError, match=r"^this state does not fit Sequential: layers\.0\.weight is float64 "):
            model.load_state_dict({"layers.0.weight": numpy.ones((2, 3))}, strict=False)


class TestTo:
    @pytest.mark.parametrize("target", ["float64", numpy.float64, numpy.dtype("float64")])
    def test_converts_what_is_floating(self, target: Any) -> None:
        model = nn.Sequential(nn.Dense(2, 3), nn.BatchNorm(3))
        model[0].count = nn.Buffer([7])
        model(ones((2, 2))).sum().backward()
        before = model.state_dict()
        assert model.to(target) is model
        kinds = {name: array.dtype.name for name, array in model.state_dict().items()}
        assert kinds.pop("layers.0.count") == "int64" and set(kinds.values()) == {"float64"}
        assert {p.grad.dtype.name for p in model.parameters()} == {"float64"}
        assert model.float() is model
        for name, array in model.state_dict().items():
            assert array.dtype == before[name].dtype
            assert_array_equal(array, before[name])

    def test_a_layer_of_doubles_passes_gradcheck(self) -> None:
        layer = nn.Dense(3, 2).double()
        gradcheck(lambda x: layer(x), randn((4, 3), "float64", requires_grad=True))

    def test_moves_parameters_gradients_and_buffers_in_place(self, device: str) -> None:
        model = nn.Sequential(Autoencoder(), nn.BatchNorm(2))
        model(tensor([[1.0, 2.0], [3.0, 5.0]])).sum().backward()
        before, held = model.state_dict(), [t for _, t in model.named_tensors()]
        gradients = [p.grad.numpy() for p in model.parameters()]
        assert model.to(device) is model
        where = zeros((1,), device=device).device
        assert [id(t) for _, t in model.named_tensors()] == [id(t) for t in held]
        assert {t.device for t in [*held, *[p.grad for p in model.parameters()]]} == {where}
        for name, array in model.state_dict().items():
            assert_array_equal(array, before[name])
        for p, gradient in zip(model.parameters(), gradients, strict=True):
            assert_array_equal(p.grad.numpy(), gradient)

    def test_the_cpu_is_a_no_op_there(self) -> None:
        model = Autoencoder()
        held = [t.data for _, t in model.named_tensors()]
        model.to("cpu")
        assert all(t.data is array for (_, t), array in zip(model.named_tensors(), held, strict=True))

    @pytest.mark.parametrize(
        ("device", "error", "said"),
        [("nonsense", ValueError, 'unknown device "nonsense": devices are '), ("cuda", ValueError, 'device "cuda" needs CuPy, ')],
    )
    def test_what_is_not_there_is_refused(self, device: str, error: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "cupy", None)
        with pytest.raises(error, match=f"^{said}"):
            Autoencoder().to(device)

    def test_a_move_that_fails_halfway_leaves_the_model_as_it_was(self, monkeypatch: pytest.MonkeyPatch) -> None:
        model = Autoencoder()
        held = [t.data for _, t in model.named_tensors()]
        moved = []

        def to_a_small_device(x: numpy.ndarray, device: str) -> numpy.ndarray:
            if len(moved) == 3:
                raise MemoryError("the device is full")
            moved.append(x.copy())
            return moved[-1]

        monkeypatch.setattr(backend, "to_device", to_a_small_device)
        with pytest.raises(MemoryError):
            model.to("cuda")
        assert all(t.data is array for (_, t), array in zip(model.named_tensors(), held, strict=True))
