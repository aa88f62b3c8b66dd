"""Functions of Tensors, one family a file, all differentiable to any order.

The user calls the lowercase function; it makes a node of the graph, an instance of the capitalised
Function, and applies it. Importing this package also binds the operators and methods of Tensor.
"""

from tinygen.engine.arguments import checked
from tinygen.engine.tensor import Tensor
from tinygen.functional.activation import elu, gelu, leaky_relu, log_softmax, prelu, relu, sigmoid, silu, softmax, softplus, tanh
from tinygen.functional.attention import attention, attention_weights
from tinygen.functional.conv import conv2d, conv_transpose2d
from tinygen.functional.conv1d import conv1d
from tinygen.functional.conversion import astype, to
from tinygen.functional.creation import arange, eye, full, ones, ones_like, rand, randn, tensor, zeros, zeros_like
from tinygen.functional.dropout import dropout
from tinygen.functional.einsum import einsum
from tinygen.functional.elementwise import abs, add, cos, div, exp, log, mul, neg, pow, sign, sin, sqrt, sub
from tinygen.functional.indexing import embedding, getitem, one_hot
from tinygen.functional.linalg import dense, matmul
from tinygen.functional.loss import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_kl,
    gradient_penalty,
    hinge_discriminator_loss,
    huber_loss,
    l1_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    mse_loss,
    wasserstein_discriminator_loss,
    wasserstein_generator_loss,
)
from tinygen.functional.norm import batch_norm, group_norm, instance_norm, layer_norm, minibatch_deviation
from tinygen.functional.padding import pad
from tinygen.functional.pool import avg_pool2d, global_avg_pool2d, max_pool2d, pixel_shuffle, upsample2d
from tinygen.functional.position import sinusoidal_encoding
from tinygen.functional.recurrent import gru, lstm, rnn
from tinygen.functional.reduce import argmax, argmin, cumsum, logsumexp, max, mean, min, std, sum, sum_to, var
from tinygen.functional.selection import clip, isfinite, maximum, minimum, straight_through, where
from tinygen.functional.shape import (
    broadcast_to,
    concatenate,
    expand_dims,
    flatten,
    flip,
    repeat,
    reshape,
    roll,
    split,
    squeeze,
    stack,
    swapaxes,
    tile,
    transpose,
    tril,
)

__all__ = [
    "abs",
    "add",
    "arange",
    "argmax",
    "argmin",
    "astype",
    "attention",
    "attention_weights",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "broadcast_to",
    "clip",
    "concatenate",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cos",
    "cross_entropy",
    "cumsum",
    "dense",
    "div",
    "dropout",
    "einsum",
    "elu",
    "embedding",
    "exp",
    "expand_dims",
    "eye",
    "flatten",
    "flip",
    "full",
    "gaussian_kl",
    "gelu",
    "getitem",
    "global_avg_pool2d",
    "gradient_penalty",
    "group_norm",
    "gru",
    "hinge_discriminator_loss",
    "huber_loss",
    "instance_norm",
    "isfinite",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "least_squares_discriminator_loss",
    "least_squares_generator_loss",
    "log",
    "log_softmax",
    "logsumexp",
    "lstm",
    "matmul",
    "max",
    "max_pool2d",
    "maximum",
    "mean",
    "min",
    "minibatch_deviation",
    "minimum",
    "mse_loss",
    "mul",
    "neg",
    "one_hot",
    "ones",
    "ones_like",
    "pad",
    "pixel_shuffle",
    "pow",
    "prelu",
    "rand",
    "randn",
    "relu",
    "repeat",
    "reshape",
    "rnn",
    "roll",
    "sigmoid",
    "sign",
    "silu",
    "sin",
    "sinusoidal_encoding",
    "softmax",
    "softplus",
    "split",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "straight_through",
    "sub",
    "sum",
    "sum_to",
    "swapaxes",
    "tanh",
    "tensor",
    "tile",
    "to",
    "transpose",
    "tril",
    "upsample2d",
    "var",
    "wasserstein_discriminator_loss",
    "wasserstein_generator_loss",
    "where",
    "zeros",
    "zeros_like",
]

for _name in __all__:
    _function = globals()[_name]
    _checked = checked(_function)
    _checked.__module__ = __name__  # where pickle finds it
    globals()[_name] = _checked
    if vars(Tensor).get(_name) is _function:
        setattr(Tensor, _name, _checked)
