"""A few-shot image-classification benchmark: it decides what to run, runs it and remembers it.

From Python: `plan` and `run` train and test, `tune` chooses rules of fitting, `results`, `episodes` and `curves` read
what is stored as pandas tables. README.md shows them; each is imported when it is first used.

Start reading at `running/runner.py`, where a model is trained and tested: `Method.step` is the next hop, and the
science. `running/recording.py` is where a run's plan, its work and the database meet. ARCHITECTURE.md has the map.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewshot_bench.methods.contract import check_method
    from fewshot_bench.methods.registry import register
    from fewshot_bench.replay.model import load
    from fewshot_bench.results.frames import curves, episodes, results
    from fewshot_bench.running.library import plan, run, tune

__version__ = "0.2.0"
__all__ = ["check_method", "curves", "episodes", "load", "plan", "register", "results", "run", "tune"]

# public name -> the module that has it; each stands above once more, for type checkers and editors
_HOMES = {
    "check_method": "methods.contract",
    "plan": "running.library",
    "run": "running.library",
    "tune": "running.library",
    "results": "results.frames",
    "episodes": "results.frames",
    "curves": "results.frames",
    "load": "replay.model",
    "register": "methods.registry",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
