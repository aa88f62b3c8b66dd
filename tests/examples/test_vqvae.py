"""The VQ-VAE: the nearest code, the gradient past it, codes that follow their vectors, and the prior's tokens."""

from pathlib import Path
from typing import Any

import numpy
import pytest
import vqvae
from numpy.testing import assert_allclose, assert_array_equal

import tinygen as tg
from tinygen import nn
from tinygen.command_line import UsageError
from tinygen.saving.run_folder import read_run
from tinygen.training import finish

K, D = vqvae.CODES, vqvae.FEATURES


@pytest.fixture
def codebook() -> vqvae.Codebook:
    tg.manual_seed(0)
    return vqvae.Codebook()


def test_a_vector_gets_the_code_at_the_least_distance(codebook: vqvae.Codebook) -> None:
    z = tg.randn((2, 3, 3, D))
    with nn.evaluating(codebook):
        codes, numbers = codebook(z)
    expected = ((z.numpy()[..., None, :] - codebook.codes.numpy()) ** 2).sum(axis=-1).argmin(axis=-1)
    assert_array_equal(numbers.numpy(), expected)
    assert_array_equal(codes.numpy(), codebook.codes.numpy()[expected])


def test_the_decoder_sees_codes_and_the_encoder_gets_their_gradient() -> None:
    tg.manual_seed(0)
    model = vqvae.VQVAE((8, 8, 1))
    model.encoder = nn.Sequential()
    x = tg.randn((2, 2, 2, D), requires_grad=True)
    weight = tg.randn((2, 8, 8, 1))
    with nn.evaluating(model):
        codes, _ = model.codebook(x)
    codes = tg.tensor(codes.numpy(), requires_grad=True)
    model.codebook.eval()
    logits, z, chosen, _ = model(x)
    assert_allclose(logits.numpy(), model.decoder(codes).numpy(), atol=1e-5)
    assert_allclose(
        tg.grad((logits * weight).sum(), x).numpy(), tg.grad((model.decoder(codes) * weight).sum(), codes).numpy(), rtol=1e-4, atol=1e-6
    )
    commitment = vqvae.commitment_loss(z, chosen)
    assert_allclose(commitment.item(), ((x.numpy() - codes.numpy()) ** 2).sum() / 2 / 4, rtol=1e-5)
    assert_allclose(tg.grad(commitment, x).numpy(), (x.numpy() - codes.numpy()) / 2 / 2, rtol=1e-4, atol=1e-6)


def test_codes_follow_the_vectors_that_choose_them_and_unused_ones_move_to_a_vector(codebook: vqvae.Codebook) -> None:
    codes = codebook.codes.numpy().copy()
    counts = numpy.full((K, 1), 200, numpy.float32)
    counts[:5] = 1  # which decays below
    codebook.counts.data[...], codebook.sums.data[...] = counts, counts * codes
    z = numpy.concatenate([codes[5:7] + 0.01, codes[6:7] - 0.02]).astype("float32")
    codebook.follow(tg.tensor(z))
    moved = codebook.codes.numpy()
    assert_allclose(moved[5], (198 * codes[5] + 0.01 * z[0]) / 198.01, rtol=1e-5)
    assert_allclose(moved[6], (198 * codes[6] + 0.01 * (z[1] + z[2])) / 198.02, rtol=1e-5)
    assert_allclose(moved[7:], codes[7:], rtol=1e-5)
    assert all((z == code).all(axis=1).any() for code in moved[:5])
    assert_array_equal(codebook.counts.numpy()[:5], 1)


def test_a_first_batch_is_enough_for_codes_that_are_all_used(codebook: vqvae.Codebook) -> None:
    z = tg.randn((8, 7, 7, D)) * 0.01 + 5.0  # far from all codes
    codebook(z)
    _, numbers = codebook(z)
    assert vqvae.perplexity(numbers.numpy()) > 0.5 * K


def test_in_evaluation_nothing_moves(codebook: vqvae.Codebook) -> None:
    z, before, stream = tg.randn((2, 2, D)), codebook.state_dict(), tg.random_state()
    with nn.evaluating(codebook):
        codebook(z)
    assert_array_equal(tg.random_state(), stream)
    for name, array in codebook.state_dict().items():
        assert_array_equal(array, before[name])


def test_perplexity_is_the_number_of_codes_in_use() -> None:
    assert vqvae.perplexity(numpy.array([[3, 3], [3, 3]])) == 1
    assert_allclose(vqvae.perplexity(numpy.arange(12) % 4), 4)
    assert_allclose(vqvae.perplexity(numpy.array([0, 0, 0, 7])), numpy.exp(-(0.75 * numpy.log(0.75) + 0.25 * numpy.log(0.25))))


class Fair(nn.Module):
    """A prior to which all codes are alike; it remembers its tokens."""

    steps = 4

    def forward(self, tokens: Any) -> tg.Tensor:
        self.tokens = tokens.numpy()
        return tg.zeros((*tokens.shape, K))


def test_the_prior_predicts_each_code_from_the_class_and_the_codes_before_it() -> None:
    prior, numbers = Fair(), tg.tensor(numpy.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]]))
    assert_allclose(vqvae.prior_loss(prior, numbers, numpy.array([0, 3])).item(), 4 * numpy.log(K), rtol=1e-6)
    assert_array_equal(prior.tokens, [[K, 1, 2, 3], [K + 3, 5, 6, 7]])


def test_the_first_epochs_train_the_autoencoder_alone_and_the_others_the_prior(
    few_images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finish, "GENERATED", 10)

    def state(epochs: int) -> dict[str, Any]:
        options = vqvae.VQVAEOptions(data=few_images, out=tmp_path, batch_size=48, epochs=epochs, autoencoder_epochs=1, resume=epochs > 1)
        vqvae.main(options)
        return read_run(tmp_path / "checkpoint.safetensors").parts

    first, second = state(1), state(2)
    assert [int(each["adam"]["steps"]) for each in (first, second)] == [2, 2]
    assert [int(each["adam_prior"]["steps"]) for each in (first, second)] == [0, 2]
    for name, array in first["model"].items():
        assert_array_equal(second["model"][name], array)
    assert (second["prior"]["tokens.weight"] != first["prior"]["tokens.weight"]).any()


def test_images_that_do_not_fit_are_told() -> None:
    with pytest.raises(UsageError, match="images of 30x28 do not fit: height and width must be divisible by 4"):
        vqvae.VQVAE((30, 28, 1))
