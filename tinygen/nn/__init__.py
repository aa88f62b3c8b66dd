"""Layers and the Module that they are made of."""

from tinygen.engine.mode import evaluating
from tinygen.inspection.summary import summary
from tinygen.nn import init
from tinygen.nn.activation import ELU, GELU, LeakyReLU, PReLU, ReLU, Sigmoid, SiLU, Softplus, Tanh
from tinygen.nn.attention import CrossAttention, SelfAttention, SelfAttention2D
from tinygen.nn.augment import DifferentiableAugment
from tinygen.nn.conv import Conv1D, Conv2D, ConvTranspose2D
from tinygen.nn.dropout import Dropout
from tinygen.nn.indexing import Embedding
from tinygen.nn.linalg import Dense
from tinygen.nn.module import Module
from tinygen.nn.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, MinibatchDeviation
from tinygen.nn.parameter import Buffer, Parameter
from tinygen.nn.pool import AvgPool2D, GlobalAvgPool2D, MaxPool2D, PixelShuffle, Upsample2D
from tinygen.nn.position import LearnedPosition, SinusoidalEncoding, SinusoidalPosition
from tinygen.nn.recurrent import GRU, LSTM, RNN
from tinygen.nn.residual import Identity, Lambda, Residual
from tinygen.nn.sequential import Sequential
from tinygen.nn.shape import Flatten, Reshape
from tinygen.nn.spectral_norm import SpectralNorm
