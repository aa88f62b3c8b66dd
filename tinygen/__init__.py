"""tinygen: a small deep-learning framework for generative models, from scratch in Python."""

from tinygen import functional, nn, optim
from tinygen.autograd import Function, grad
from tinygen.backend import manual_seed, random_state, set_random_state
from tinygen.functional import *  # noqa: F403
from tinygen.fused import Fused
from tinygen.mode import detect_anomaly, is_recording, no_grad
from tinygen.profiling import profile
from tinygen.tensor import Tensor
