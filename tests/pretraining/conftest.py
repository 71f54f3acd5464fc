"""What tests of whole training runs have in common."""

import pytest

from tests.pretraining import small_runs


@pytest.fixture(scope="module")
def quick_runs():
    """Quick validations and frequent reports, for all tests of a module."""
    with small_runs.quick():
        yield
