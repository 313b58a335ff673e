"""Remembering what a run made: the database, its exchange with others, and what is read from it.

`fewshot_bench.results` is this package and, of the public interface, the function `results`: calling the one is calling
the other.
"""

import sys
from types import ModuleType
from typing import Any


class _Callable(ModuleType):
    def __call__(self, *words: Any, **which: Any) -> Any:
        from fewshot_bench.results.frames import results

        return results(*words, **which)


sys.modules[__name__].__class__ = _Callable
