"""Products by tensor cores are products of numbers rounded to TF32, and a GPU whose tensor cores do anything else does without them."""

import re
import types
import warnings
from collections.abc import Iterator
from typing import Any

import numpy
import pytest
from child_process import child
from device_arrays import on_device
from kernel_shapes import error
from test_cuda_conv import CASES, TOLERANCE, check
from tinygen_kernels import reference

from tinygen.backend import allow_tf32

pytestmark = pytest.mark.gpu

REFUSED = "products stay in float32, though TF32 is allowed"


@pytest.fixture
def tf32(conv: types.ModuleType) -> Iterator[types.ModuleType]:
    """`conv`, where TF32 is allowed."""
    allow_tf32(True)
    yield conv
    allow_tf32(False)


@pytest.fixture
def new_gpu(tf32: Any) -> Iterator[None]:
    """A GPU whose tensor cores have not been checked yet."""
    tf32._has_tf32.cache_clear()
    yield
    tf32._has_tf32.cache_clear()


def rounded(x: Any) -> Any:
    """x with 11 bits, the leading one included, the even halves away from zero."""
    mantissa, exponent = numpy.frexp(x.astype(numpy.float64))
    return numpy.ldexp(numpy.trunc(numpy.ldexp(mantissa, 11) + numpy.copysign(0.5, mantissa)), exponent - 11)


def matrices(m: int, k: int, n: int) -> tuple[Any, Any]:
    random = numpy.random.default_rng(0)
    return random.standard_normal((m, k)).astype("f"), random.standard_normal((k, n)).astype("f")


@pytest.mark.parametrize("case", ["plain", "wide", "pieces", "phases in pieces", "holes"])
def test_awkward_cases(tf32: Any, case: str) -> None:
    check(tf32, CASES[case], numpy.float32, 0, with_bias=True, slope=0.2, factor=rounded)


@pytest.mark.parametrize(("name", "shape"), [("SMALL", (50, 9, 60)), ("LARGE", (100, 9, 120))])
def test_the_tiles_of_a_real_gpu(tf32: Any, monkeypatch: pytest.MonkeyPatch, name: str, shape: tuple[int, int, int]) -> None:
    from tinygen_kernels.cuda import products, tensor_cores

    monkeypatch.setattr(products, "choose", lambda *_: getattr(tensor_cores, name))
    a, b = matrices(*shape)
    assert error(tf32.pointwise(on_device(a), on_device(b)).get(), rounded(a) @ rounded(b), shape[1]) < TOLERANCE[numpy.float32]


def test_products_of_stacked_matrices(tf32: Any) -> None:
    a, b = (numpy.stack([x, x[::-1]]) for x in matrices(33, 9, 5))
    y = tf32.pointwise(on_device(a), on_device(b))
    assert error(y.get(), reference.matmul(rounded(a), rounded(b)), 9) < TOLERANCE[numpy.float32]


def test_numbers_halfway_between_two_are_rounded_away_from_zero(tf32: Any) -> None:
    ulp = 2.0**-10
    a = numpy.array([[1 + ulp / 2], [-1 - ulp / 2], [1 + ulp / 2 - 2.0**-23], [1 + 3 * ulp / 2], [numpy.inf], [0]], numpy.float32)
    y = tf32.pointwise(on_device(a), on_device(numpy.ones((1, 1), numpy.float32)))
    assert y.get()[:, 0].tolist() == [1 + ulp, -1 - ulp, 1, 1 + 2 * ulp, numpy.inf, 0]


def test_only_float32_and_only_where_it_is_allowed(tf32: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    a, b = matrices(5, 7, 3)
    in_tf32 = tf32.pointwise(on_device(a), on_device(b)).get()
    double = tf32.pointwise(on_device(a.astype(float)), on_device(b.astype(float))).get()
    allow_tf32(False)
    single = tf32.pointwise(on_device(a), on_device(b)).get()
    exact = a.astype(float) @ b
    assert error(double, exact) < TOLERANCE[numpy.float64]
    assert error(single, exact) < TOLERANCE[numpy.float32] < 1e-4 < error(in_tf32, exact) < 2e-3


@pytest.mark.usefixtures("new_gpu")
def test_tensor_cores_are_checked_once_and_then_nothing_waits(tf32: Any, waits: list[str]) -> None:
    """A CUDA graph can record the products, once one of them has been computed."""
    a, b = map(on_device, matrices(3, 2, 4))
    tf32.pointwise(a, b)
    assert waits
    waits.clear()
    tf32.pointwise(a, b)
    assert not waits


def in_float32_with_a_warning(conv: Any, reason: str) -> None:
    a, b = map(on_device, matrices(5, 7, 3))
    with pytest.warns(RuntimeWarning, match=f"^GPU 0 {reason}: {REFUSED}$"):
        first = conv.pointwise(a, b).get()
    with warnings.catch_warnings(action="error"):
        second = conv.pointwise(a, b).get()
    allow_tf32(False)
    assert (first == conv.pointwise(a, b).get()).all() and (second == first).all()


@pytest.mark.usefixtures("new_gpu")
def test_an_older_gpu_has_no_tensor_cores_for_tf32(tf32: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf32, "compute_capability", lambda: (7, 5))
    in_float32_with_a_warning(tf32, "has no tensor cores for TF32, which need compute capability 8.0")


LAYOUTS = {
    "rows of A": lambda mma, c, a, b: mma(c, (a[1], a[0], a[3], a[2]), b),
    "halves of B": lambda mma, c, a, b: mma(c, a, (b[1], b[0])),
    "columns of C": lambda mma, c, a, b: [mma(c, a, b)[i] for i in (1, 0, 3, 2)],
}


@pytest.mark.usefixtures("new_gpu")
@pytest.mark.parametrize("swapped", LAYOUTS)
def test_tensor_cores_with_another_layout_are_refused(tf32: Any, monkeypatch: pytest.MonkeyPatch, swapped: str) -> None:
    from tinygen_kernels.cuda import tensor_cores

    if not tensor_cores.SIMULATED:
        pytest.skip("a GPU's kernels are compiled with the layout that it has")
    right = tensor_cores.mma
    monkeypatch.setattr(tensor_cores, "mma", lambda c, a, b: LAYOUTS[swapped](right, c, a, b))
    in_float32_with_a_warning(tf32, "does not multiply by its tensor cores as PTX documents it")


PTX = """
from numba import uint32
from numba import types
from tinygen_kernels.cuda import compiler
from tinygen_kernels.cuda.tensor_cores import mma, to_tf32

def kernel(x, y):
    a, b = (to_tf32(x[0]), to_tf32(x[1]), to_tf32(x[2]), to_tf32(x[3])), (to_tf32(x[4]), to_tf32(x[5]))
    y[0], y[1], y[2], y[3] = mma((x[6], x[7], x[8], x[9]), a, b)

print(compiler.ptx(kernel, 2 * (types.float32[::1],), (8, 0)))
"""


@pytest.mark.usefixtures("cuda_kernels")
def test_registers_of_the_instruction_are_the_fragments_in_order() -> None:
    """What the simulator cannot tell, as its `mma` is Python."""
    ptx = child(["-c", PTX]).stdout

    def places(operation: str, register: int, address: int) -> dict[str, int]:
        found = re.findall(rf"{operation}\.global\.(?:f|b)32\s+(\S+), (\S+);", ptx)
        return {each[register]: int((re.search(r"\+(\d+)\]", each[address]) or [0, 0])[1]) // 4 for each in found}

    loaded, stored = places("ld", 0, 1), places("st", 1, 0)
    moved = dict(re.findall(r"mov\.b32\s+(\S+), (%\w+);", ptx))
    converted = dict(re.findall(r"cvt\.rna\.tf32\.f32\s+(\S+), (%\w+);", ptx))

    def origin(register: str) -> tuple[int, bool]:
        """The index in x of what is in the register, and whether it was rounded."""
        was_rounded = False
        while register not in loaded:
            was_rounded |= register in converted
            register = (converted if register in converted else moved)[register]
        return loaded[register], was_rounded

    instruction = re.findall(r"mma\.sync\.aligned\.m16n8k8\.row\.col\.f32\.tf32\.tf32\.f32 ([^;]+);", ptx)
    assert len(instruction) == 1, ptx
    d, a, b, c = (group.split(",") for group in re.findall(r"\{([^}]+)\}", instruction[0].replace(" ", "")))
    assert [origin(register) for register in (*a, *b, *c)] == [(i, i < 6) for i in range(10)]
    assert [stored[register] for register in d] == [0, 1, 2, 3]
