"""Modules to test with: trees to draw, and an autoencoder of parts of all kinds."""

from typing import Any

from hypothesis import strategies as st

from tinygen import Tensor, nn, ones, zeros

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
