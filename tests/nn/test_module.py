import itertools
import sys
from contextlib import nullcontext
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinygen import Tensor, backend, is_recording, nn, ones, optim, random_state, tensor, zeros
from tinygen.nn.module import observed

modest = settings(deadline=None, max_examples=30)

# A tree of modules: a leaf is a layer's number of tensors, a list is a Sequential.
LEAVES = {
    "dense": (lambda: nn.Dense(2, 2), ["weight", "bias"], []),
    "norm": (lambda: nn.BatchNorm(2), ["gamma", "beta"], ["running_mean", "running_var"]),
    "tanh": (nn.Tanh, [], []),
}
trees = st.recursive(st.sampled_from(sorted(LEAVES)), lambda tree: st.lists(tree, max_size=3), max_leaves=8)


def built(tree: Any) -> nn.Module:
    return nn.Sequential(*map(built, tree)) if isinstance(tree, list) else LEAVES[tree][0]()


def names(tree: Any, buffers: bool, prefix: str = "") -> list[str]:
    """The names of the parameters, and of the buffers too where asked, of a tree."""
    if isinstance(tree, list):
        return [name for i, part in enumerate(tree) for name in names(part, buffers, f"{prefix}layers.{i}.")]
    _, parameters, others = LEAVES[tree]
    return [prefix + name for name in parameters + (others if buffers else [])]


class Autoencoder(nn.Module):
    """Parts of all kinds: a parameter, a frozen one, a list, a module that is there twice, and a Tensor kept from forward."""

    def __init__(self) -> None:
        self.scale = ones((2,), requires_grad=True)
        self.frozen = ones((2,))
        self.encoder = [nn.Dense(2, 3), nn.Tanh()]
        self.decoder = nn.Dense(3, 2)
        self.again = self.decoder
        self.name = "not a part"

    def forward(self, x: Tensor) -> Tensor:
        self.code = self.encoder[1](self.encoder[0](x * self.scale))
        return self.again(self.decoder(self.code) @ zeros((2, 3))) * self.frozen


OWN = ["scale", "frozen", "encoder.0.weight", "encoder.0.bias", "decoder.weight", "decoder.bias", "again.weight", "again.bias"]


class TestParts:
    @modest
    @given(tree=trees)
    def test_names_say_the_way_in_the_order_of_definition(self, tree: Any) -> None:
        model = built(tree)
        assert [name for name, _ in model.named_tensors()] == names(tree, buffers=True) == list(model.state_dict())
        assert [name for name, _ in model.named_parameters()] == names(tree, buffers=False)
        assert [id(t) for t in model.parameters()] == [id(t) for _, t in model.named_parameters()]

    def test_of_one_name_are_refused_before_one_is_lost(self) -> None:
        model = nn.Module()
        model.parts = {"1": zeros((2,), requires_grad=True), 1: ones((2,), requires_grad=True)}
        with pytest.raises(ValueError, match=r"^Module: two tensors have the name parts\.1$"):
            model.state_dict()

    @modest
    @given(tree=trees)
    def test_modes_reach_all_of_them(self, tree: Any) -> None:
        model = built(tree)
        assert {module.training for module in model.modules()} == {True}
        assert model.eval() is model and {module.training for module in model.modules()} == {False}
        assert model.train() is model and {module.training for module in model.modules()} == {True}

    @modest
    @given(tree=trees, modes=st.lists(st.booleans(), min_size=1), fails=st.booleans())
    def test_are_evaluated_and_then_each_is_in_its_own_mode_again(self, tree: Any, modes: list[bool], fails: bool) -> None:
        model = built(tree)
        for module, mode in zip(model.modules(), itertools.cycle(modes), strict=False):
            module.training = mode
        before = [module.training for module in model.modules()]
        with pytest.raises(KeyError) if fails else nullcontext(), nn.evaluating(model):
            assert not any(module.training for module in model.modules()) and not is_recording()
            if fails:
                raise KeyError
        assert [module.training for module in model.modules()] == before and is_recording()

    def test_are_found_by_what_they_are(self) -> None:
        model = Autoencoder()
        model(ones((1, 2)))
        assert model.code.node is not None
        assert [name for name, _ in model.named_tensors()] == OWN
        assert [name for name, _ in model.named_buffers()] == ["frozen"]
        assert [name for name, _ in model.children()] == ["encoder.0", "encoder.1", "decoder", "again"]

    def test_are_found_in_lists_and_dicts_of_any_depth(self) -> None:
        class Branches(nn.Module):
            def __init__(self) -> None:
                self.branches = {"left": [nn.Dense(1, 2), (nn.Dense(2, 3),)], "right": nn.Dense(1, 3, bias=False)}

        names = [name for name, _ in Branches().named_parameters()]
        assert names == [
            *("branches.left.0.weight", "branches.left.0.bias", "branches.left.1.0.weight", "branches.left.1.0.bias"),
            "branches.right.weight",
        ]

    def test_a_shared_parameter_is_trained_once(self) -> None:
        model = Autoencoder()
        assert [id(p) for p in model.parameters()] == [
            id(t) for t in (model.scale, model.encoder[0].weight, model.encoder[0].bias, model.decoder.weight, model.decoder.bias)
        ]

    def test_a_frozen_parameter_is_a_buffer(self) -> None:
        model = Autoencoder()
        model.scale.requires_grad = False
        assert [name for name, _ in model.named_buffers()] == ["scale", "frozen"]
        model(ones((1, 2))).sum().backward()
        assert model.scale.grad is None and model.decoder.bias.grad is not None

    def test_zero_grad_forgets_the_gradients(self) -> None:
        model = Autoencoder()
        model(ones((1, 2))).sum().backward()
        assert all(p.grad is not None for p in model.parameters())
        model.zero_grad()
        assert all(p.grad is None for p in model.parameters())

    def test_a_frozen_layer_stays_where_it_is(self) -> None:
        """Also when its last gradient was there as it was frozen."""
        model = nn.Sequential(nn.Dense(2, 3), nn.ReLU(), nn.Dense(3, 2))
        adam, x = optim.Adam(model.parameters(), 1e-2), ones((4, 2))
        (model(x) ** 2).sum().backward()
        adam.step()
        for p in model.layers[0].parameters():
            p.requires_grad = False
        before = model.state_dict()
        for _ in range(3):
            model.zero_grad()
            (model(x) ** 2).sum().backward()
            adam.step()
        after = model.state_dict()
        assert_array_equal(after["layers.0.weight"], before["layers.0.weight"])
        assert (after["layers.2.weight"] != before["layers.2.weight"]).any()

    def test_a_module_shows_them_in_its_text(self) -> None:
        model = nn.Sequential(nn.Dense(2, 3), nn.Sequential(nn.ReLU(), nn.Sequential()))
        assert repr(model) == (
            "Sequential(\n  layers.0: Dense(2 -> 3)\n  layers.1: Sequential(\n    layers.0: ReLU()\n    layers.1: Sequential()\n  )\n)"
        )


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


class TestTo:
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


class TestErrors:
    def test_name_only_the_innermost_layer(self) -> None:
        model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Dense(2, 3), nn.Sequential(nn.Dense(4, 1))))
        with pytest.raises(nn.LayerError) as refusal:
            model(ones((5, 2)))
        assert str(refusal.value) == "Dense(4 -> 1): dense: x (5, 3) must end in the 4 features that weight (4, 1) (in, out) takes"
        assert str(refusal.value) == f"Dense(4 -> 1): {refusal.value.__cause__}"

    def test_name_the_layer_that_met_a_wrong_type(self) -> None:
        with pytest.raises(nn.LayerError, match=r"^ReLU\(\): LeakyReLU takes Tensors and Python numbers, got an array of shape \(3,\); "):
            nn.Sequential(nn.ReLU())(numpy.ones(3))

    def test_of_other_kinds_pass_as_they_are(self) -> None:
        class Broken(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                raise MemoryError("full")

        with pytest.raises(MemoryError, match=r"^full$"):
            nn.Sequential(Broken())(ones((1,)))

    def test_a_module_without_forward_says_so(self) -> None:
        with pytest.raises(NotImplementedError, match=r"^Module has no forward$"):
            nn.Module()(ones((1,)))


class TestObserved:
    def test_sees_every_output_the_innermost_first(self) -> None:
        first, second, seen = nn.ReLU(), nn.Flatten(), []
        inner = nn.Sequential(first)
        outer = nn.Sequential(inner, second)
        with observed(lambda module, y: seen.append((module, y.shape))):
            outer(ones((2, 3, 4)))
        outer(ones((1, 1)))
        assert seen == [(first, (2, 3, 4)), (inner, (2, 3, 4)), (second, (2, 12)), (outer, (2, 12))]

    def test_ends_with_an_error(self) -> None:
        seen = []
        with pytest.raises(KeyError), observed(lambda module, y: seen.append(module)):
            raise KeyError
        nn.ReLU()(ones((1,)))
        assert seen == []


class TestSummary:
    def test_shows_layers_outputs_and_parameters(self) -> None:
        model = nn.Sequential(nn.Sequential(nn.Conv2D(1, 8, 3), nn.BatchNorm(8)), nn.ReLU(), nn.Flatten(), nn.Dense(128, 100))
        assert nn.summary(model, (2, 6, 6, 1)) == (
            "layer                                     output        parameters\n"
            "------------------------------------------------------------------\n"
            "input                                     (2, 6, 6, 1)\n"
            "Conv2D(1 -> 8, 3x3, stride 1, padding 0)  (2, 4, 4, 8)          80\n"
            "BatchNorm(8)                              (2, 4, 4, 8)          16\n"
            "ReLU()                                    (2, 4, 4, 8)\n"
            "Flatten()                                 (2, 128)\n"
            "Dense(128 -> 100)                         (2, 100)          12,900\n"
            "Sequential: 12,996 parameters"
        )

    def test_shows_a_layer_within_another_and_what_the_other_has_of_its_own(self) -> None:
        assert nn.summary(nn.SpectralNorm(nn.Dense(4, 3)), (2, 4)) == (
            "layer           output  parameters\n"
            "----------------------------------\n"
            "input           (2, 4)\n"
            "Dense(4 -> 3)   (2, 3)          15\n"
            "SpectralNorm()  (2, 3)\n"
            "SpectralNorm: 15 parameters"
        )

    def test_leaves_the_model_and_the_random_stream_as_they_were(self) -> None:
        model = nn.Sequential(nn.BatchNorm(2).eval(), nn.Dropout(), nn.Dense(2, 2), nn.BatchNorm(2))
        state, stream = model.state_dict(), random_state()
        with pytest.raises(nn.LayerError, match=r"^BatchNorm\(2\): "):
            nn.summary(model, (3, 7))
        assert nn.summary(model, (3, 2)).endswith("Sequential: 14 parameters")
        assert [module.training for module in model.modules()] == [True, False, True, True, True]
        assert is_recording()
        assert_array_equal(random_state(), stream)
        for name, array in model.state_dict().items():
            assert_array_equal(array, state[name])
