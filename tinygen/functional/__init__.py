"""Functions of Tensors, one family a file, all differentiable to any order.

The user calls the lowercase function; it makes a node of the graph, an instance of the capitalised Function, and applies it. Importing this
package also binds the operators and methods of Tensor.
"""

from tinygen.functional.activation import dropout, leaky_relu, log_softmax, relu, sigmoid, softmax, softplus, tanh
from tinygen.functional.attention import attention, attention_weights
from tinygen.functional.conv import conv2d, conv_transpose2d
from tinygen.functional.creation import ones, rand, randn, tensor, zeros
from tinygen.functional.elementwise import (
    abs,
    add,
    clip,
    cos,
    div,
    exp,
    log,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    sin,
    sqrt,
    sub,
    to,
    where,
)
from tinygen.functional.linalg import dense, matmul
from tinygen.functional.loss import binary_cross_entropy_with_logits, cross_entropy, gaussian_kl, l1_loss, mse_loss
from tinygen.functional.norm import batch_norm, layer_norm
from tinygen.functional.pool import avg_pool2d, global_avg_pool2d, max_pool2d, upsample2d
from tinygen.functional.reduce import logsumexp, max, mean, min, sum, sum_to, var
from tinygen.functional.shape import broadcast_to, concatenate, embedding, flatten, flip, getitem, pad, reshape, stack, transpose

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
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "log",
    "log_softmax",
    "logsumexp",
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
    "where",
    "zeros",
]
