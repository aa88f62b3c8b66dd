"""A transformer that writes a text byte by byte, by causal self-attention (Vaswani et al., 2017).

A text b_1 ... b_n has the probability p(b_1) p(b_2 | b_1) ... p(b_n | b_1 ... b_(n-1)), and the model
computes the logits of each factor from the bytes before it, up to --context of them. Every byte is a
vector, the sum of a learned one for its value and one for its place. Each block adds to it

    x + A(norm(x)),    x + W2 relu(W1 norm(x)),

where the attention A averages the vectors of this and earlier places, weighted by how well they
answer the query of this one; layer norm comes first (Radford et al., 2019). The loss is the mean of
-log p, here in bits per byte. A byte is drawn from the --top-k most probable ones, with the logits
divided by --temperature: the lower it is, the surer and the more alike the samples are.

    python examples/transformer.py                10 epochs on two plays by Shakespeare
    python examples/transformer.py --data FILE    a text of your own, of any kind: prose, code, music

In the log, test_bits is for the last tenth of the text, and bzip2_bits what that compressor needs for
it. samples/epoch-*.png shows a text of each epoch: first letters as frequent as in the data, then
words, speakers and verses.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import log
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy
import tyro

import tinygen as tg
from tinygen import nn
from tinygen.backend import Array, to_device
from tinygen.command_line import UsageError, command_line
from tinygen.data import Loader, TextDataset, load_text
from tinygen.report.pictures import text
from tinygen.training.descent import DescentOptions
from tinygen.training.loop import Training
from tinygen.training.options import Positive
from tinygen.training.trained import Trained

Similarity = Literal["dot", "cosine"]
ROWS, COLUMNS = 24, 72  # of the picture of a sample


@dataclass(kw_only=True)
class TransformerOptions(DescentOptions):
    out: Path = Path("runs/transformer")
    """folder of the run: log, samples, checkpoint"""
    epochs: Positive[int] = 10
    """passes over the windows of the training text, those before --resume included"""
    data: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None
    """file with your own text; without it two plays by Shakespeare"""
    context: Positive[int] = 64
    """bytes that a byte is predicted from"""
    features: Positive[int] = 96
    """numbers in the vector of a byte, in four heads"""
    temperature: Positive[float] = 0.8
    """of samples: the logits are divided by it"""
    top_k: int = 40
    """a sample's bytes are drawn from so many, the most probable ones; 0 is all"""

    def check(self) -> None:
        super().check()
        if not 0 <= self.top_k <= 256:
            raise UsageError(f"--top-k must be 0 to 256, got {self.top_k}")

    def may_differ(self) -> set[str]:
        """Training does not depend on how samples are drawn."""
        return super().may_differ() | {"temperature", "top_k"}

    def load_data(self) -> TextDataset:
        """The text of --data."""
        return load_text(self.data)

    def trained(self, networks: Mapping[str, Any], data: TextDataset) -> "TrainedTransformer":
        return TrainedTransformer(networks["model"], self)


class Block(nn.Module):
    """x + attention(x), then x + network(x) for each step: (N, T, features) -> (N, T, features)."""

    def __init__(self, features: int, heads: int, similarity: Similarity) -> None:
        self.attention = nn.SelfAttention(features, heads, causal=True, similarity=similarity)
        self.network = nn.Sequential(nn.Dense(features, 4 * features), nn.ReLU(), nn.Dense(4 * features, features))
        self.norms, self.dropout = [nn.LayerNorm(features), nn.LayerNorm(features)], nn.Dropout(0.1)

    def forward(self, x: tg.Tensor) -> tg.Tensor:
        x = x + self.dropout(self.attention(self.norms[0](x)))
        return x + self.dropout(self.network(self.norms[1](x)))


class Transformer(nn.Module):
    """Tokens (N, T), T at most steps -> logits (N, T, outputs), each of tokens up to its place."""

    def __init__(self, tokens: int, outputs: int, steps: int, features: int = 64, similarity: Similarity = "dot") -> None:
        self.tokens, self.places = nn.Embedding(tokens, features), nn.Embedding(steps, features)
        self.blocks = [Block(features, 4, similarity) for _ in range(3)]
        self.out = nn.Sequential(nn.LayerNorm(features), nn.Dense(features, outputs))
        self.steps = steps

    def embed(self, tokens: Array) -> tg.Tensor:
        return self.tokens(tokens) + self.places(numpy.arange(tokens.shape[1]))

    def forward(self, tokens: Array) -> tg.Tensor:
        x = self.embed(tokens)
        for block in self.blocks:
            x = block(x)
        return self.out(x)


def negative_log_likelihood(logits: tg.Tensor, tokens: Array) -> tg.Tensor:
    """The mean of -log p over tokens (N, T), in nats, from logits (N, T, outputs)."""
    return tg.cross_entropy(logits.reshape(-1, logits.shape[-1]), tokens.reshape(-1))


def draw(logits: tg.Tensor, temperature: float = 1.0, top_k: int = 0) -> numpy.ndarray:
    """A token for each row of logits (N, outputs), from softmax(logits / temperature); with top_k, from
    the top_k most probable tokens only."""
    p = tg.softmax(logits / temperature).numpy().astype(numpy.float64)
    if top_k:
        numpy.put_along_axis(p, p.argsort(axis=1, kind="stable")[:, :-top_k], 0, axis=1)
    cumulative = p.cumsum(axis=1)
    return (cumulative <= tg.rand((len(p), 1)).numpy() * cumulative[:, -1:]).sum(axis=1)


def continued(model: Transformer, tokens: numpy.ndarray, count: int, temperature: float = 1.0, top_k: int = 0) -> numpy.ndarray:
    """Tokens (N, T) and `count` more behind each row, drawn one after the other."""
    with nn.evaluating(model):
        for _ in range(count):
            logits = model(tokens[:, -model.steps :])[:, -1]
            tokens = numpy.concatenate([tokens, draw(logits, temperature, top_k)[:, None]], axis=1)
    return tokens


class TrainedTransformer(Trained):
    """Writes texts of 500 bytes, as behind the end of a line."""

    def __init__(self, model: Transformer, options: TransformerOptions) -> None:
        self.model, self.options = model, options

    def write(self, n: int) -> list[str]:
        start = numpy.full((n, 1), ord("\n"))
        return TextDataset.decode(continued(self.model, start, 500, self.options.temperature, self.options.top_k)[:, 1:])


def build(options: TransformerOptions, data: TextDataset) -> dict[str, Transformer]:
    """The network, by its name in the checkpoint, with weights from N(0, 0.02^2)."""
    model = Transformer(256, 256, options.context, options.features)
    nn.init.initialize(model, nn.init.normal)
    return {"model": model}


def main(options: TransformerOptions) -> None:
    tg.manual_seed(options.seed)
    data = options.load_data()
    print(data.describe())
    windows, held_out = data.windows(options.context + 1, every=max(1, options.context // 2))
    model = build(options, data)["model"].to(options.device)
    trained, adam = options.trained({"model": model}, data), options.adam(model, len(windows))

    def bits(rows: Array) -> tg.Tensor:
        return negative_log_likelihood(model(rows[:, :-1]), rows[:, 1:]) / log(2)

    def step(rows: Array) -> dict[str, tg.Tensor]:
        loss = bits(rows)
        adam.minimize(loss)
        return {"bits": loss}

    def evaluate() -> dict[str, float]:
        """The loss on the held-out windows, in batches of 64."""
        with nn.evaluating(model):
            batches = [to_device(held_out[i : i + 64], options.device) for i in range(0, len(held_out), 64)]
            total = sum(len(rows) * bits(rows).item() for rows in batches)
        return {"test_bits": total / len(held_out), "bzip2_bits": bzip2_bits}

    def samples() -> numpy.ndarray:
        print(sample := trained.write(1)[0])
        lines = [line[i : i + COLUMNS] for line in sample.splitlines() for i in range(0, max(1, len(line)), COLUMNS)]
        return text([*lines, *[""] * ROWS][:ROWS], columns=1, width=COLUMNS)

    bzip2_bits = data.compressed_bits()
    loader = Loader(windows, batch_size=options.batch_size, seed=options.seed)
    Training(options, {"model": model, "adam": adam}, loader, step, samples, evaluate, data=data, average=options.averaged(model)).run()


if __name__ == "__main__":
    command_line(main, TransformerOptions)
