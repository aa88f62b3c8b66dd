"""What a user reads when a function refuses its arguments: one sentence, with the function's name and the numbers."""

import numpy
import pytest
from refusals import Refusal, expect

import tinygen.functional as F
from tinygen import tensor

a, b = F.ones((2, 3), requires_grad=True), F.ones((4,), requires_grad=True)
image, weight = F.ones((1, 4, 4, 1)), F.ones((3, 3, 1, 2))

REFUSED: list[Refusal] = [
    (
        lambda: F.conv2d(F.ones((64, 28, 28, 3)), weight),
        ValueError,
        "conv2d: input has 3 channels but weight (3, 3, 1, 2) takes 1; x is (64, 28, 28, 3), NHWC",
    ),
    (lambda: F.conv2d(image, weight, b), ValueError, "conv2d: bias has shape (4,) but weight (3, 3, 1, 2) gives 2 channels"),
    (lambda: F.conv2d(a, weight), ValueError, "conv2d: input must be (N, H, W, C), got (2, 3)"),
    (lambda: F.conv2d(image, a), ValueError, "conv2d: weight must have four axes, two of them the kernel's size, got (2, 3)"),
    (
        lambda: F.conv2d(F.ones((1, 4, 4, 1), "uint8"), weight),
        TypeError,
        "conv2d: input must be floating point, got uint8 (1, 4, 4, 1); tinygen.data.to_float(images, low, high) scales bytes",
    ),
    (
        lambda: F.conv_transpose2d(F.ones((1, 4, 4, 2), "float64"), weight),
        TypeError,
        "conv_transpose2d: input is float64 but weight is float32; convert one with .astype('float32')",
    ),
    (lambda: F.conv2d(image, weight, stride=0), ValueError, "stride must be at least 1, got 0"),
    (lambda: F.conv2d(image, weight, dilation=(1, -2)), ValueError, "dilation must be at least 1, got (1, -2)"),
    (lambda: F.max_pool2d(image, 0), ValueError, "kernel_size must be at least 1, got 0"),
    (lambda: F.upsample2d(a, 2), ValueError, "upsample2d: input must be (N, H, W, C), got (2, 3)"),
    (lambda: F.dense(a, F.ones((4, 5))), ValueError, "dense: x (2, 3) must end in the 4 features that weight (4, 5) (in, out) takes"),
    (lambda: F.dense(a, F.ones((3, 4)), F.ones((4, 1))), ValueError, "dense: bias has shape (4, 1) but weight (3, 4) gives 4 features"),
    (lambda: F.batch_norm(a, b, b), ValueError, "batch_norm: gamma has shape (4,) but x (2, 3) has 3 channels"),
    (lambda: F.batch_norm(F.ones((1, 4)), b, b), ValueError, "batch_norm: training needs more than one value per channel, x is (1, 4)"),
    *(
        (
            lambda n=n: F.minibatch_deviation(a, batches=n),
            ValueError,
            f"minibatch_deviation: 2 examples cannot be divided into {n} batches",
        )
        for n in (3, 0)
    ),
    (
        lambda: F.batch_norm(F.ones((2, 4)), b, b, training=False),
        ValueError,
        "batch_norm: outside training it needs running_mean and running_var",
    ),
    (
        lambda: F.batch_norm(F.ones((2, 4)), b, b, negative_slope=-1.0),
        ValueError,
        "batch_norm: negative_slope must be at least 0, got -1.0",
    ),
    (
        lambda: F.lstm(F.zeros((5, 2, 12)), F.zeros((3, 12)), F.zeros((4, 3)), F.zeros((2, 3))),
        ValueError,
        "lstm: x (5, 2, 12), weight (3, 12) and state (4, 3), (2, 3) must be (T, N, 4 features) with at least one step, "
        "(features, 4 features) and (N, features)",
    ),
    (
        lambda: F.rnn(F.zeros((0, 2, 3)), F.zeros((3, 3)), F.zeros((2, 3))),
        ValueError,
        "rnn: x (0, 2, 3), weight (3, 3) and state (2, 3) must be (T, N, features) with at least one step, (features, features) and "
        "(N, features)",
    ),
    (lambda: F.layer_norm(a, b, b), ValueError, "layer_norm: x (2, 3) must end in the shape of gamma (4,) and beta (4,)"),
    (
        lambda: F.conv2d(F.ones((1, 4, 4, 4)), F.ones((3, 3, 2, 3)), groups=2),
        ValueError,
        "conv2d: the channels that weight (3, 3, 2, 3) gives cannot be divided into 2 groups",
    ),
    (
        lambda: F.conv2d(F.ones((1, 5, 5, 3)), F.ones((3, 3, 2, 4)), groups=2),
        ValueError,
        "conv2d: input has 3 channels but weight (3, 3, 2, 4) in 2 groups takes 4; x is (1, 5, 5, 3), NHWC",
    ),
    (lambda: F.conv1d(a, weight), ValueError, "conv1d: x must be (N, T, C) and weight (k, C, K), got (2, 3) and (3, 3, 1, 2)"),
    (lambda: F.upsample2d(image, 2, "cubic"), ValueError, 'upsample2d: mode must be "nearest" or "bilinear", got \'cubic\''),
    (
        lambda: F.pixel_shuffle(F.ones((1, 2, 2, 6)), 2),
        ValueError,
        "pixel_shuffle: 6 channels cannot be divided into blocks of 4, the factor squared; x is (1, 2, 2, 6)",
    ),
    (lambda: F.pad(a, [(0, 0), (1, 1)], "wrap"), ValueError, 'pad: mode must be "constant", "reflect" or "replicate", got \'wrap\''),
    (
        lambda: F.pad(a, [(0, 2), (0, 0)], "reflect"),
        ValueError,
        "pad: a reflection of 2 along axis 0 needs more elements than the 2 of (2, 3)",
    ),
    (
        lambda: F.pad(F.ones((0, 3)), [(0, 2), (0, 0)], "replicate"),
        ValueError,
        "pad: there is nothing to replicate along axis 0 of (0, 3)",
    ),
    (lambda: F.group_norm(a, b, b, 2), ValueError, "group_norm: x (2, 3) must be (N, ..., C), gamma (4,) and beta (4,) (C,)"),
    (lambda: F.group_norm(F.ones((2, 4)), b, b, 3), ValueError, "group_norm: 4 channels cannot be divided into 3 groups"),
    (lambda: F.instance_norm(F.ones((2, 4)), b, b), ValueError, "group_norm: a group needs more than one value, x is (2, 4) and groups 4"),
    (lambda: F.cross_entropy(a, numpy.array([0, 3])), ValueError, "cross_entropy: labels from 0 to 3, but 3 classes count from 0 to 2"),
    (lambda: F.embedding(a, numpy.array([[0], [2]])), ValueError, "embedding: labels from 0 to 2, but 2 classes count from 0 to 1"),
    (lambda: F.embedding(a, numpy.array([-1])), ValueError, "embedding: labels from -1 to -1, but 2 classes count from 0 to 1"),
    (lambda: F.gradient_penalty(F.sum, a, a[:1]), ValueError, "gradient_penalty: real (2, 3) and fake (1, 3) must have one shape"),
    (
        lambda: F.cross_entropy(a, numpy.zeros(2)),
        TypeError,
        "cross_entropy: labels must be integers, got float64; the classes count from 0, say labels.astype('int64')",
    ),
    (
        lambda: F.cross_entropy(a, numpy.array([0])),
        ValueError,
        "cross_entropy: logits must be (N, ..., classes) and labels (N, ...), got (2, 3) and (1,)",
    ),
    (lambda: F.dropout(a, 1.0), ValueError, "dropout: p must be at least 0 and below 1, got 1.0"),
    (
        lambda: F.dropout(F.ones((2, 3), "int64")),
        TypeError,
        "Dropout: the kernels take float32 and float64, not int64; arguments: int64 (2, 3) on cpu",
    ),
    (lambda: F.dense(a, a, negative_slope=-0.1), ValueError, "dense: negative_slope must be at least 0, got -0.1"),
    (lambda: F.leaky_relu(a, -0.1), ValueError, "leaky_relu: negative_slope must be at least 0, got -0.1"),
    (lambda: F.clip(a, 1.0, 0.0), ValueError, "clip: low 1.0 is above high 0.0"),
    (lambda: F.transpose(a, 0, 0), ValueError, "transpose: axes (0, 0) are not a permutation of the 2 axes of shape (2, 3)"),
    (lambda: F.transpose(a, 3, 0), ValueError, "transpose: axes (3, 0) are not a permutation of the 2 axes of shape (2, 3)"),
    (lambda: a.sum_to((3, 2)), ValueError, "sum_to: (3, 2) does not broadcast to (2, 3)"),
    (lambda: F.stack([a, a], 5), ValueError, "stack: axis 5 is out of bounds for array of dimension 3"),
    (lambda: F.flip(a, 5), ValueError, "flip: axis 5 is out of bounds for array of dimension 2"),
    (lambda: F.concatenate([a, a], 2), ValueError, "concatenate: axis 2 is out of bounds for array of dimension 2"),
    (
        lambda: F.ones((1000, 300)).sum(axis=2),
        ValueError,
        "Sum: axis 2 is out of bounds for array of dimension 2; arguments: float32 (1000, 300) on cpu",
    ),
    (lambda: a.sum().mean(axis=0), ValueError, "Mean: axis 0 is out of bounds for array of dimension 0; arguments: float32 () on cpu"),
    (lambda: tensor("abc"), TypeError, "tensor: takes integers, booleans and floating-point numbers, not <U3: 'abc'"),
    (lambda: tensor(None), TypeError, "tensor: takes integers, booleans and floating-point numbers, not object: None"),
    (
        lambda: F.mse_loss(F.ones((2, 1)), F.ones((2,))),
        ValueError,
        "mse_loss: the target (2,) does not broadcast to (2, 1); write target.reshape(2, 1)",
    ),
    (
        lambda: F.l1_loss(a, F.ones((1, 2, 3))),
        ValueError,
        "l1_loss: the target (1, 2, 3) does not broadcast to (2, 3); write target.reshape(2, 3)",
    ),
    (
        lambda: F.binary_cross_entropy_with_logits(F.ones((2, 1)), F.ones((2, 2))),
        ValueError,
        "binary_cross_entropy_with_logits: the target (2, 2) does not broadcast to (2, 1)",
    ),
    (lambda: F.gaussian_kl(a, F.ones((2, 1))), ValueError, "gaussian_kl: mean (2, 3) and log_var (2, 1) must have one shape"),
    (
        lambda: F.attention_weights(a, a, mask=numpy.zeros((2, 2), int)),
        TypeError,
        "attention: mask must be booleans, true where a query may look, or numbers that are added, got int64",
    ),
    (
        lambda: F.sinusoidal_encoding(b, 3),
        ValueError,
        "sinusoidal_encoding: features must be even, a sine and a cosine for each frequency, got 3",
    ),
    (lambda: F.sinusoidal_encoding(b, 2, 0.0), ValueError, "sinusoidal_encoding: max_period must be positive, got 0.0"),
    (
        lambda: F.sinusoidal_encoding(F.arange(3), 2),
        TypeError,
        "sinusoidal_encoding: t must be floating point, got int64; convert it with .astype('float32')",
    ),
    (lambda: F.prelu(a, b), ValueError, "prelu: slope must be (1,) or have the channels of x (2, 3), got (4,)"),
    (lambda: F.huber_loss(a, a, 0), ValueError, "huber_loss: delta must be positive, got 0"),
    (lambda: F.straight_through(a, b), ValueError, "straight_through: hard (2, 3) and soft (4,) must have one shape"),
    (
        lambda: F.cross_entropy(a, [0, 1], b),
        ValueError,
        "cross_entropy: weight must be (3,), a number for each class, got (4,)",
    ),
    (lambda: F.cross_entropy(a, [0, 1], label_smoothing=2), ValueError, "cross_entropy: label_smoothing must be from 0 to 1, got 2"),
    (
        lambda: F.cross_entropy(a, [0, -100], ignore_index=-1),
        ValueError,
        "cross_entropy: labels from -100 to 0, but 3 classes count from 0 to 2",
    ),
    (lambda: a @ [[1.0]], TypeError, "matmul takes two Tensors, got Tensor and list; make one with tinygen.tensor(...)"),
    (lambda: F.concatenate([]), ValueError, "concatenate: there is nothing to concatenate"),
    (lambda: list(a.sum()), TypeError, "a tensor of shape () has no length and no rows; .item() is its number"),
    (lambda: F.stack([a, b]), ValueError, "stack: takes tensors of one shape, got [(2, 3), (4,)]"),
    (lambda: F.add(1.0, 2), TypeError, "Add takes at least one Tensor, got 1.0, 2; make one with tinygen.tensor(...)"),
    (lambda: F.where(b > 0, 1.0, 0.0), TypeError, "Where takes at least one Tensor, got 1.0, 0.0; make one with tinygen.tensor(...)"),
    (
        lambda: F.where(True, a, 0.0),
        TypeError,
        "where: condition must be a Tensor or an array, got bool True; make one with tinygen.tensor(...)",
    ),
    (lambda: F.pad(a, [(1, 1)]), ValueError, "pad: takes one (before, after) >= 0 for each of the 2 axes of (2, 3), got [(1, 1)]"),
]


@pytest.mark.parametrize("refusal", REFUSED, ids=lambda refusal: refusal[2][:40])
def test_refused_in_one_sentence(refusal: Refusal) -> None:
    expect(refusal)
