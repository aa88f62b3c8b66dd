"""How parameters are updated: optimisers, and what is done to gradients before a step."""

from tinygen.optim.adam import Adam, AdamW
from tinygen.optim.average import Average
from tinygen.optim.clip import clip_grad_norm, clip_grad_value
from tinygen.optim.groups import Groups, decayed
from tinygen.optim.optimizer import Optimizer
from tinygen.optim.rmsprop import RMSprop
from tinygen.optim.schedule import Schedule
from tinygen.optim.sgd import SGD
