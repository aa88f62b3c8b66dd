"""Layers and the Module that they are made of."""

from tinygen.nn import init
from tinygen.nn.attention import SelfAttention, SelfAttention2D
from tinygen.nn.layers import BatchNorm, Conv2D, ConvTranspose2D, Dense, Embedding, LayerNorm, SpectralNorm
from tinygen.nn.module import LayerError, Module, Sequential
from tinygen.nn.plain import (
    AvgPool2D,
    Dropout,
    Flatten,
    GlobalAvgPool2D,
    LeakyReLU,
    MaxPool2D,
    ReLU,
    Reshape,
    Sigmoid,
    Tanh,
    Upsample2D,
)
from tinygen.nn.recurrent import GRU, LSTM, RNN
from tinygen.nn.summary import summary
