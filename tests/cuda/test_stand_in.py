"""What CuPy accepts and what it refuses.

On the stand-in this tests the stand-in. On a GPU it tests that CuPy behaves as the stand-in does.
"""

from typing import Any

import numpy
import pytest

pytestmark = pytest.mark.gpu

ACCEPTED = {
    "x + 1": "x + 1",
    "numpy.float32(2) * x": "2 * x",
    "x @ w": "x @ w",
    "x.sum()": "x.sum()",
    "cupy.sum(x, axis=0, keepdims=True)": "x.sum(0, keepdims=True)",
    "x[0, 1]": "x[0, 1]",
    "x[x > 3]": "x[x > 3]",
    "x[cupy.asarray([0, 5, -1])]": "x[[0, 2, 2]]",  # outside: wraps around
    "x.reshape(2, -1)": "x.reshape(2, -1)",
    "x.argsort()": "x.argsort(kind='stable')",
    "cupy.concatenate([x, x])": "numpy.concatenate([x, x])",
    "cupy.where(x > 1, x, 0)": "numpy.where(x > 1, x, 0)",
    "cupy.pad(x, ((1, 1), (0, 0)))": "numpy.pad(x, ((1, 1), (0, 0)))",
    "cupy.einsum('ij,jk->ik', x, w)": "x @ w",
    "cupy.maximum(x, 2)": "numpy.maximum(x, 2)",
    "cupy.clip(x, 1, 2)": "numpy.clip(x, 1, 2)",
    "cupy.zeros(3)": "numpy.zeros(3)",
    "cupy.arange(3)": "numpy.arange(3)",
    "cupy.asarray(h)": "h",
    "cupy.array([1.5, 2.5])": "numpy.array([1.5, 2.5])",
}
REFUSED = [
    *["x + h", "h + x", "x + [1, 2, 3, 4]", "x == h", "numpy.asarray(x)", "numpy.multiply(h, x)", "x.__setitem__(0, h[0])"],
    *["cupy.add(x, h)", "cupy.add(x, [1, 2, 3, 4])", "cupy.exp(h)", "cupy.matmul(x, h.T)", "cupy.concatenate([x, h])", "cupy.sum([1, 2])"],
    *["cupy.sum(x, where=x > 1)", "cupy.sum(x, initial=0)", "x.max(initial=0)", "x.sum(where=x > 1)"],
    *["cupy.clip(x, 0)", "cupy.clip(x, min=0, max=1)", "cupy.take(x, cupy.asarray([0]), mode='clip')"],
    *["range(cupy.asarray(3))", "[0, 1, 2][cupy.asarray(1)]", "list(cupy.asarray(1))", "hash(x)", "x.ctypes", "x.setflags(write=False)"],
    *["cupy.errstate()", "cupy.insert(x, 0, 1)", "cupy.ndenumerate(x)", "cupy.argsort(x, kind='quicksort')"],
    *[f"cupy.random.default_rng(0).{name}" for name in ("normal", "permutation", "shuffle", "choice")],
    "x[3]",
]
WAITING = {
    **{f"{name}(x.sum())": 1 for name in ("bool", "float", "int")},
    **{"x.get()": 1, "cupy.asnumpy(x)": 1, "x.tolist()": 1, "x.sum().item()": 1},
    **{"x[x > 3]": 1, "x.nonzero()": 1, "cupy.nonzero(x)": 1, "cupy.unique(x)": 1},
    **{"x + 1": 0, "x.sum()": 0, "x[0, 1]": 0, "cupy.where(x > 3, x, 0)": 0, "cupy.asarray(h)": 0, "len(x), x.shape": 0},
}


@pytest.fixture
def names(cuda_kernels: Any) -> dict[str, Any]:
    """What the expressions speak of: CuPy, two arrays on the device, and one on the host."""
    import cupy

    x, w = numpy.arange(12, dtype="float32").reshape(3, 4), numpy.ones((4, 2), "float32")
    return {"cupy": cupy, "numpy": numpy, "x": cupy.asarray(x), "w": cupy.asarray(w), "h": x}


@pytest.mark.parametrize("expression", ACCEPTED)
def test_accepted(expression: str, names: dict[str, Any]) -> None:
    found = eval(expression, names)
    expected = numpy.asarray(eval(ACCEPTED[expression], {"numpy": numpy, "x": names["h"], "h": names["h"], "w": names["w"].get()}))
    assert type(found) is names["cupy"].ndarray and found.device.id == 0
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    numpy.testing.assert_array_equal(found.get(), expected)


@pytest.mark.parametrize("expression", REFUSED)
def test_refused(expression: str, names: dict[str, Any]) -> None:
    with pytest.raises((TypeError, AttributeError, ValueError, IndexError)):
        eval(expression, names)


@pytest.mark.parametrize("expression", WAITING)
def test_what_waits_is_counted(expression: str, names: dict[str, Any], waits: list[str]) -> None:
    eval(expression, names)
    assert len(waits) == WAITING[expression]


def test_what_comes_from_the_host_is_a_copy(names: dict[str, Any]) -> None:
    x = names["cupy"].asarray(names["h"])
    names["h"][0, 0] = 100
    assert x.get()[0, 0] == 0
    assert names["cupy"].asarray(x) is x
    assert x[1:].__cuda_array_interface__["data"][0] == x.__cuda_array_interface__["data"][0] + 16


def test_a_pool_lends_a_free_block_again_until_it_gives_it_back(names: dict[str, Any]) -> None:
    cuda, taken = names["cupy"].cuda, list[int]()

    def take(size: int) -> Any:
        taken.append(size)
        return cuda.MemoryPointer(cuda.Memory(size), 0)

    pool = cuda.MemoryPool(take)
    pool.malloc(100)
    held = pool.malloc(400)
    pool.malloc(513)
    assert taken == [512, 1024]
    del held
    pool.free_all_blocks()
    pool.malloc(1)
    assert taken == [512, 1024, 512]


def test_results_lie_on_the_current_device_and_no_computation_reaches_another(names: dict[str, Any], waits: list[str]) -> None:
    cupy, x = names["cupy"], names["x"]
    with cupy.cuda.Device(1):
        y = cupy.zeros(3)
        for compute in (lambda: x + 1, lambda: x.sum(), lambda: cupy.exp(x), lambda: x.__setitem__(0, 1.0)):
            with pytest.raises(ValueError, match=r"array resides \(0\) is different from the current device \(1\)"):
                compute()
        assert y.device.id == (y + 1).device.id == cupy.asarray(x).device.id == 1
        assert x.device.id == x[0].device.id == x.reshape(-1).device.id == 0
    with pytest.raises(ValueError, match=r"array resides \(1\) is different from the current device \(0\)"):
        cupy.concatenate([x, y])
