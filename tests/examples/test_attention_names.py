"""The model of names: which characters count, where a name ends, and which names are new."""

from typing import Any

import attention_names
import numpy
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import tinygen as tg
from tinygen import nn
from tinygen.data import load_names


class Told(nn.Module):
    """A model of names that gives the logits it was told, by step and label, whatever came before."""

    def __init__(self, logits: numpy.ndarray) -> None:
        self.logits = logits

    def forward(self, before: numpy.ndarray) -> tg.Tensor:
        return tg.tensor(numpy.broadcast_to(self.logits[: before.shape[1]], (*before.shape, self.logits.shape[1])).copy())


def test_characters_and_ends_count_and_what_follows_an_end_does_not() -> None:
    logits = numpy.random.default_rng(0).standard_normal((4, 3)).astype(numpy.float32)
    log_p = logits - numpy.log(numpy.exp(logits).sum(axis=1, keepdims=True))
    rows = numpy.array([[1, 2, 0, 0], [2, 0, 0, 0]])
    expected = -numpy.mean([log_p[0, 1], log_p[1, 2], log_p[2, 0], log_p[0, 2], log_p[1, 0]])
    assert_allclose(attention_names.negative_log_likelihood(Told(logits), rows).item(), expected, rtol=1e-6)


def test_a_sampled_name_ends_at_its_end_or_where_the_longest_does() -> None:
    tg.manual_seed(0)
    sample = attention_names.sample
    ends_second, never_ends = numpy.full((2, 4, 3), -100, numpy.float32)
    ends_second[[0, 1, 2, 3], [2, 0, 1, 1]] = never_ends[:, 1] = 100
    assert_array_equal(sample(Told(ends_second), 5, 3), [[2, 0, 0, 0]] * 5)
    assert_array_equal(sample(Told(never_ends), 5, 3), [[1, 1, 1, 0]] * 5)
    often = numpy.log(numpy.array([[0.1, 0.2, 0.7]] * 2, numpy.float32))
    assert_allclose(numpy.bincount(sample(Told(often), 4000, 1)[:, 0]) / 4000, [0.1, 0.2, 0.7], atol=0.03)


def test_names_that_are_in_the_data_are_not_new_and_the_similarity_is_the_one_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data, given = load_names(), list[Any]()

    class Stopped(Exception):
        pass

    class Training:
        def __init__(self, *arguments: Any, **options: Any) -> None:
            given.extend(arguments)

        def run(self) -> None:
            raise Stopped

    monkeypatch.setattr(attention_names, "Training", Training)
    with pytest.raises(Stopped):
        attention_names.main(attention_names.NamesOptions(similarity="cosine"))
    model, evaluate = given[1]["model"], given[5]
    assert [block.attention.describe() for block in model.blocks] == ["SelfAttention(64, heads 4, causal, cosine)"] * 3
    made = [*data.train[:300], *data.test[:100], "", *["zzzzzz"] * 599]
    monkeypatch.setattr(attention_names, "sample", lambda model, n, longest: data.encode(tuple(made)))
    assert evaluate()["new"] == 0.599
