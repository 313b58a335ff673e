"""Formats are tested in this process; the guard around them is tested once: readers/test_guarded.py."""

import pytest

from fewshot_bench.data.readers import guarded


@pytest.fixture(autouse=True)
def _in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "guard" not in request.fixturenames:
        monkeypatch.setattr(guarded, "read", lambda source, *into: source.fill(*into))


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that reads under the guard after all, with little patience."""
    monkeypatch.setattr(guarded, "CPU_SECONDS", 5)
