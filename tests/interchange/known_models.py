"""Models that are written in other formats: small ones of all layers, and the networks of all examples."""

from pathlib import Path
from typing import Any

import numpy
from repository import EXAMPLES
from saved_run import saved_run

from tinygen import nn
from tinygen.commands.loaded import LoadedRun, load_run

LAYERS = {
    "classifier": (
        lambda: nn.Sequential(
            nn.Conv2D(2, 3, 3, stride=2, padding="same"),
            nn.BatchNorm(3, negative_slope=0.1),
            nn.MaxPool2D(2),
            nn.Flatten(),
            nn.Dense(12, 5),
        ),
        (1, 8, 8, 2),
    ),
    "generator": (
        lambda: nn.Sequential(
            nn.Dense(4, 12, bias=False),
            nn.BatchNorm(12),
            nn.ReLU(),
            nn.Reshape(2, 2, 3),
            nn.ConvTranspose2D(3, 2, 5, stride=2, padding="same"),
            nn.ConvTranspose2D(2, 2, (3, 2), stride=2, padding=1, output_padding=1),
            nn.Tanh(),
        ),
        (1, 4),
    ),
    "pools": (
        lambda: nn.Sequential(
            nn.Upsample2D((2, 3)), nn.AvgPool2D(3, 2, 1), nn.LayerNorm((4, 6, 2)), nn.LayerNorm(2), nn.GlobalAvgPool2D(), nn.Sigmoid()
        ),
        (1, 4, 4, 2),
    ),
    "dilated": (
        lambda: nn.Sequential(nn.Dropout(0.5), nn.Conv2D(2, 3, (3, 2), padding=(2, 1), dilation=2), nn.LeakyReLU(0.3)),
        (1, 6, 5, 2),
    ),
    "spectral norm": (
        lambda: nn.Sequential(nn.SpectralNorm(nn.Conv2D(2, 3, 3)), nn.Flatten(), nn.SpectralNorm(nn.Dense(12, 2))),
        (1, 4, 4, 2),
    ),
    "odd sides": (
        lambda: nn.Sequential(
            nn.Conv2D(3, 2, 3, stride=2, padding="same"),
            nn.ConvTranspose2D(2, 2, 3, stride=2, padding="same", bias=False),
            nn.ConvTranspose2D(2, 2, 3, stride=3, padding=((2, 0), (0, 1)), output_padding=2),
        ),
        (1, 4, 5, 3),
    ),
    "borders": (
        lambda: nn.Sequential(
            nn.Conv2D(4, 4, 3, stride=2, padding="same", groups=2, padding_mode="reflect"),
            nn.Conv2D(4, 8, 3, padding=1, groups=4, padding_mode="replicate", bias=False),
            nn.PixelShuffle(2),
            nn.Upsample2D((2, 3), mode="bilinear"),
            nn.ConvTranspose2D(2, 2, 3, stride=2, padding=1, dilation=2),
        ),
        (1, 4, 4, 4),
    ),
    "sequences": (
        lambda: nn.Sequential(nn.Conv1D(4, 6, 3, padding="same", groups=2), nn.Conv1D(6, 2, 2, 2, 1, 2, bias=False)),
        (1, 5, 4),
    ),
    "residual": (
        lambda: nn.Sequential(
            nn.Residual(nn.Sequential(nn.GroupNorm(2, 4), nn.SiLU(), nn.Conv2D(4, 4, 3, padding=1))),
            nn.Residual(nn.Sequential(nn.InstanceNorm(4), nn.GELU(), nn.Conv2D(4, 2, 1)), nn.Conv2D(4, 2, 1)),
            nn.Identity(),
            nn.ELU(0.5),
            nn.PReLU(2),
            nn.Softplus(),
        ),
        (1, 3, 2, 4),
    ),
    "deviation": (lambda: nn.Sequential(nn.Conv2D(2, 3, 1), nn.MinibatchDeviation(), nn.Flatten(), nn.Dense(16, 2)), (1, 2, 2, 2)),
    "deviation of sequences": (lambda: nn.Sequential(nn.Dense(4, 2), nn.MinibatchDeviation()), (1, 3, 4)),
    "dense": (
        lambda: nn.Sequential(nn.Flatten(), nn.Dense(24, 8), nn.LayerNorm(8), nn.Dense(8, 24), nn.Sigmoid(), nn.Reshape(2, 4, 3)),
        (1, 4, 2, 3),
    ),
    "rows": (lambda: nn.Sequential(nn.Reshape(4, 6), nn.GRU(6, 5), nn.Flatten(), nn.Dense(20, 3)), (1, 4, 2, 3)),
    "RNN": (lambda: nn.RNN(3, 4), (1, 3, 3)),
    "GRU": (lambda: nn.GRU(3, 4), (1, 3, 3)),
    "LSTM": (lambda: nn.LSTM(3, 4), (1, 3, 3)),
    "full attention": (lambda: nn.SelfAttention(6, 3), (1, 3, 6)),
    "positions": (lambda: nn.Sequential(nn.SinusoidalPosition(), nn.LearnedPosition(4, 6)), (1, 3, 6)),
    "times": (lambda: nn.SinusoidalEncoding(6, 100.0), (1,)),
    "attention": (lambda: nn.SelfAttention(6, 2, causal=True), (1, 3, 6)),
    "cosine attention": (lambda: nn.SelfAttention(6, 2, similarity="cosine"), (1, 3, 6)),
    "attention of pixels": (lambda: nn.SelfAttention2D(8), (1, 3, 2, 8)),
    "embedding": (lambda: nn.Embedding(5, 3), numpy.array([[0, 4]])),
}


def shaken(model: nn.Module) -> nn.Module:
    """The model with all parameters and buffers away from where they start, but variances positive."""
    rng = numpy.random.default_rng(0)
    for _, t in model.named_tensors():
        t.data += (0.3 * rng.random(t.shape)).astype("float32")
    return model


def random_inputs(inputs: tuple[Any, ...], n: int) -> list[numpy.ndarray]:
    """n examples of each input: a shape, or labels."""
    rng = numpy.random.default_rng(4)
    return [
        rng.standard_normal((n, *x[1:])).astype("float32") if isinstance(x, tuple) else rng.integers(x.max() + 1, size=(n, *x.shape[1:]))
        for x in inputs
    ]


FLAGS: list[tuple[str, dict[str, Any]]] = [(example, {}) for example in EXAMPLES if example != "inpaint"] + [
    ("dcgan", {"residual": True}),
    ("wgan", {"penalty": True}),
    ("wgan", {"spectral_norm": True}),
    ("gan", {"conv_discriminator": True}),
    ("recurrent_gan", {"cell": "lstm", "features": 16}),
]


def opened_run(folder: Path, example: str, flags: dict[str, Any]) -> LoadedRun:
    """A run of an example as it is opened, with weights that make themselves felt."""
    saved_run(folder, example, **flags)
    run = load_run(folder)
    for network in run.networks.values():
        nn.init.initialize(network, nn.init.glorot)
    return run
