"""What must not wait for the device. test_cuda_training shows that whole steps do not."""

import numpy
import pytest

import tinygen.functional as F
from tinygen import optim

pytestmark = [pytest.mark.gpu, pytest.mark.usefixtures("fast_kernels")]


def test_a_loss_of_labels_on_the_device_does_not_look_at_them(waits: list[str]) -> None:
    logits, labels = F.zeros((3, 4), device="cuda", requires_grad=True), F.tensor(numpy.array([0, 3, 1]), device="cuda")
    F.cross_entropy(logits, labels).backward()
    assert waits == []


def test_the_norm_of_all_gradients_is_one_read(waits: list[str]) -> None:
    parameters = [F.ones((n,), device="cuda", requires_grad=True) for n in (4, 12)]
    for p in parameters:
        p.grad = p.detach()
    assert optim.clip_grad_norm(parameters, 1.0) == 4.0
    assert waits == ["get"]
