"""A transformer that writes a text byte by byte, by causal self-attention (Vaswani et al., 2017).

A text b_1 ... b_n has the probability p(b_1) p(b_2 | b_1) ... p(b_n | b_1 ... b_(n-1)), and the
model computes the logits of each factor from at most --context bytes before it. Each byte becomes a
vector, the sum of one for its value and one for its place, and three blocks add to it:

    x + A(norm(x)),    then    x + W2 relu(W1 norm(x)).

The attention A averages the vectors of the byte and of those before it, weighted by how well each
answers the byte's query; layer norm comes first (Radford et al., 2019). The loss is the mean of -log
p, in bits per byte. A sample's next byte is drawn from the --top-k most probable ones, with the
logits divided by --temperature: the lower, the surer and the more alike are the samples.

    python examples/transformer.py                10 epochs on two plays by Shakespeare
    python examples/transformer.py --data FILE    your own text, of any kind: prose, code, tunes

In the log, test_bits is the loss on the last tenth of the text, and bzip2_bits what that compressor
needs for it. samples/epoch-*.png shows a text of each epoch: first letters, then words, and then
speakers, who each have a line.
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
    lr: Positive[float] = 3e-3
    """learning rate of Adam"""
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
    """x + attention(x), then x + network(x) for each step: (N, T, features) -> (N, T, features).

    With `seen`, a list of what the attention saw in the steps before, x is one more step, (N, 1, features).
    """

    def __init__(self, features: int, heads: int, similarity: Similarity) -> None:
        self.attention = nn.SelfAttention(features, heads, causal=True, similarity=similarity)
        self.network = nn.Sequential(nn.Dense(features, 4 * features), nn.ReLU(), nn.Dense(4 * features, features))
        self.norms, self.dropout = [nn.LayerNorm(features), nn.LayerNorm(features)], nn.Dropout(0.1)

    def forward(self, x: tg.Tensor, seen: list[tg.Tensor] | None = None) -> tg.Tensor:
        steps = self.norms[0](x)
        if seen is not None:
            seen.append(steps)
            steps = tg.concatenate(seen, axis=1)
        x = x + self.dropout(self.attention(steps, last=seen is not None))
        return x + self.dropout(self.network(self.norms[1](x)))


class Transformer(nn.Module):
    """Tokens (N, T), T at most steps -> logits (N, T, outputs), each of tokens up to its place.

    With `seen`, a list for each block, empty at first, the tokens (N, 1) are those of the next place.
    """

    def __init__(self, tokens: int, outputs: int, steps: int, features: int = 64, similarity: Similarity = "dot") -> None:
        self.tokens, self.places = nn.Embedding(tokens, features), nn.Embedding(steps, features)
        self.blocks = [Block(features, 4, similarity) for _ in range(3)]
        self.out = nn.Sequential(nn.LayerNorm(features), nn.Dense(features, outputs))
        self.steps = steps

    def embed(self, tokens: Array, place: int = 0) -> tg.Tensor:
        return self.tokens(tokens) + self.places(numpy.arange(place, place + tokens.shape[1]))

    def forward(self, tokens: Array, seen: list[list[tg.Tensor]] | None = None) -> tg.Tensor:
        x = self.embed(tokens, len(seen[0]) if seen else 0)
        for i, block in enumerate(self.blocks):
            x = block(x, seen[i] if seen else None)
        return self.out(x)


def draw(logits: tg.Tensor, temperature: float = 1.0, top_k: int = 0) -> numpy.ndarray:
    """A token for each row of logits (N, outputs), from softmax(logits / temperature); with top_k, from
    the top_k most probable tokens only."""
    p = tg.softmax(logits / temperature).numpy().astype(numpy.float64)
    if top_k:
        numpy.put_along_axis(p, p.argsort(axis=1, kind="stable")[:, :-top_k], 0, axis=1)
    cumulative = p.cumsum(axis=1)
    return (cumulative <= tg.rand((len(p), 1)).numpy() * cumulative[:, -1:]).sum(axis=1)


def written(model: Transformer, first: numpy.ndarray, count: int, temperature: float = 1.0, top_k: int = 0) -> numpy.ndarray:
    """Rows (N, count) of tokens behind the tokens `first` (N,), drawn one after the other.

    What the blocks have seen is kept while it fits into the model's steps. After that each token is
    drawn from the last ones, whose places are others in each step.
    """
    tokens, seen = first[:, None], [list[tg.Tensor]() for _ in model.blocks]
    with nn.evaluating(model):
        for place in range(count):
            logits = model(tokens[:, -1:], seen) if place < model.steps else model(tokens[:, -model.steps :])
            tokens = numpy.concatenate([tokens, draw(logits[:, -1], temperature, top_k)[:, None]], axis=1)
    return tokens[:, 1:]


class TrainedTransformer(Trained):
    """Writes texts of 500 bytes, as behind the end of a line."""

    def __init__(self, model: Transformer, options: TransformerOptions) -> None:
        self.model, self.options = model, options
        self.inputs = {"model": (numpy.arange(model.steps)[None] % 2,)}

    def write(self, n: int) -> list[str]:
        return TextDataset.decode(written(self.model, numpy.full(n, ord("\n")), 500, self.options.temperature, self.options.top_k))


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
        return tg.cross_entropy(model(rows[:, :-1]), rows[:, 1:]) / log(2)

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
