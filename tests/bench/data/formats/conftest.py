"""Formats are tested in this process; the guard around them is tested once: readers/test_guarded.py."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from fewshot_bench.data import find_source
from fewshot_bench.data.image_arrays import ImageArrays
from fewshot_bench.data.readers import guarded
from fewshot_bench.errors import DataError


@pytest.fixture(autouse=True)
def _in_this_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "guard" not in request.fixturenames:
        monkeypatch.setattr(guarded, "read", lambda source, *into: source.fill(*into))


@pytest.fixture
def guard(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that reads under the guard after all, with little patience."""
    monkeypatch.setattr(guarded, "CPU_SECONDS", 5)


class Forgetful:
    """Takes images and forgets them."""

    def put(self, _index: int, pixels: NDArray[np.uint8]) -> None:
        """Look at an image."""
        assert pixels.dtype == np.uint8


@pytest.fixture(scope="session")
def outcome() -> Callable[[Path], str]:
    """Reads a data set in this process, and says whether it was read, or refused in one line that names it."""

    def read(folder: Path) -> str:
        try:
            source = find_source(str(folder))
            assert isinstance(source, ImageArrays)
            source.fill(Forgetful(), 4, lambda *_: None)
            return "read"
        except DataError as error:
            message = str(error)
        # of several broken images all are told
        assert re.match(rf"(\d+ images cannot be used: )?{re.escape(str(folder))}", message)
        assert message.isprintable()
        return "refused"

    return read
