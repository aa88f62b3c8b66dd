"""What is state is declared, as a Parameter or a Buffer; everything else may be kept, too."""

import copy
import pickle
from contextlib import nullcontext
from typing import Any

import numpy
import pytest
from numpy.testing import assert_array_equal
from small_models import OWN, Autoencoder

from tinygen import Tensor, nn, no_grad, ones, randn, tensor, zeros


class TestDeclared:
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
