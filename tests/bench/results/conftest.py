"""A results database as an earlier version made it."""

import pytest

from benchmarks.soak import older


@pytest.fixture
def make_old():
    return older.make_old
