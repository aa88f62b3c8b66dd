"""TINYGEN_KERNELS=reference: a debugger steps through the kernels, since nothing is compiled."""

import os
import pathlib
import subprocess
import sys

import numpy
import pytest

# A step of training with every kernel that a network can have, and the gradients and parameters
# after it.
SCRIPT = """
import sys
import numpy
import tinygen as tg
from tinygen import nn, optim

tg.manual_seed(0)
model = nn.Sequential(
    nn.Conv2D(3, 8, 3, padding="same", bias=False), nn.BatchNorm(8), nn.LeakyReLU(), nn.MaxPool2D(2),
    nn.ConvTranspose2D(8, 4, 4, stride=2, padding="same"), nn.ReLU(), nn.AvgPool2D(2), nn.Dropout(0.25),
    nn.Flatten(), nn.Dense(4 * 4 * 4, 5),
)
optimizer = optim.Adam(model.parameters(), lr=1e-2)
x = tg.randn((6, 8, 8, 3), requires_grad=True)
loss = tg.cross_entropy(model(x), numpy.arange(6) % 5)
loss.backward()
gradients = [x.grad.numpy(), *(p.grad.numpy() for p in model.parameters())]
optimizer.step()
numpy.savez(sys.argv[1], loss.numpy(), *gradients, *(p.numpy() for p in model.parameters()))
print("numba" in sys.modules)
"""


def run(script: str, *arguments: str | pathlib.Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment}
    return subprocess.run([sys.executable, "-c", script, *arguments], env=variables, capture_output=True, text=True)


def test_a_network_learns_the_same_with_the_reference(tmp_path: pathlib.Path) -> None:
    fast = run(SCRIPT, tmp_path / "fast.npz", TINYGEN_KERNELS="")
    reference = run(SCRIPT, tmp_path / "reference.npz", TINYGEN_KERNELS="reference", NUMBA_DISABLE_JIT="1")
    assert (fast.stdout, reference.stdout) == ("True\n", "False\n"), fast.stderr + reference.stderr
    with numpy.load(tmp_path / "fast.npz") as exact, numpy.load(tmp_path / "reference.npz") as results:
        assert len(exact.files) == 16
        for name in exact.files:
            assert results[name].dtype == "float32"
            numpy.testing.assert_allclose(results[name], exact[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("choice", ["fast", "Reference"])
def test_an_unknown_choice_is_refused(choice: str) -> None:
    process = run("import numpy, tinygen_kernels; tinygen_kernels.for_array(numpy.zeros(1))", TINYGEN_KERNELS=choice)
    assert process.returncode == 1
    assert process.stderr.splitlines()[-1] == (
        f'ValueError: TINYGEN_KERNELS chooses the kernels for NumPy arrays: "reference", or unset for the fast ones, not "{choice}"'
    )
