import copy
import itertools
import pickle
import sys
from contextlib import nullcontext
from typing import Any

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from tinygen import Listener, Tensor, backend, grad, is_recording, listening, nn, no_grad, ones, optim, randn, tensor, zeros
from tinygen.engine.listeners import Event
from tinygen.testing import gradcheck

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
    """Parts of all kinds: a parameter, a buffer, a list, a module that is there twice, a constant, and a Tensor kept from forward."""

    def __init__(self) -> None:
        self.scale = nn.Parameter(ones((2,)))
        self.mean = nn.Buffer(ones((2,)))
        self.constant = ones((1,))
        self.encoder = [nn.Dense(2, 3), nn.Tanh()]
        self.decoder = nn.Dense(3, 2)
        self.again = self.decoder
        self.name = "not a part"

    def forward(self, x: Tensor) -> Tensor:
        self.code = self.encoder[1](self.encoder[0](x * self.scale))
        return self.again(self.decoder(self.code) @ zeros((2, 3))) * self.mean * self.constant


OWN = ["scale", "mean", "encoder.0.weight", "encoder.0.bias", "decoder.weight", "decoder.bias", "again.weight", "again.bias"]


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


class TestDeclared:
    """What is state is said: B1 and B2 are what came of guessing."""

    def test_a_computed_tensor_is_not_a_parameter(self) -> None:
        class Layer(nn.Module):
            def __init__(self) -> None:
                self.weight = randn((3, 3), requires_grad=True) * 0.1

        with pytest.raises(TypeError, match=r"^Layer\.weight requires gradients but is not a Parameter, so it would not be trained; make"):
            Layer()

    @pytest.mark.parametrize("hold", [lambda t: t, lambda t: [t], lambda t: {"deep": (0, t)}], ids=["alone", "list", "dict"])
    def test_nor_is_a_leaf_that_requires_gradients(self, hold: Any) -> None:
        with pytest.raises(TypeError, match=r"^Module\.part[.deep01]* requires gradients but is not a Parameter, "):
            nn.Module().part = hold(zeros((2,), requires_grad=True))

    def test_the_cure_makes_it_one(self) -> None:
        model = nn.Module()
        model.weight = nn.Parameter(randn((3, 3), requires_grad=True) * 0.1)
        assert model.weight.node is None and model.weight.requires_grad
        assert model.parameters() == [model.weight]

    @pytest.mark.parametrize("kept", [lambda m, x: x, lambda m, x: m.query(x), lambda m, x: [m.query(x)]], ids=["input", "map", "list"])
    @pytest.mark.parametrize("recorded", [True, False])
    def test_forward_may_keep_what_it_likes(self, kept: Any, recorded: bool) -> None:
        class Attention(nn.Module):
            def __init__(self) -> None:
                self.query = nn.Dense(2, 2)

            def forward(self, x: Tensor) -> Tensor:
                self.map = kept(self, x)
                return self.query(x)

        model = Attention()
        state = model.state_dict()
        with nullcontext() if recorded else no_grad():
            model(ones((1, 2), requires_grad=True))
        assert list(model.state_dict()) == list(state) == ["query.weight", "query.bias"]
        assert [name for name, _ in model.named_tensors()] == list(state)
        model.load_state_dict(state)

    def test_so_may_other_methods_what_parameters_have_part_in(self) -> None:
        model = Autoencoder()
        model.code = model.encoder[0](ones((1, 2)))
        model.loss = model(ones((1, 2))).sum()
        assert list(model.state_dict()) == OWN

    def test_a_forward_that_fails_does_not_open_the_door(self) -> None:
        with pytest.raises(ValueError):
            nn.Dense(2, 3)(ones((1, 5)))
        with pytest.raises(TypeError, match="is not a Parameter"):
            nn.Module().part = zeros((2,), requires_grad=True)

    @pytest.mark.parametrize("name", ["gamma", "running_mean"])
    @pytest.mark.parametrize("other", [ones((2,)), numpy.ones(2), 1.0])
    def test_neither_kind_is_lost_by_an_assignment(self, name: str, other: Any) -> None:
        model, kind = nn.BatchNorm(2), "Parameter" if name == "gamma" else "Buffer"
        said = rf"^BatchNorm\.{name} is a {kind} and cannot become a \w+; write its values into {name}\.data\[\.\.\.\], or make "
        with pytest.raises(TypeError, match=said):
            setattr(model, name, other)
        setattr(model, name, getattr(nn, kind)(zeros((2,))))
        assert_array_equal(model.state_dict()[name], [0, 0])
        setattr(model, name, None)
        assert name not in model.state_dict()

    @pytest.mark.parametrize("kind", [nn.Parameter, nn.Buffer])
    @pytest.mark.parametrize("data", [[1.0, 2.0], numpy.array([1, 2], numpy.float32), tensor([1.0, 2.0])])
    def test_both_kinds_hold_a_copy(self, kind: Any, data: Any) -> None:
        made = kind(data)
        assert made.numpy().tolist() == [1, 2] and made.dtype == numpy.float32
        made.data[0] = 5
        assert numpy.asarray(data).tolist() == [1, 2]
        assert type(made * 2.0) is Tensor

    def test_a_buffer_may_count_and_a_parameter_may_not(self) -> None:
        assert nn.Buffer([0]).dtype.kind == "i"
        with pytest.raises(TypeError, match=r"^only floating-point tensors can require gradients, this one is int64 of shape \(1,\); say "):
            nn.Parameter([0])

    @pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["deepcopy", "pickle"])
    def test_a_copied_model_has_the_same(self, copied: Any) -> None:
        model = nn.Sequential(nn.SpectralNorm(nn.Dense(2, 3)), nn.BatchNorm(3))
        twin = copied(model)
        for (name, a), (other, b) in zip(model.named_tensors(), twin.named_tensors(), strict=True):
            assert name == other and type(a) is type(b) and a is not b and a.requires_grad == b.requires_grad
            assert_array_equal(a.numpy(), b.numpy())


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


class Heard(Listener):
    """The names of the layers that ended, each with the modules among its inputs."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def layer(self, module: Any, inputs: Any) -> Event:
        yield
        self.names.append(", ".join(type(part).__name__ for part in (module, *inputs) if isinstance(part, nn.Module)))


class TestSequential:
    def test_is_a_sequence_of_layers(self) -> None:
        layers = [nn.Dense(2, 3), nn.Tanh(), nn.Dense(3, 1)]
        model, x = nn.Sequential(*layers), ones((4, 2))
        assert len(model) == 3 and list(model) == layers and [model[i] for i in (0, 1, -1)] == layers
        assert type(model[:2]) is nn.Sequential and list(model[:2]) == layers[:2]
        assert_array_equal(model[2:](model[:2](x)).numpy(), model(x).numpy())
        with pytest.raises(IndexError):
            model[3]

    @pytest.mark.parametrize("training", [True, False])
    def test_an_activation_behind_a_layer_gives_the_same_bits_in_one_pass(self, training: bool) -> None:
        layers = [
            nn.Conv2D(2, 3, 3),
            nn.ReLU(),
            nn.ConvTranspose2D(3, 4, 3),
            nn.LeakyReLU(),
            nn.LeakyReLU(),
            nn.BatchNorm(4),
            nn.LeakyReLU(),
        ]
        model, x = nn.Sequential(*layers, nn.Conv2D(4, 1, 1)).train(training), randn((3, 6, 5, 2))
        y = model(x)
        for layer in model:
            x = layer(x)
        assert_array_equal(y.numpy(), x.numpy())
        for one, other in zip(grad(y.sum(), model.parameters()), grad(x.sum(), model.parameters()), strict=True):
            assert_array_equal(one.numpy(), other.numpy())

    def test_a_layer_and_the_activation_behind_it_are_heard_as_one(self) -> None:
        heard = Heard()
        with listening(heard):
            nn.Sequential(nn.Conv2D(1, 2, 1), nn.ReLU(), nn.LeakyReLU(), nn.BatchNorm(2), nn.LeakyReLU(0.5))(ones((2, 2, 2, 1)))
        assert heard.names == ["Conv2D, ReLU", "LeakyReLU", "BatchNorm, LeakyReLU", "Sequential"]

    def test_a_layer_with_a_forward_of_its_own_runs_by_itself(self) -> None:
        class Rectified(nn.ReLU):
            def forward(self, x: Tensor) -> Tensor:
                return x * 0.0 + 7.0

        class Plain(nn.Conv2D):
            def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]  # takes no activation
                return super().forward(x)

        assert (nn.Sequential(nn.Conv2D(1, 2, 1), Rectified())(ones((1, 2, 2, 1))).numpy() == 7).all()
        assert (nn.Sequential(Plain(1, 2, 1), nn.ReLU())(ones((1, 2, 2, 1))).numpy() >= 0).all()

    @pytest.mark.parametrize(
        ("layer", "said"),
        [
            (nn.ReLU, "the class ReLU; write ReLU()"),
            ([nn.ReLU()], "a list; write Sequential(*layers)"),
            (ones, "a function; a function becomes one in the forward of a Module"),
            (None, "a NoneType; a function becomes one in the forward of a Module"),
        ],
    )
    def test_takes_nothing_but_modules(self, layer: Any, said: str) -> None:
        with pytest.raises(TypeError) as refusal:
            nn.Sequential(nn.Tanh(), layer)
        assert str(refusal.value) == f"Sequential takes Modules, but layer 1 is {said}"
