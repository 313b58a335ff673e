"""The made-up results of tests/tables, for reports too."""

import runpy
from pathlib import Path

import pytest

_made = runpy.run_path(str(Path(__file__).parents[1] / "tables" / "conftest.py"))


@pytest.fixture(name="make_results", scope="session")
def _make_results():
    return _made["make_results"]


@pytest.fixture(scope="session")
def marked():
    return _made["make_marked"]()
