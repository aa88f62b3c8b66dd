"""What plans take: bytes and numbers of plans."""

from collections.abc import Iterator

import numpy
import pytest
from tinygen_kernels import cpu
from tinygen_kernels.cpu import plan, weight

WINDOW = (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1)


@pytest.fixture(autouse=True)
def no_plans() -> Iterator[None]:
    plan._plans.clear()
    yield
    plan._plans.clear()


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("direction", ["forward", "data", "weight"])
def test_the_plan_of_a_large_image_takes_at_most_a_fiftieth_of_its_memory(direction: str, stride: int) -> None:
    window = (3, 3), (stride, stride), *WINDOW[2:]
    if direction == "weight":
        weight.weight_plan((1024, 1024), 16, 16, window, (0, 0))
    else:
        plan.gather_plan(1, (1024, 1024), 16, 16, 1, window, direction == "data")
    assert 0 < plan.kept_bytes() <= 1024 * 1024 * 16 * 4 // 50


def test_twice_as_high_an_image_has_no_more_kinds_of_ranges() -> None:
    tables = [plan.gather_plan(1, (height, 1024), 16, 16, 1, WINDOW, False)[0] for height in (512, 1024)]
    numpy.testing.assert_array_equal(*tables)


def test_products_of_any_number_of_rows_share_a_plan() -> None:
    w = numpy.ones((20, 16), numpy.float32)
    for rows in range(1, 50):
        a = numpy.ones((rows, 20), numpy.float32)
        assert (cpu.matmul(a, w) == 20).all()
        assert (cpu.conv2d(a.reshape(rows, 1, 1, 20), w[None, None], None, *WINDOW[1:2], ((0, 0), (0, 0)), (1, 1)) == 20).all()
        assert (cpu.conv2d_weight(a.reshape(rows, 1, 1, 20), a[:, None, None, :16], (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1)) == rows).all()
    assert len(plan._plans) == 1  # of the weight gradient; the outputs need none


def test_weight_gradients_of_any_batch_share_a_plan() -> None:
    x = numpy.ones((9, 5, 5, 12), numpy.float32)
    for images in (1, 4, 9):
        cpu.conv2d_weight(x[:images], x[:images], *WINDOW)
    assert len(plan._plans) == 1


def test_the_plans_used_last_are_kept_up_to_a_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(height: int) -> plan.Plan:
        return plan.gather_plan(1, (height, 8), 16, 16, 1, WINDOW, False)

    first, second = of(8), of(9)
    assert of(8) is first and of(9) is second
    of(8)  # so that the other one was used longest ago
    monkeypatch.setattr(plan, "_KEPT_BYTES", plan.kept_bytes() * 5 // 4)  # for two of the three
    of(10)
    assert plan.kept_bytes() <= plan._KEPT_BYTES
    assert of(8) is first
    assert of(9) is not second
