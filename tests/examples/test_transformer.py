"""The transformer: what comes later does not count, and what is drawn is what was asked for."""

import numpy
import pytest
import transformer
from numpy.testing import assert_allclose, assert_array_equal

import tinygen as tg
from tinygen import nn


def model(tokens: int = 5, outputs: int = 5, steps: int = 6) -> transformer.Transformer:
    tg.manual_seed(0)
    return transformer.Transformer(tokens, outputs, steps, features=8)


def test_a_later_token_never_changes_an_earlier_logit() -> None:
    network, tokens = model(), numpy.array([[0, 1, 2, 3, 4, 0]])
    with nn.evaluating(network):
        before = network(tokens).numpy()
        for place in range(6):
            changed = tokens.copy()
            changed[0, place] = (tokens[0, place] + 1) % 5
            after = network(changed).numpy()
            assert_array_equal(after[:, :place], before[:, :place])
            assert (numpy.abs(after - before)[:, place:].max(axis=2) > 1e-4).all()


def test_the_order_of_earlier_tokens_counts() -> None:
    network = model()
    with nn.evaluating(network):
        logits = network(numpy.array([[0, 1, 2], [1, 0, 2]])).numpy()[:, -1]
    assert numpy.abs(logits[0] - logits[1]).max() > 1e-3


@pytest.mark.parametrize(("temperature", "top_k"), [(1.0, 0), (1.0, 2), (0.5, 3), (2.0, 7), (1.0, 1)])
def test_tokens_are_drawn_by_temperature_from_the_k_most_probable(temperature: float, top_k: int) -> None:
    tg.manual_seed(0)
    p = numpy.array([0.15, 0.3, 0.05, 0.4, 0.1])
    drawn = transformer.draw(tg.tensor(numpy.log(p).astype("float32")[None].repeat(4000, axis=0)), temperature, top_k)
    expected = p ** (1 / temperature)
    if top_k:
        expected[p < sorted(p)[-min(top_k, 5)]] = 0
    found = numpy.bincount(drawn, minlength=5) / 4000
    assert_allclose(found, expected / expected.sum(), atol=0.03)
    assert_array_equal(found > 0, expected > 0)


def test_no_more_than_k_are_drawn_from_where_all_are_alike() -> None:
    tg.manual_seed(0)
    assert len(set(transformer.draw(tg.zeros((500, 9)), top_k=4).tolist())) == 4


def test_a_step_with_what_was_seen_before_is_that_of_the_whole() -> None:
    network, tokens = model(), numpy.array([[0, 1, 2, 3, 4, 0], [4, 4, 1, 0, 3, 2]])
    seen = [list[tg.Tensor]() for _ in network.blocks]
    with nn.evaluating(network):
        steps = [network(tokens[:, t : t + 1], seen).numpy() for t in range(6)]
        assert_allclose(numpy.concatenate(steps, axis=1), network(tokens).numpy(), atol=1e-5)


def test_what_is_written_is_that_of_the_seed_and_sees_the_last_steps() -> None:
    network = model()
    rows = []
    for seed in (3, 3, 4):
        tg.manual_seed(seed)
        rows.append(transformer.written(network, numpy.array([1, 2]), 9))
    assert rows[0].shape == (2, 9) and 0 <= rows[0].min() <= rows[0].max() < 5
    assert_array_equal(rows[0], rows[1])
    assert (rows[0] != rows[2]).any()
    assert network.training
    likely = transformer.written(network, numpy.array([1, 2]), 9, top_k=1)
    whole = numpy.concatenate([[[1], [2]], likely], axis=1)
    with nn.evaluating(network):
        for t in range(9):
            assert_array_equal(network(whole[:, max(0, t - 5) : t + 1]).numpy()[:, -1].argmax(axis=-1), likely[:, t])
