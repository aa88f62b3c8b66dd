"""The examples' models and training steps in PyTorch eager, as its users write them.

The models are translated layer by layer, weights and all, so that the two sides can be held against
each other. The discriminator computes no gradients of its own in the generator's step, as in ours.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy
import torch
from torch.nn import functional as F

from tinygen import nn
from tinygen.bench.torch_kernels import FORMATS


@dataclass
class Counterpart:
    """An example in PyTorch: its training step, how its images face, and models of ours with their translations and input shapes."""

    step: Callable[..., Any]
    facing: slice
    models: list[tuple[Callable[..., Any], torch.nn.Module, tuple[int, ...]]]


class Translator:
    """Makes PyTorch modules of ours.

    Pixels are numbered row by row in both, but features (H, W, C) here and (C, H, W) there, so that
    dense layers beside a flattened image have their weights reordered. Images are square. Where
    `turned`, the model works on images turned by half a turn, as `torch_kernels` explains.
    """

    def __init__(self, memory_format: str, device: str, turned: bool = False) -> None:
        self.memory_format, self.device = FORMATS[memory_format], device
        self.facing = slice(None, None, -1 if turned else 1)

    def sequence(self, layers: Sequence[nn.Module], flattened: int = 0) -> torch.nn.Module:
        """The layers in a row. `flattened`: how many channels the image has that the first layer gets flat, 0 where it gets none."""
        twins: list[torch.nn.Module] = []
        channels = flattened
        for i, layer in enumerate(layers):
            match layer:
                case nn.Dense():
                    reshaped = [later.shape[-1] for later in layers[i:] if isinstance(later, nn.Reshape)]
                    twins.append(self.dense(layer, flattened, reshaped[0] if reshaped else 0))
                    flattened = 0
                case nn.Conv2D() | nn.ConvTranspose2D():
                    twins.append(self.convolution(layer))
                    channels = layer.weight.shape[3 if isinstance(layer, nn.Conv2D) else 2]
                case nn.Flatten():
                    twins.append(torch.nn.Flatten())
                    flattened = channels
                case nn.MinibatchDeviation():
                    twins.append(Deviation())
                    channels += 1
                case _:
                    twins.append(_plain(layer, flat=bool(i) and isinstance(twins[-1], torch.nn.Linear)))
        model: Any = torch.nn.Sequential(*twins)
        return model.to(self.device, memory_format=self.memory_format)

    def images(self, images: numpy.ndarray, low: float, high: float) -> torch.Tensor:
        """uint8 (N, H, W, C) to numbers from low to high."""
        x = torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2).to(torch.float32, memory_format=self.memory_format)
        return x.mul_((high - low) / 255).add_(low)

    def order(self, features: int, channels: int) -> numpy.ndarray:
        """Where in (H, W, C) each of the features (C, H, W) is; as they are where there is no image."""
        side = math.isqrt(features // channels) if channels else 0
        numbers = numpy.arange(features)
        return numbers.reshape(side, side, channels)[self.facing, self.facing].transpose(2, 0, 1).ravel() if channels else numbers

    def dense(self, layer: nn.Dense, flattened: int, reshaped: int) -> torch.nn.Module:
        inputs, outputs = layer.weight.shape
        columns, rows = self.order(inputs, flattened), self.order(outputs, reshaped)
        twin = torch.nn.Linear(inputs, outputs, bias=layer.bias is not None)
        return _with(twin, layer.weight.numpy()[columns][:, rows].T, None if layer.bias is None else layer.bias.numpy()[rows])

    def convolution(self, layer: nn.Conv2D | nn.ConvTranspose2D) -> torch.nn.Module:
        assert layer.padding == "same"
        # Padding "same" of images that the stride divides. Where it is odd, the smaller half is at
        # the bottom: that of the turned image.
        padding = -((layer.stride[0] - layer.weight.shape[0]) // 2)
        kind: Any = torch.nn.Conv2d if isinstance(layer, nn.Conv2D) else torch.nn.ConvTranspose2d
        channels, outputs = layer.weight.shape[2:][:: 1 if isinstance(layer, nn.Conv2D) else -1]
        twin = kind(channels, outputs, layer.weight.shape[:2], layer.stride, padding, bias=layer.bias is not None)
        weight = layer.weight.numpy()[self.facing, self.facing].transpose(3, 2, 0, 1)
        return _with(twin, weight, None if layer.bias is None else layer.bias.numpy())


class Deviation(torch.nn.Module):
    """`nn.MinibatchDeviation` of so many batches, one after the other."""

    batches = 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        examples = x.unflatten(0, (self.batches, -1))
        s = (examples.var(1, correction=0) + 1e-8).sqrt().mean((1, 2, 3)).repeat_interleave(examples.shape[1])
        return torch.cat([x, s[:, None, None, None].expand(-1, -1, *x.shape[2:])], 1)


def _with(module: Any, weight: numpy.ndarray, bias: numpy.ndarray | None) -> torch.nn.Module:
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weight.copy()))
        if bias is not None:
            module.bias.copy_(torch.from_numpy(bias.copy()))
    return module


def _plain(layer: nn.Module, flat: bool) -> torch.nn.Module:
    """The layers whose weights need no translation. `flat`: batch norm follows a dense layer."""
    match layer:
        case nn.BatchNorm():
            kind = torch.nn.BatchNorm1d if flat else torch.nn.BatchNorm2d
            return kind(layer.gamma.shape[0], layer.eps, 1 - layer.momentum)
        case nn.LeakyReLU():
            return torch.nn.LeakyReLU(layer.negative_slope)
        case nn.ReLU():
            return torch.nn.ReLU()
        case nn.Tanh():
            return torch.nn.Tanh()
        case nn.Dropout():
            return torch.nn.Dropout(layer.p)
        case nn.MaxPool2D():
            return torch.nn.MaxPool2d(layer.kernel_size, layer.stride)
        case nn.Reshape():
            rows, columns, channels = layer.shape
            return torch.nn.Unflatten(1, (channels, rows, columns))
    raise ValueError(f"the benchmark has no translation of {layer.describe()} to PyTorch")


def _adam(ours: Any, *modules: torch.nn.Module) -> torch.optim.Optimizer:
    parameters = [p for module in modules for p in module.parameters()]
    return torch.optim.Adam(parameters, ours.lr, ours.betas, ours.eps)


def _descend(adam: torch.optim.Optimizer, loss: torch.Tensor) -> None:
    adam.zero_grad()
    loss.backward()
    adam.step()


def cnn(parts: dict[str, Any], shape: tuple[int, ...], memory_format: str, device: str) -> Counterpart:
    translator = Translator(memory_format, device)
    model = translator.sequence(parts["model"].layers)
    adam = _adam(parts["adam"], model)

    def step(images: numpy.ndarray, labels: numpy.ndarray) -> Any:
        logits, classes = model(translator.images(images, 0, 1)), torch.from_numpy(labels).long().to(device)
        loss = F.cross_entropy(logits, classes)
        _descend(adam, loss)
        return loss, (logits.detach().argmax(1) == classes).float().mean()

    return Counterpart(step, translator.facing, [(parts["model"], model, shape)])


def dcgan(parts: dict[str, Any], shape: tuple[int, ...], memory_format: str, device: str) -> Counterpart:
    translator = Translator(memory_format, device)
    ours_g, ours_d = parts["generator"], parts["discriminator"]
    g, d = translator.sequence(ours_g.layers), translator.sequence(ours_d.layers)
    adam_g, adam_d = _adam(parts["adam_g"], g), _adam(parts["adam_d"], d)
    latent, deviations = ours_g.layers[0].weight.shape[0], [module for module in d.modules() if isinstance(module, Deviation)]

    def both(real: torch.Tensor, fake: torch.Tensor) -> Sequence[torch.Tensor]:
        """D(real) and D(fake), in one pass as in ours, which takes less time than two."""
        for deviation in deviations:
            deviation.batches = 2
        logits = d(torch.cat([real, fake])).chunk(2)
        for deviation in deviations:
            deviation.batches = 1
        return logits

    def bce(logits: torch.Tensor, target: float) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    def step(images: numpy.ndarray) -> Any:
        real, fake = translator.images(images, -1, 1), g(torch.randn(len(images), latent, device=device))
        real_logits, fake_logits = both(real, fake.detach())
        loss_d = bce(real_logits, 1.0) + bce(fake_logits, 0.0)
        _descend(adam_d, loss_d)
        d.requires_grad_(False)
        loss_g = bce(d(fake), 1.0)
        _descend(adam_g, loss_g)
        d.requires_grad_(True)
        return loss_d, loss_g, real_logits.detach().sigmoid().mean(), fake_logits.detach().sigmoid().mean()

    return Counterpart(step, translator.facing, [(ours_g, g, (shape[0], latent)), (ours_d, d, shape)])


def vae(parts: dict[str, Any], shape: tuple[int, ...], memory_format: str, device: str) -> Counterpart:
    translator = Translator(memory_format, device, turned=True)
    ours = parts["model"]
    encoder, decoder = translator.sequence(ours.encoder.layers), translator.sequence(ours.decoder.layers)
    channels = ours.decoder.layers[2].shape[-1]
    to_mean, to_log_var = (translator.sequence([layer], flattened=channels) for layer in (ours.mean, ours.log_var))
    adam = _adam(parts["adam"], encoder, to_mean, to_log_var, decoder)

    def step(images: numpy.ndarray) -> Any:
        x = translator.images(images, 0, 1)
        h = encoder(x)
        mean, log_var = to_mean(h), to_log_var(h)
        logits = decoder(mean + torch.exp(0.5 * log_var) * torch.randn_like(mean))
        reconstruction = (F.softplus(logits) - x * logits).sum((1, 2, 3)).mean()
        kl = 0.5 * (mean * mean + log_var.exp() - 1 - log_var).sum(1).mean()
        _descend(adam, reconstruction + kl)
        return reconstruction, kl

    encoding = torch.nn.Sequential(encoder, to_mean)
    latent = shape[0], ours.mean.weight.shape[1]
    return Counterpart(step, translator.facing, [(lambda x: ours.encode(x)[0], encoding, shape), (ours.decoder, decoder, latent)])
