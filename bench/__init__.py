"""A few-shot image-classification benchmark: it decides what to run, runs it and remembers it.

Start reading at `runner.py`, where a model is trained and tested: `Method.step` is the next hop, and the science.
`cli/session.py` is where a run's plan, its work and the database meet. ARCHITECTURE.md has the map.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# public name -> the module that has it, imported when the name is first used; for type checkers and editors each name
# stands once more in an `if TYPE_CHECKING:` import above
_HOMES: dict[str, str] = {}

__all__ = ["__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
