"""Name -> method. A new method is one file and one line here; one in another package needs no line here.

Such a package declares an entry point in the group `fewshot_bench.methods` whose name is the method's and
whose object is its class. `register` is for a script or a notebook.
"""

import dataclasses
import hashlib
import sys
import typing
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any, Literal

from fewshot_bench.methods.anil import Anil
from fewshot_bench.methods.interface import Method
from fewshot_bench.methods.maml import Maml
from fewshot_bench.methods.meta_baseline import MetaBaseline
from fewshot_bench.methods.meta_transfer import MamlMetaTransfer, ReptileMetaTransfer
from fewshot_bench.methods.names import declared, packaged_variants
from fewshot_bench.methods.protomaml import ProtoMaml
from fewshot_bench.methods.protonet import ProtoNet
from fewshot_bench.methods.r2d2 import R2D2
from fewshot_bench.methods.reptile import Reptile
from fewshot_bench.methods.sequential import PretrainedMaml, PretrainedReptile
from fewshot_bench.methods.strangers import contained, in_one_line
from fewshot_bench.methods.transfer import Transfer

METHODS: dict[str, type[Method]] = {
    "transfer": Transfer,
    "protonet": ProtoNet,
    "maml": Maml,
    "reptile": Reptile,
    "maml-mtl": MamlMetaTransfer,
    "reptile-mtl": ReptileMetaTransfer,
    "anil": Anil,
    "protomaml": ProtoMaml,
    "r2d2": R2D2,
    "meta-baseline": MetaBaseline,
    "pretrained-maml": PretrainedMaml,
    "pretrained-reptile": PretrainedReptile,
}
_registered: dict[str, type[Method]] = {}  # in this process, by `register`


class UnusableMethod(Exception):
    """A name stands for no method that can be used; one line that says whose it is and why."""


def method_names() -> list[str]:
    """The built-in methods, then those of other installed packages, usable or not, then those of `register`."""
    return list(dict.fromkeys([*METHODS, *sorted(declared()), *_registered]))


def find_method(name: str) -> type[Method]:
    """The class of a known name; a built-in one cannot be taken by another package.

    Raises UnusableMethod for one that is unknown, declared by two packages, not importable, or no method.
    """
    if name in METHODS or name in _registered:
        return METHODS.get(name) or _registered[name]
    entries = declared().get(name, [])
    if not entries:
        raise UnusableMethod(f"there is no method {name!r}; known: {', '.join(method_names())}")
    if len(entries) > 1:
        both = " and by ".join(map(_in_words, entries))
        raise UnusableMethod(f"the method {name!r} is declared by {both}: uninstall one of them")
    try:
        with contained():
            found = entries[0].load()
            problem = _problem(found)
    except Exception as error:  # noqa: BLE001  # a module of strangers may raise anything
        raise UnusableMethod(f"{_in_words(entries[0])} cannot be imported: {in_one_line(error)}") from None
    if problem:
        raise UnusableMethod(f"{_in_words(entries[0])} is no method: {problem}")
    return found  # type: ignore[no-any-return]


def register(name: str, method: type[Method]) -> None:
    """Name a method for `plan`, `run` and all the others in this process; a name may be given again.

    Worker processes import its class by its module: with a class defined in a script or notebook itself, `run` needs
    jobs=1.

    Raises:
        UnusableMethod: for what is no method, or a name that is taken or none
    """
    if not isinstance(name, str) or not name.strip():
        raise UnusableMethod(f"the name {name!r:.60} is no text: a method is chosen by it")
    if name in METHODS or name in declared() or name in packaged_variants():  # whose name would mean the variant
        raise UnusableMethod(f"the name {name!r} is taken: choose another")
    if problem := _problem(method):
        raise UnusableMethod(f"{name!r} is no method: {problem}")
    _registered[name] = method


def registered() -> dict[str, type[Method]]:
    """What `register` named in this process."""
    return dict(_registered)


def ignored() -> list[str]:
    """The entry points that do not count because a built-in method has their name, in words."""
    taken = [entry for name, entries in declared().items() if name in METHODS for entry in entries]
    return [f"{_in_words(entry)} is ignored: a built-in method has that name" for entry in taken]


def origins(names: Iterable[str]) -> dict[str, str]:
    """Of each method that is not built in, package, version and file, with the file's SHA-256, in words."""
    return {name: _origin(name) for name in dict.fromkeys(names) if name not in METHODS}


def whose(name: str) -> str:
    """Who brought a method, in words."""
    entries = [] if name in METHODS or name in _registered else declared().get(name, [])
    return _in_words(entries[0]) if entries else f"the class {find_method(name).__qualname__}"


def importable(method: type[Method]) -> bool:
    """Whether another process finds the class by its module: not one of a script or notebook, or made in a function."""

    def found(cls: type) -> bool:
        return cls.__module__ != "__main__" and getattr(sys.modules[cls.__module__], cls.__qualname__, None) is cls

    return found(method) and found(method.Settings)


def _origin(name: str) -> str:
    method = find_method(name)
    package = "registered by" if name in _registered else _package(declared()[name][0])
    return f"{package} {method.__module__}:{method.__qualname__}, {_code(sys.modules.get(method.__module__))}"


def _code(module: Any) -> str:
    """A module's file by name and content, wherever its loader has it: a zip, too."""
    try:
        content = module.__loader__.get_data(module.__file__)
    except (AttributeError, TypeError, OSError):
        return "no file"
    return f"{Path(module.__file__).name} SHA-256 {hashlib.sha256(content).hexdigest()}"


def _problem(found: Any) -> str:
    """Why an object is no method; "" for one."""
    if not isinstance(found, type) or not issubclass(found, Method):
        what = f"the class {found.__name__}" if isinstance(found, type) else f"a {type(found).__name__}"
        return f"{what} is no subclass of fewshot_bench.methods.interface.Method"
    if missing := sorted(getattr(found, "__abstractmethods__", ())):
        return f"{found.__name__} has no {' and no '.join(missing)}"
    settings = getattr(found, "Settings", None)
    if not (isinstance(settings, type) and dataclasses.is_dataclass(settings)):
        return f"{found.__name__}.Settings is no dataclass"
    if not settings.__dataclass_params__.frozen:  # type: ignore[attr-defined]
        return f"{found.__name__}.Settings is not frozen: @dataclass(frozen=True)"
    try:
        hints = typing.get_type_hints(settings)
    except Exception as error:  # noqa: BLE001  # annotations are a stranger's code, too
        return f"the types of {found.__name__}.Settings cannot be read: {in_one_line(error)}"
    if odd := next((f.name for f in dataclasses.fields(settings) if not _sayable(hints[f.name])), None):
        return (
            f"{found.__name__}.Settings.{odd} is of a type that no table or stored result gives back: have int, float, "
            "str, bool, Path, Literal, a tuple or dict of such, or one of these or None"
        )
    if type(getattr(found, "version", None)) is not int:
        return f"{found.__name__}.version is no whole number"
    if not isinstance(found.trials, tuple | list) or not all(isinstance(trial, Mapping) for trial in found.trials):
        return f"{found.__name__}.trials are no tuple of settings"
    if not found.trials:
        return f"{found.__name__}.trials are none: nothing would be checked; {{}} is the defaults"
    return ""


def _sayable(hint: Any) -> bool:
    """Whether `settings.build` makes a value of that type."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if type(None) in arguments:
        return len(arguments) == 2 and all(_sayable(one) for one in arguments if one is not type(None))
    if origin in (tuple, dict):
        return bool(arguments) and _sayable(arguments[0 if origin is tuple else 1])
    return origin is Literal or any(hint is known for known in (int, float, str, bool, Path, Any))


def _in_words(entry: EntryPoint) -> str:
    return f"the entry point '{entry.name} = {entry.value}' of {_package(entry)}"


def _package(entry: EntryPoint) -> str:
    return f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an unknown package"
