"""What a module knows of its parts, and how errors and options pass through it."""

import itertools
from contextlib import nullcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from small_models import OWN, Autoencoder, built, names, trees

from tinygen import Tensor, is_recording, nn, ones, optim, zeros

modest = settings(deadline=None, max_examples=30)


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
        model.parts = {"1": nn.Parameter(zeros((2,))), 1: nn.Parameter(ones((2,)))}
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
        assert [name for name, _ in model.named_buffers()] == ["mean"]
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

    def test_a_frozen_one_stays_a_parameter(self) -> None:
        model = Autoencoder()
        names = [name for name, _ in model.named_parameters()]
        assert model.decoder.requires_grad_(False) is model.decoder
        assert [name for name, _ in model.named_parameters()] == names
        model(ones((1, 2))).sum().backward()
        assert model.decoder.bias.grad is None and model.scale.grad is not None
        model.requires_grad_()
        model(ones((1, 2))).sum().backward()
        assert model.decoder.bias.grad is not None

    def test_an_optimiser_made_while_a_layer_is_frozen_moves_it_later(self) -> None:
        model = nn.Sequential(nn.Dense(2, 3), nn.Dense(3, 2))
        model[0].requires_grad_(False)
        adam, before = optim.Adam(model.parameters()), model.state_dict()
        adam.minimize((model(ones((4, 2))) ** 2).sum())
        assert_array_equal(model.state_dict()["layers.0.weight"], before["layers.0.weight"])
        model[0].requires_grad_()
        adam.minimize((model(ones((4, 2))) ** 2).sum())
        assert (model.state_dict()["layers.0.weight"] != before["layers.0.weight"]).all()

    def test_a_reference_to_the_parent_is_not_a_part(self) -> None:
        model = nn.Sequential(nn.Dense(2, 3), nn.Sequential(nn.Tanh()))
        model[1].parent = model
        names = ["", "layers.0", "layers.1", "layers.1.layers.0"]
        assert [name for name, _ in model.named_modules()] == names
        assert list(model.state_dict()) == ["layers.0.weight", "layers.0.bias"]
        assert [module.training for module in model.eval().modules()] == [False] * 4
        assert repr(model[1]) == (
            "Sequential(\n  layers.0: Tanh()\n  parent: Sequential(\n    layers.0: Dense(2 -> 3)\n    layers.1: ...\n  )\n)"
        )

    def test_apply_meets_each_once(self) -> None:
        model, met = Autoencoder(), list[nn.Module]()
        assert model.apply(met.append) is model
        assert met == [model, *model.encoder, model.decoder]

    def test_zero_grad_forgets_the_gradients(self) -> None:
        model = Autoencoder()
        model(ones((1, 2))).sum().backward()
        assert all(p.grad is not None for p in model.parameters())
        model.decoder.requires_grad_(False)
        model.zero_grad()
        assert all(p.grad is None for p in model.parameters()), "those of frozen parameters too"

    def test_a_frozen_layer_stays_where_it_is(self) -> None:
        """Also when its last gradient was there as it was frozen."""
        model = nn.Sequential(nn.Dense(2, 3), nn.Tanh(), nn.Dense(3, 2))
        adam, x = optim.Adam(model.parameters(), 1e-2), ones((4, 2))
        (model(x) ** 2).sum().backward()
        adam.step()
        model[0].requires_grad_(False)
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


class TestErrors:
    def test_name_the_layers_from_the_innermost_out(self) -> None:
        model = nn.Sequential(nn.ReLU(), nn.Sequential(nn.Dense(2, 3), nn.Dense(4, 1)))
        with pytest.raises(ValueError) as refusal:
            model(ones((5, 2)))
        assert str(refusal.value) == "dense: x (5, 3) must end in the 4 features that weight (4, 1) (in, out) takes"
        assert refusal.value.__notes__ == ["in Dense(4 -> 1)", "in Sequential()", "in Sequential()"]

    @pytest.mark.parametrize("error", [TypeError("a"), KeyError("b"), UnicodeDecodeError("utf-8", b"\xff", 0, 1, "c"), MemoryError("full")])
    def test_of_a_user_s_own_forward_keep_their_type(self, error: Exception) -> None:
        class Broken(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                raise error

        with pytest.raises(type(error)) as raised:
            nn.Sequential(Broken())(ones((1,)))
        assert raised.value is error and error.__notes__ == ["in Broken()", "in Sequential()"]

    def test_a_module_without_forward_says_so(self) -> None:
        with pytest.raises(NotImplementedError, match=r"^Module has no forward"):
            nn.Module()(ones((1,)))


def test_options_reach_forward_by_name() -> None:
    class Scaled(nn.Module):
        def forward(self, x: Tensor, *, by: float = 1.0) -> Tensor:
            return x * by

    assert Scaled()(ones((1,)), by=3.0).item() == Scaled()(x=ones((1,)) * 3.0).item() == 3
