"""What a user reads when a layer refuses its input or arguments: one sentence, with the numbers."""

from collections.abc import Callable

import pytest

import tinygen.functional as F
from tinygen import nn
from tinygen.engine.tensor import Shape

one_image = "; one image is x[None], and images of one channel are x[..., None]"


@pytest.mark.parametrize(
    ("layer", "shape", "said"),
    [
        (nn.Dense(3, 4), (2, 5), "Dense(3 -> 4): dense: x (2, 5) must end in the 3 features that weight (3, 4) (in, out) takes"),
        (
            nn.Conv2D(3, 8, 3, padding=1),
            (2, 5, 5, 1),
            "Conv2D(3 -> 8, 3x3, stride 1, padding 1): conv2d: "
            "input has 1 channels but weight (3, 3, 3, 8) takes 3; x is (2, 5, 5, 1), NHWC",
        ),
        (
            nn.Conv2D(1, 8, 3),
            (5, 5, 1),
            "Conv2D(1 -> 8, 3x3, stride 1, padding 0): conv2d: input must be (N, H, W, C), got (5, 5, 1)" + one_image,
        ),
        (
            nn.ConvTranspose2D(3, 8, 3),
            (2, 5, 5, 1),
            "ConvTranspose2D(3 -> 8, 3x3, stride 1, padding 0): conv_transpose2d: "
            "input has 1 channels but weight (3, 3, 8, 3) takes 3; x is (2, 5, 5, 1), NHWC",
        ),
        (nn.BatchNorm(3), (2, 5), "BatchNorm(3): batch_norm: gamma has shape (3,) but x (2, 5) has 5 channels"),
        (nn.BatchNorm(3), (1, 3), "BatchNorm(3): batch_norm: training needs more than one value per channel, x is (1, 3)"),
        (nn.LayerNorm((2, 3)), (4, 3, 3), "LayerNorm(2, 3): layer_norm: x (4, 3, 3) must end in the shape of gamma (2, 3) and beta (2, 3)"),
        (nn.GroupNorm(2, 4), (2, 5), "GroupNorm(2, 4): group_norm: x (2, 5) must be (N, ..., C), gamma (4,) and beta (4,) (C,)"),
        (nn.GroupNorm(2, 2), (3, 2), "GroupNorm(2, 2): group_norm: a group needs more than one value, x is (3, 2) and groups 2"),
        (
            nn.Residual(nn.Dense(3, 1)),
            (2, 3),
            "Residual(): Residual: the layer turns (2, 3) into (2, 1), which (2, 3) cannot be added to; "
            "give a shortcut, such as a 1x1 convolution",
        ),
        (nn.LearnedPosition(2, 3), (1, 4, 3), "LearnedPosition(2, 3): LearnedPosition: the input has 4 steps, but only 2 have a code"),
        (
            nn.SinusoidalPosition(),
            (2, 3),
            "SinusoidalPosition(): SinusoidalPosition: input must be (N, T, features), got (2, 3)",
        ),
        (nn.MaxPool2D(2), (2, 5), "MaxPool2D(2x2): max_pool2d: input must be (N, H, W, C), got (2, 5)"),
        (nn.AvgPool2D(2), (2, 5), "AvgPool2D(2x2): avg_pool2d: input must be (N, H, W, C), got (2, 5)"),
        (nn.AvgPool2D(2, stride=0), (2, 5, 5, 1), "AvgPool2D(2x2, stride 0): stride must be at least 1, got (0, 0)"),
        (
            nn.Embedding(5, 3),
            (2,),
            "Embedding(5 -> 3): embedding: labels must be integers, got float32; the classes count from 0, say labels.astype('int64')",
        ),
        (nn.SelfAttention(4), (2, 3), "SelfAttention(4, heads 1): input must be (N, T, 4) with T at least 1, got (2, 3)"),
        (nn.GRU(4, 3), (2, 0, 4), "GRU(4 -> 3): input must be (N, T, 4) with T at least 1, got (2, 0, 4)"),
        (nn.GlobalAvgPool2D(), (2, 3, 4), "GlobalAvgPool2D(): global_avg_pool2d: input must be (N, H, W, C), got (2, 3, 4)" + one_image),
        (nn.Upsample2D(), (2, 3, 4), "Upsample2D(2x2): upsample2d: input must be (N, H, W, C), got (2, 3, 4)" + one_image),
    ],
    ids=lambda value: value.describe() if isinstance(value, nn.Module) else None,
)
def test_an_input_it_cannot_take_is_refused_by_name(layer: nn.Module, shape: Shape, said: str) -> None:
    with pytest.raises((TypeError, ValueError)) as refusal:
        layer(F.zeros(shape))
    assert f"{layer.describe()}: {refusal.value}" == said
    assert refusal.value.__notes__ == [f"in {layer.describe()}"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: nn.Dense(0, 3), "Dense: in_features must be an integer of at least 1, got 0"),
        (lambda: nn.Conv2D(1, 2, 0), "Conv2D: kernel_size must be an integer of at least 1, got 0"),
        (lambda: nn.Conv2D(1, 2, 2.5), "kernel_size is an integer or a pair of integers (rows, columns), not 2.5"),
        (
            lambda: nn.SpectralNorm(nn.ReLU()),
            "SpectralNorm: takes a layer whose forward takes a weight, as that of Dense does, not ReLU()",
        ),
        (
            lambda: nn.SpectralNorm(nn.GRU(2, 3)),
            "SpectralNorm: takes a layer whose forward takes a weight, as that of Dense does, not GRU(2 -> 3)",
        ),
        (lambda: nn.SelfAttention(6, 4), "SelfAttention: 6 features cannot be divided among 4 heads"),
        (lambda: nn.SelfAttention(6, similarity="l2"), 'SelfAttention: similarity must be "dot" or "cosine", got \'l2\''),
        (
            lambda: nn.SelfAttention2D(7),
            "SelfAttention2D: channels must be at least 8, since queries and keys have an eighth of them, got 7",
        ),
        (lambda: nn.SpectralNorm(None), "SpectralNorm: takes a layer whose forward takes a weight, as that of Dense does, not None"),
        (lambda: nn.Dense("3", 2), "Dense: in_features must be an integer of at least 1, got '3'"),
        (lambda: nn.Conv2D(1, 2.5, 3), "Conv2D: out_channels must be an integer of at least 1, got 2.5"),
        (lambda: nn.ConvTranspose2D((1,), 2, 3), "ConvTranspose2D: in_channels must be an integer of at least 1, got (1,)"),
        (lambda: nn.GRU(2, None), "GRU: features must be an integer of at least 1, got None"),
        (lambda: nn.Embedding(0, 2), "Embedding: num_embeddings must be an integer of at least 1, got 0"),
        (lambda: nn.BatchNorm([3]), "BatchNorm: channels must be an integer of at least 1, got [3]"),
        (lambda: nn.BatchNorm(3, momentum=1.5), "BatchNorm: momentum must be from 0 to 1, got 1.5"),
        (lambda: nn.LayerNorm((3, 0)), "LayerNorm: shape must be an integer of at least 1, got 0"),
        (lambda: nn.CrossAttention(6, 3, 4), "CrossAttention: 6 features cannot be divided among 4 heads"),
        (lambda: nn.SinusoidalEncoding(3), "SinusoidalEncoding: features must be even, a sine and a cosine for each frequency, got 3"),
        (lambda: nn.Conv2D(4, 6, 3, groups=4), "Conv2D: 4 and 6 channels cannot both be divided into 4 groups"),
        (lambda: nn.Conv2D(4, 6, 3, padding_mode="wrap"), 'Conv2D: padding_mode must be "zeros", "reflect" or "replicate", got \'wrap\''),
        (lambda: nn.Upsample2D(2, "cubic"), 'Upsample2D: mode must be "nearest" or "bilinear", got \'cubic\''),
        (lambda: nn.GroupNorm(3, 8), "GroupNorm: 8 channels cannot be divided into 3 groups"),
        (lambda: nn.InstanceNorm(0), "InstanceNorm: groups must be an integer of at least 1, got 0"),
        (lambda: nn.SelfAttention2D("8"), "SelfAttention2D: channels must be an integer of at least 1, got '8'"),
        (lambda: nn.init.glorot((3,)), "a weight has at least two axes, (..., in, out), got the shape (3,)"),
        (lambda: nn.Dropout(None), "Dropout: p must be at least 0 and below 1, got None"),
        (lambda: nn.Dropout(1.0), "Dropout: p must be at least 0 and below 1, got 1.0"),
    ],
)
def test_a_layer_that_cannot_be_is_refused(make: Callable[[], nn.Module], said: str) -> None:
    with pytest.raises(ValueError) as refusal:
        make()
    assert str(refusal.value) == said
