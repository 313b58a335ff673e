"""What a method's class is asked before anything runs: another package may have made it, and it may answer anything."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.episodes import BANK_VERSION
from fewshot_bench.methods.interface import CORE_VERSION, Method
from fewshot_bench.methods.registry import whose
from fewshot_bench.methods.returned import wrong_training_setting, wrong_versions
from fewshot_bench.methods.strangers import contained, in_one_line


class UnusableVariant(UsageError):
    """A variant whose package is broken; the others are not."""


class NotInstalled(UsageError):
    """A variant whose method is of no package that is installed here, or is misspelled."""


@contextmanager
def asking(where: str, method: str) -> Iterator[None]:
    """Raise UnusableVariant, naming the method's package, where what it is asked inside is an error."""
    try:
        with contained():
            yield
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001  # a package of strangers may raise anything
        raise UnusableVariant(f"{where}: {whose(method)} raises {in_one_line(error)}") from None


def versions_of(method: type[Method]) -> tuple[int, ...]:
    """What an identity carries: those of the method, of the shared core and of the bank."""
    versions = method.versions()
    if wrong := wrong_versions(versions):
        raise TypeError(wrong)
    return (*versions, CORE_VERSION, BANK_VERSION)


def training_setting_of(method: type[Method], settings: Any, wanted: tuple[int, int]) -> tuple[int, int]:
    """The (n_way, n_shot) that it trains on where the protocol says `wanted`."""
    sizes = method.training_setting(settings, *wanted)
    if wrong := wrong_training_setting(sizes):
        raise TypeError(wrong)
    n_way, n_shot = sizes
    return n_way, n_shot
