"""Twelve questions on what the course teaches, before it and after it. Their answers are computed."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy

import tinygen as tg
from tinygen import functional as F
from tinygen.learn.prediction import agrees

ANSWERS = Path("quiz.jsonl")


@dataclass(frozen=True)
class Question:
    """A question, the function that computes its answer, and how far a number may be off, relatively."""

    text: str
    answer: Callable[[], Any]
    tolerance: float = 0.02

    def right(self, said: str) -> bool:
        """Whether this is the answer."""
        return agrees(said, self.answer(), self.tolerance)


def _slope(function: Callable[[tg.Tensor], tg.Tensor], x: float) -> float:
    t = tg.tensor([x], "float64", requires_grad=True)
    return float(tg.grad(function(t).sum(), t).numpy()[0])


def _written(kernel: int, stride: int) -> int:
    """How many different numbers of writes there are in the middle of a transposed convolution's output."""
    y = F.conv_transpose2d(tg.ones((1, 6, 6, 1)), tg.ones((kernel, kernel, 1, 1)), stride=stride).numpy()[0, 4:8, 4:8, 0]
    return len(numpy.unique(y))


def _products(size: int, kernel: int, channels: int, outputs: int) -> int:
    x, w = numpy.ones((1, size, size, channels)), numpy.ones((kernel, kernel, channels, outputs))
    y = F.conv2d(tg.tensor(x), tg.tensor(w)).numpy()
    return int(y.sum())


def _turned() -> str:
    """Whether conv2d multiplies a patch that is 1 in one corner with the weight at that corner, or at the opposite one."""
    x, w = numpy.zeros((1, 2, 2, 1)), numpy.zeros((2, 2, 1, 1))
    x[0, 0, 0], w[0, 0] = 1, 1
    return "no" if F.conv2d(tg.tensor(x), tg.tensor(w)).numpy().sum() else "yes"


QUESTIONS: Sequence[Question] = (
    Question("y = x * x + 3 x. What is dy/dx at x = 2?", lambda: _slope(lambda x: x * x + 3.0 * x, 2.0)),
    Question("h = 2 x, k = 3 h, y = h + k. What is dy/dx?", lambda: _slope(lambda x: 2.0 * x + 3.0 * (2.0 * x), 1.0)),
    Question("y = relu(x). What is dy/dx at x = -1?", lambda: _slope(F.relu, -1.0)),
    Question(
        "a has the shape (3, 1), b the shape (1, 4). How many numbers has the gradient of sum(a * b) to a?", lambda: tg.ones((3, 1)).size
    ),
    Question(
        "loss = mean of (w x - y)^2 over 4 equal examples with x = 1, y = 0, w = 3. What is d loss / d w?",
        lambda: _slope(lambda w: ((w * tg.ones((4,), "float64")) ** 2.0).mean(), 3.0),
    ),
    Question(
        "An image of 5x5 pixels, a kernel of 3x3, stride 1, no padding: how many rows has the output?",
        lambda: F.conv2d(tg.ones((1, 5, 5, 1)), tg.ones((3, 3, 1, 1))).shape[1],
    ),
    Question(
        "How many products is a convolution of a 6x6 image of 2 channels to 4 channels by a 3x3 kernel, without padding?",
        lambda: _products(6, 3, 2, 4),
    ),
    Question("Does conv2d turn its kernel by half a turn, as the convolution of mathematics does? (yes or no)", _turned),
    Question(
        "A transposed convolution of stride 2 with a 3x3 kernel of ones, on ones: how many different values has the middle of its output?",
        lambda: _written(3, 2),
    ),
    Question("The same with a 4x4 kernel?", lambda: _written(4, 2)),
    Question(
        "A discriminator that cannot tell real images from generated ones: what is D(x)?",
        lambda: float(F.sigmoid(tg.tensor([0.0])).numpy()[0]),
    ),
    Question(
        "z has the distribution N(m, 1) and the prior is N(0, 1). What is the KL divergence for m = 2?",
        lambda: float(F.gaussian_kl(tg.tensor([[2.0]]), tg.tensor([[0.0]])).numpy()),
    ),
)


def ask() -> None:
    """Ask all questions, show how many answers were right, and keep that in quiz.jsonl. The answers are not shown."""
    said = [input(f"{number}. {question.text} ") for number, question in enumerate(QUESTIONS, 1)]
    right = [question.right(answer) for question, answer in zip(QUESTIONS, said, strict=True)]
    with ANSWERS.open("a") as file:
        file.write(json.dumps({"time": time.strftime("%Y-%m-%d %H:%M"), "right": right, "said": said}) + "\n")
    wrong = ", ".join(str(number) for number, good in enumerate(right, 1) if not good)
    print(f"{sum(right)} of {len(QUESTIONS)} are right" + (f"; look again at {wrong}" if wrong else ""))
    before = [json.loads(line) for line in ANSWERS.read_text().splitlines()][:-1]
    if before:
        print(f"on {before[0]['time']} it was {sum(before[0]['right'])}")
