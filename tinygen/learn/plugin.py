"""A plugin of pytest that runs tinygen's tests on a learner's code: `pytest -p tinygen.learn.plugin`, with TINYGEN_WITH=FILE."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tinygen.training.own_code import own_code


@pytest.fixture(scope="session", autouse=True)
def learners_code() -> Iterator[None]:
    """The learner's functions in the place of tinygen's."""
    with own_code([Path(os.environ["TINYGEN_WITH"])]):
        yield
