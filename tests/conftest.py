import numpy
import pytest

from tinygen.backend import to_device


@pytest.fixture(scope="session", params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> str:
    """Each device in turn; what is missing for one of them is the reason why its tests are skipped."""
    try:
        to_device(numpy.zeros(1), request.param)
    except RuntimeError as reason:
        pytest.skip(str(reason))
    return request.param


def pytest_report_header() -> str:
    return "tinygen: in a fresh clone the first tests wait for the kernels to be compiled, once, for about a minute"
