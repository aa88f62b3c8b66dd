"""Functions of Tensors, one family a file, all differentiable to any order.

The user calls the lowercase function; it makes a node of the graph, an instance of the capitalised Function, and applies it. Importing this
package also binds the operators and methods of Tensor.
"""

from tinygen.functional.activation import leaky_relu, log_softmax, relu, sigmoid, softmax, softplus, tanh
from tinygen.functional.attention import attention, attention_weights
from tinygen.functional.conv import conv2d, conv_transpose2d
from tinygen.functional.conversion import to
from tinygen.functional.creation import ones, rand, randn, tensor, zeros
from tinygen.functional.dropout import dropout
from tinygen.functional.elementwise import abs, add, clip, cos, div, exp, log, maximum, minimum, mul, neg, pow, sin, sqrt, sub, where
from tinygen.functional.indexing import embedding, getitem
from tinygen.functional.linalg import dense, matmul
from tinygen.functional.loss import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_kl,
    gradient_penalty,
    hinge_discriminator_loss,
    l1_loss,
    least_squares_discriminator_loss,
    least_squares_generator_loss,
    mse_loss,
    wasserstein_discriminator_loss,
    wasserstein_generator_loss,
)
from tinygen.functional.norm import batch_norm, layer_norm
from tinygen.functional.pool import avg_pool2d, global_avg_pool2d, max_pool2d, upsample2d
from tinygen.functional.recurrent import gru, lstm, rnn
from tinygen.functional.reduce import logsumexp, max, mean, min, sum, sum_to, var
from tinygen.functional.shape import broadcast_to, concatenate, flatten, flip, pad, reshape, stack, transpose

__all__ = [
    "abs",
    "add",
    "attention",
    "attention_weights",
    "avg_pool2d",
    "batch_norm",
    "binary_cross_entropy_with_logits",
    "broadcast_to",
    "clip",
    "concatenate",
    "conv2d",
    "conv_transpose2d",
    "cos",
    "cross_entropy",
    "dense",
    "div",
    "dropout",
    "embedding",
    "exp",
    "flatten",
    "flip",
    "gaussian_kl",
    "getitem",
    "global_avg_pool2d",
    "gradient_penalty",
    "gru",
    "hinge_discriminator_loss",
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
    "minimum",
    "mse_loss",
    "mul",
    "neg",
    "ones",
    "pad",
    "pow",
    "rand",
    "randn",
    "relu",
    "reshape",
    "rnn",
    "sigmoid",
    "sin",
    "softmax",
    "softplus",
    "sqrt",
    "stack",
    "sub",
    "sum",
    "sum_to",
    "tanh",
    "tensor",
    "to",
    "transpose",
    "upsample2d",
    "var",
    "wasserstein_discriminator_loss",
    "wasserstein_generator_loss",
    "where",
    "zeros",
]
