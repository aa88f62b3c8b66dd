"""Tests of the tests in this folder: each of the bugs planted in the GPU's kernels is caught.

`planted.py` runs them.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from repository import ROOT

pytestmark = pytest.mark.gpu

KERNELS = ROOT / "kernels" / "tinygen_kernels" / "cuda"
AWKWARD = "test_cuda_conv.py::test_awkward_cases"
UNREAD = "test_cuda_conv.py::test_pixels_that_no_window_meets_may_be_infinite"
OTHER_PHASE = "test_cuda_conv.py::test_the_taps_of_another_phase_may_be_infinite"
ELEMENTWISE, POOL, NORM = "test_cuda_elementwise.py", "test_cuda_pool.py", "test_cuda_norm.py"
TOGETHER = f"{ELEMENTWISE}::test_adam_moves_many_arrays_as_it_moves_one"
STACKED = "test_cuda_conv.py::test_products_of_stacked_matrices"
MANY_ROWS = f"{NORM}::test_sums_of_many_rows"
DEVIATION = f"{NORM}::test_the_deviation_in_a_batch_is_that_of_the_reference"
ENTROPY = f"{ELEMENTWISE}::test_sigmoid_softplus_and_cross_entropy"
BLEND = f"{ELEMENTWISE}::test_blend"
TENSOR = "test_tensor_cores.py"
IN_TF32 = f"{TENSOR}::test_the_tiles_of_a_real_gpu[SMALL-shape0]"

# The file in tinygen_kernels/cuda, its correct code, the bug, and the test that finds it.
MUTATIONS = [
    ("tile.py", "                cuda.syncthreads()\n        if g.pieces > 1", "        if g.pieces > 1", f"{AWKWARD}[plain]"),
    ("tile.py", "odd = uint32(odd ^ uint32(1))", "odd = uint32(odd)", f"{AWKWARD}[plain]"),
    ("tile.py", "int64(b_begin + odd * b_slab + column)", "int64(b_begin + column)", f"{AWKWARD}[plain]"),
    ("tile.py", "if uint32(m) < uint32(g.m) else int32(-1)", "if uint32(m) <= uint32(g.m) else int32(-1)", f"{AWKWARD}[holes]"),
    ("tile.py", "if n + l < g.n:", "if n < g.n:", f"{AWKWARD}[plain]"),
    ("tile.py", "k1 = int32(min(g.k, k0 + g.piece))", "k1 = int32(g.k)", f"{AWKWARD}[pieces]"),
    ("operands.py", "state[LEFT] > 0 and state[COLUMNS]", "state[COLUMNS]", OTHER_PHASE),
    ("operands.py", "state[COLUMNS] > p * step", "True", f"{AWKWARD}[wide]"),
    ("operands.py", "row = row if state[LEFT] > 0 else int32(NOWHERE)", "row = row", UNREAD),
    ("operands.py", "row if uint32(first + m + p * step) < uint32(g.m) else", "row if True else", f"{AWKWARD}[plain]"),
    ("operands.py", "source_row < uint32(g.rows.size) and", "", f"{AWKWARD}[plain]"),
    ("operands.py", "and source_column < uint32(g.columns.size)", "", f"{AWKWARD}[plain]"),
    ("operands.py", "while state[LOW] >= low", "if state[LOW] >= low", f"{AWKWARD}[plain]"),
    ("operands.py", "if state[MIDDLE] == middle:", "if state[MIDDLE] > middle:", f"{AWKWARD}[plain]"),
    ("operands.py", "right % uint32(g.columns.apart)", "right", f"{AWKWARD}[far]"),
    ("operands.py", "if row < g.rows.output and column", "if column", f"{AWKWARD}[even]"),
    ("operands.py", "place if row < g.rows.output and column < g.columns.output", "place if row < g.rows.output", f"{AWKWARD}[even]"),
    ("operands.py", "int32(own_phase(g) * g.k) + k0", "int32(own_phase(g) * g.k)", f"{AWKWARD}[phases in pieces]"),
    ("operands.py", "uint32(uint32(cuda.blockIdx.x) // uint32(g.pieces))", "uint32(cuda.blockIdx.x)", f"{AWKWARD}[phases in pieces]"),
    ("operands.py", "(image + own_image) * g.rows.output", "image * g.rows.output", STACKED),
    ("operands.py", "int32(number * g.stacked)", "int32(0)", STACKED),
    ("conv.py", "< prod(stride)", "< 0", f"{AWKWARD}[holes]"),
    ("products.py", "-(-before // stride), output", "before // stride, output", f"{AWKWARD}[lopsided]"),
    ("products.py", "first * dilation + -before % stride", "first * dilation", f"{AWKWARD}[uneven]"),
    ("products.py", "-(step * dilation // stride)", "-step", f"{AWKWARD}[far]"),
    ("products.py", "stride // gcd(stride, dilation)", "stride", f"{AWKWARD}[common]"),
    ("tile.py", "range(pieces)", "range(pieces - 1)", f"{AWKWARD}[pieces]"),
    ("tile.py", "        sums[:] = 0\n        for piece", "        for piece", f"{AWKWARD}[pieces]"),
    ("tile.py", "uint32(cuda.blockIdx.x - own_piece(g))", "uint32(0)", f"{AWKWARD}[phases in pieces]"),
    ("tile.py", "uint32(uint32(cuda.blockIdx.x) // uint32(g.pieces))", "uint32(cuda.blockIdx.x)", f"{AWKWARD}[phases in pieces]"),
    ("tile.py", "block * uint32(size)", "block * uint32(threads)", f"{AWKWARD}[pieces]"),
    ("products.py", "if pieces > 1 else 0", "// 2", f"{AWKWARD}[pieces]"),
    ("last_block.py", "most = uint32(blocks - 1)", "most = uint32(blocks)", f"{AWKWARD}[pieces]"),
    ("last_block.py", "== most", "== uint32(0)", f"{AWKWARD}[pieces]"),
    ("last_block.py", "return last[0] != 0", "return last[0] == 0", f"{AWKWARD}[pieces]"),
    ("conv.py", "_of_no_products(bias, negative_slope)  #", "0  #", f"{AWKWARD}[holes]"),
    ("tile.py", "if n < uint32(bias.size) else", "if n <= uint32(bias.size) else", f"{AWKWARD}[plain]"),
    ("tile.py", "j // 4 * columns_apart + j % 4)", "j)", "test_cuda_conv.py::test_the_tiles_of_a_real_gpu[LARGE-c4]"),
    ("tile.py", "leaky(value, value, slope)", "value", f"{AWKWARD}[plain]"),
    ("products.py", "-padding[i][0], output[i])", "-padding[0][0], output[i])", f"{AWKWARD}[lopsided]"),
    ("tensor_cores.py", "out[i] = to_tf32(out[i])", "pass", IN_TF32),
    ("tensor_cores.py", "int32(lane // 4), int32(lane % 4)", "int32(lane % 8), int32(lane // 8)", IN_TF32),
    ("tensor_cores.py", "a + half * (4", "a + (1 - half) * (4", IN_TF32),
    ("tensor_cores.py", "of_a[0, i], of_a[0, i + 1]", "of_a[0, i + 1], of_a[0, i]", IN_TF32),
    ("tensor_cores.py", "_offset(group) - _offset(2 * member)", "_offset(group) - _offset(member)", IN_TF32),
    ("tensor_cores.py", "n % 4 * 8 + n // 4 * 4", "n * 4", IN_TF32),
    ("tensor_cores.py", "warp % down * 32", "0", IN_TF32),
    ("tensor_cores.py", "warp // down * 32", "warp * 32", IN_TF32),
    ("tile.py", "8 if self.tensor_cores else 4", "4", IN_TF32),
    ("conv.py", "if not (abs(c.get()", "if False and (abs(c.get()", f"{TENSOR}::test_tensor_cores_with_another_layout_are_refused"),
    ("launch.py", "if {i} < _result.size", "if {i} <= _result.size", f"{ELEMENTWISE}::test_leaky_relu_and_its_gradient"),
    ("elementwise.py", "not sign <= 0", "not sign < 0", f"{ELEMENTWISE}::test_leaky_relu_and_its_gradient"),
    ("elementwise.py", "uint32(i // uint32(2))", "uint32(i)", f"{ELEMENTWISE}::test_dropout_is_the_reference_bit_for_bit"),
    ("elementwise.py", "right if i % uint32(2) else left", "left", f"{ELEMENTWISE}::test_dropout_is_the_reference_bit_for_bit"),
    ("elementwise.py", "< threshold else", "<= threshold else", f"{ELEMENTWISE}::test_an_element_stays_whose_word_is_not_below_the_rate"),
    ("elementwise.py", "uint32(first + i)", "i", f"{ELEMENTWISE}::test_dropout_of_a_part_is_that_part_of_all"),
    ("elementwise.py", "seed[0] >> uint64(32)", "seed[0] >> uint64(31)", f"{ELEMENTWISE}::test_dropout_is_the_reference_bit_for_bit"),
    ("elementwise.py", "constants[0] * p[i]", "p[i]", f"{ELEMENTWISE}::test_adam"),
    ("elementwise.py", "uint32(cuda.gridDim.x) * uint32(cuda.blockDim.x)", "uint32(cuda.blockDim.x)", TOGETHER),
    ("elementwise.py", "moved[first : first + _TOGETHER]", "moved[:_TOGETHER]", TOGETHER),
    ("elementwise.py", "- y[i] * y[i]", "- y[i]", f"{ELEMENTWISE}::test_the_gradient_of_tanh"),
    ("elementwise.py", "(one if z[i] >= 0 else e)", "one", ENTROPY),
    ("elementwise.py", "max(z, zero)", "z", ENTROPY),
    ("elementwise.py", "math.log1p(math.exp(-abs(z)))", "math.exp(-abs(z))", ENTROPY),
    ("elementwise.py", "- z[i] * _at(targets, target, i)", "- z[i] * target", ENTROPY),
    ("elementwise.py", "- _at(targets, target, i))", "- target)", ENTROPY),
    ("elementwise.py", "_at(all_g, g, i)", "all_g[0]", ENTROPY),
    ("elementwise.py", "uint32(i % uint32(array.size))", "i", ENTROPY),
    ("elementwise.py", "value.size == 1", "True", ENTROPY),
    ("elementwise.py", "kept, 0) * a[i]", "kept, 0)", BLEND),
    ("elementwise.py", "_operand(shares[1], like)", "_operand(shares[0], like)", BLEND),
    ("elementwise.py", "+ constants[6]", "+ constants[4]", f"{ELEMENTWISE}::test_adam"),
    ("elementwise.py", "if elements[i] is not arrays[i]", "if False", f"{ELEMENTWISE}::test_adam_moves_arrays_of_any_layout"),
    ("pool.py", "int32(max(start, int32(0)))", "start", f"{POOL}::test_the_maximum_and_its_place"),
    ("pool.py", "int32(min(start + axis.taps, axis.size))", "int32(start + axis.taps)", f"{POOL}::test_the_maximum_and_its_place"),
    ("pool.py", "value > best or", "value >= best or", f"{POOL}::test_the_maximum_and_its_place"),
    ("pool.py", " or (value != value and best == best)", "", f"{POOL}::test_the_maximum_and_its_place"),
    ("pool.py", "dtype.type(-math.inf)", "dtype.type(0)", f"{POOL}::test_the_maximum_and_its_place"),
    ("pool.py", "(image * pixels + indices[i])", "indices[i]", f"{POOL}::test_the_reference_is_met"),
    ("pool.py", "padded - axis.taps + axis.stride", "padded - axis.taps", f"{POOL}::test_the_reference_is_met"),
    ("pool.py", "uint32(padded) // uint32(axis.stride) + uint32(1)", "uint32(axis.grid)", f"{POOL}::test_the_reference_is_met"),
    ("pool.py", "if indices[window] == own_index", "if True", f"{POOL}::test_the_reference_is_met"),
    ("pool.py", " - uint32(image * s.rows.size * s.columns.size)", "", f"{POOL}::test_the_reference_is_met"),
    ("pool.py", "int32((bottom - top) * (right - left))", "int32(s.rows.taps * s.columns.taps)", f"{POOL}::test_the_reference_is_met"),
    ("pool.py", "_windows(own_column, s.columns)", "_windows(own_column, s.rows)", f"{POOL}::test_the_reference_is_met"),
    ("norm.py", "int32(min(start + own, rows))", "int32(start + own)", f"{NORM}::test_column_sums"),
    ("norm.py", "int32(block * own)", "int32(0)", f"{NORM}::test_column_sums"),
    ("norm.py", "if c < uint32(channels):", "if True:", f"{NORM}::test_column_sums"),
    ("norm.py", " and c < uint32(channels)\n", "\n", f"{NORM}::test_column_sums"),
    ("norm.py", "            cuda.syncthreads()\n", "", f"{NORM}::test_column_sums"),
    ("norm.py", "while half >= uint32(_WIDTH)", "while half > uint32(_WIDTH)", f"{NORM}::test_column_sums"),
    ("norm.py", "        if blocks > 1:", "        if False:", MANY_ROWS),
    ("norm.py", "int32(min(run + _DEPTH * _RUN, end))", "int32(end)", MANY_ROWS),
    ("norm.py", " first += of_run", " first = of_run", MANY_ROWS),
    ("norm.py", "int32(2 * channels)", "int32(channels)", MANY_ROWS),
    ("norm.py", "is_last(counters, group, blocks)", "is_last(counters, uint32(0), blocks)", MANY_ROWS),
    ("norm.py", "rough_mean[c] + shift", "rough_mean[c]", f"{NORM}::test_rows_that_are_not_like_the_others"),
    ("norm.py", "second / count - shift * shift", "second / count", f"{NORM}::test_rows_that_are_not_like_the_others"),
    ("norm.py", "variance, math.sqrt(variance + eps)", "variance, math.sqrt(variance)", DEVIATION),
    ("norm.py", "== uint32(channels):", "== uint32(0):", DEVIATION),
    ("norm.py", "i // uint32(own) % uint32(last.size)", "0", DEVIATION),
    ("norm.py", "uint32(i + i // uint32(channels))", "i", DEVIATION),
    ("norm.py", "// features)] / size", "// features)]", DEVIATION),
    ("norm.py", "uint32(feature // features)", "0", DEVIATION),
    ("norm.py", "uint32(i % uint32(mean.size))", "uint32(i % uint32(channels))", DEVIATION),
    ("norm.py", "-scale / deviation * g_gamma", "-scale * g_gamma", f"{NORM}::test_the_reference_is_met"),
    ("norm.py", "leaky(g[i], y[i], slope)", "g[i]", f"{NORM}::test_the_reference_is_met"),
    ("norm.py", "leaky(z, z, slope)", "z", f"{NORM}::test_the_reference_is_met"),
]


Mutation = tuple[str, str, str, str]


def with_bug(mutation: Mutation, folder: Path) -> Path:
    """A copy of the kernels with the bug in it."""
    file, old, new, _ = mutation
    copy = shutil.copytree(KERNELS, folder / "cuda", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / file).write_text((copy / file).read_text().replace(old, new))
    return folder


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest, cuda_kernels: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[Mutation, Any]:
    """The exit code and the output of the test of each of the selected bugs."""
    items: list[Any] = [item for item in request.session.items if "mutation" in getattr(getattr(item, "callspec", None), "params", {})]
    asked = [item.callspec.params["mutation"] for item in items]
    jobs = [(str(with_bug(mutation, tmp_path_factory.mktemp("kernels"))), mutation[-1]) for mutation in asked]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT / "kernels"), str(ROOT)])}
    command = [sys.executable, str(Path(__file__).with_name("planted.py"))]
    process = subprocess.run(command, cwd=ROOT, env=environment, input=json.dumps(jobs), capture_output=True, text=True)
    assert process.returncode == 0, process.stderr[-2000:]
    return dict(zip(asked, json.loads(process.stdout), strict=True))


@pytest.mark.parametrize("mutation", MUTATIONS, ids=[f"{file}: {old.strip()}" for file, old, *_ in MUTATIONS])
def test_planted_bugs_are_caught(mutation: Mutation, outcomes: dict[Mutation, Any]) -> None:
    file, old, *_ = mutation
    assert old in (KERNELS / file).read_text(), f"{file} has changed; plant the bug elsewhere"
    code, output = outcomes[mutation]
    # Exit code 1: a test ran and failed. Errors of the simulator, such as an index out of bounds,
    # are failures too.
    assert code == pytest.ExitCode.TESTS_FAILED, output
