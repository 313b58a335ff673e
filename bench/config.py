"""bench.toml -> frozen dataclasses. Unknown keys, wrong types and impossible values stop here, in one line.

The packaged bench.toml holds every key and its default; a file of the user's lies over it and may hold only
what it changes. Nothing below the command line sees a dict of it or a path to it.
"""

import dataclasses
import sys
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

from fewshot_bench.errors import UsageError, did_you_mean

Protocol = Literal["single", "matched"]
Device = Literal["auto", "cpu", "cuda"]
Numerics = Literal["float32", "tf32", "bfloat16"]
T = TypeVar("T")


def _at_least(minimum: int, at_most: int | None = None) -> Any:
    return field(metadata={"min": minimum} | ({"max": at_most} if at_most else {}))


@dataclass(frozen=True)
class RunConfig:
    """What `bench run` does when its options say nothing else."""

    grid: str
    budget: str
    protocol: Protocol
    device: Device
    recompute: bool
    out: str
    jobs: int = _at_least(0)
    threads: int = _at_least(1)


@dataclass(frozen=True)
class DataConfig:
    """Which images, and which of their classes are new."""

    source: str
    split: str
    image_size: int = _at_least(0)


@dataclass(frozen=True)
class EpisodesConfig:
    """The episode bank."""

    n_query: int
    bank_seed: int = _at_least(0)


@dataclass(frozen=True)
class ModelConfig:
    """The backbone; which ones there are is checked where they are known: grid.py."""

    backbone: str
    filters: int
    drop_block: float = field(metadata={"max": 0.9})
    numerics: Numerics


@dataclass(frozen=True)
class TrainingConfig:
    """The size of training episodes."""

    way: int = _at_least(2)
    shot: int = _at_least(1)
    query: int = _at_least(1)
    most_shots: int = _at_least(1)


@dataclass(frozen=True)
class AugmentationConfig:
    """How training images are changed; test episodes never are. 0 and false are off, as in the paper."""

    crop_padding: int = field(default=0, metadata={"min": 0})
    flip: bool = False
    jitter: float = field(default=0.0, metadata={"max": 1})

    def __str__(self) -> str:
        """In words; empty where all is off."""
        parts = {
            f"crops moved by up to {self.crop_padding} pixels": self.crop_padding,
            "horizontal flips": self.flip,
            f"colour jitter of {self.jitter:g}": self.jitter,
        }
        return ", ".join(words for words, on in parts.items() if on)


NO_AUGMENTATION = AugmentationConfig()


@dataclass(frozen=True)
class Budget:
    """What is spent: iterations by method, episodes from so many shots up, overrides of the adaptation."""

    iterations: dict[str, int]
    episodes: dict[str, int]
    adaptation: dict[str, Any]

    def iterations_of(self, method: str) -> int:
        """Outer updates of a method."""
        return self.iterations.get(method, self.iterations["other"])

    def episodes_at(self, n_shot: int) -> int:
        """Test episodes in a setting with n_shot shots."""
        return self.episodes[max((s for s in self.episodes if int(s) <= n_shot), key=int)]


@dataclass(frozen=True)
class GridConfig:
    """methods x ways x shots x seeds; an empty budget or protocol takes [run]'s."""

    methods: tuple[str, ...]
    ways: tuple[int, ...] = _at_least(2)
    shots: tuple[int, ...] = _at_least(1)
    seeds: tuple[int, ...] = _at_least(0, at_most=2**31 - 1)
    budget: str = ""
    protocol: str = ""


@dataclass(frozen=True)
class Config:
    """The whole of bench.toml. `methods` and `adaptation` are checked where methods are known: grid.py."""

    run: RunConfig
    data: DataConfig
    episodes: EpisodesConfig
    model: ModelConfig
    training: TrainingConfig
    augmentation: AugmentationConfig
    adaptation: dict[str, Any]
    budgets: dict[str, Budget]
    grids: dict[str, GridConfig]
    methods: dict[str, dict[str, Any]]


def packaged_text() -> str:
    """The packaged bench.toml, comments and all."""
    return files("fewshot_bench").joinpath("bench.toml").read_text(encoding="utf-8")


def config_file(named: Path | None) -> Path | None:
    """The configuration file to lay over the packaged one: the one named, else bench.toml here if there is one."""
    here = Path("bench.toml")
    return named or (here if here.exists() else None)


def load(path: Path | None = None) -> Config:
    """The configuration in `path`, over the packaged one. Raises UsageError in one line."""
    tables = parse_toml(packaged_text())
    if path is not None:
        try:
            tables = _overlay(tables, parse_toml(read_bytes(path)))
        except ParseError as error:
            raise UsageError(f"{path}: {error}") from None
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return _config(tables)
    except UsageError as error:
        raise UsageError(f"{path or 'bench.toml'}: {error}") from None


def build(cls: type[T], table: Any, where: str) -> T:
    """A dataclass from a TOML table. Raises UsageError naming section, key, value and what would be valid."""
    if not isinstance(table, dict):
        raise UsageError(f"{where} must be a table, not {table!r}")
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]  # T is a dataclass
    for key in table:
        if key not in known:
            raise UsageError(f"[{where}] has no key {key!r}: {did_you_mean(key, list(known))}")
    for name, f in known.items():
        if name not in table and f.default is dataclasses.MISSING:
            raise UsageError(f"[{where}] needs the key {name!r}")
    values = {key: _value(hints[key], value, f"[{where}] {key}", known[key].metadata) for key, value in table.items()}
    return cls(**values)


def _value(hint: Any, value: Any, where: str, limits: "types.MappingProxyType[str, Any]") -> Any:
    """`value` as the type that `hint` names, or a UsageError."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in arguments:
            known = [str(a) for a in arguments]
            raise UsageError(f"{where} = {value!r} is not valid: {did_you_mean(str(value), known)}")
        return value
    if origin is tuple:
        if not isinstance(value, list) or not value:
            raise UsageError(f"{where} = {value!r} must be a list with at least one entry")
        items = tuple(_value(arguments[0], item, where, limits) for item in value)
        if len(set(items)) < len(items):
            raise UsageError(f"{where} = {value!r} names an entry twice")
        return items
    if origin is dict:
        if not isinstance(value, dict):
            raise UsageError(f"{where} = {value!r} must be a table")
        return {key: _value(arguments[1], item, f"{where}.{key}", limits) for key, item in value.items()}
    if hint is Any:
        return value
    return _scalar(hint, value, where, limits)


def _scalar(hint: Any, value: Any, where: str, limits: "types.MappingProxyType[str, Any]") -> Any:
    words = {int: "a whole number", float: "a number", str: "a text in quotes", bool: "true or false"}
    whole_as_float = hint is float and type(value) is int
    if type(value) is not hint and not whole_as_float:
        raise UsageError(f"{where} = {value!r} must be {words[hint]}")
    if hint is int or hint is float:
        # counts start at 1 and step sizes at 0 unless the field says otherwise
        low, high = limits.get("min", 1 if hint is int else 0), limits.get("max", sys.float_info.max)
        if not low <= value <= high:  # also refuses nan and inf
            open_end = f"at least {low}" + (" and finite" if hint is float else "")
            bound = f"between {low} and {high}" if "max" in limits else open_end
            raise UsageError(f"{where} = {value!r} must be {bound}")
    return float(value) if whole_as_float else value


def _overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, table by table. A variant is replaced whole: half of one is another one."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        if both and key == "methods":
            merged[key] = below[key] | value
        else:
            merged[key] = _overlay(below[key], value) if both else value
    return merged


def _config(tables: dict[str, Any]) -> Config:
    known = {f.name for f in dataclasses.fields(Config)}
    for name in tables:
        if name not in known:
            raise UsageError(f"there is no section [{name}]: {did_you_mean(name, list(known))}")
    for name, section in tables.items():
        if not isinstance(section, dict):
            raise UsageError(f"{name} = {section!r} must be a section [{name}]")
    for name in ("budgets", "grids", "methods"):
        for entry, table in tables[name].items():
            if not isinstance(table, dict):
                raise UsageError(f"[{name}] {entry} = {table!r} must be a table [{name}.{entry}]")
    config = Config(
        run=build(RunConfig, tables["run"], "run"),
        data=build(DataConfig, tables["data"], "data"),
        episodes=build(EpisodesConfig, tables["episodes"], "episodes"),
        model=build(ModelConfig, tables["model"], "model"),
        training=build(TrainingConfig, tables["training"], "training"),
        augmentation=build(AugmentationConfig, tables["augmentation"], "augmentation"),
        adaptation=tables["adaptation"],
        budgets={name: _budget(table, f"budgets.{name}") for name, table in tables["budgets"].items()},
        grids={name: build(GridConfig, table, f"grids.{name}") for name, table in tables["grids"].items()},
        methods=tables["methods"],
    )
    _check_names(config)
    return config


def _budget(table: dict[str, Any], where: str) -> Budget:
    budget = build(Budget, table, where)
    if "other" not in budget.iterations:
        raise UsageError(f"[{where}] iterations needs the entry 'other', for methods that it does not name")
    for shots in budget.episodes:
        if not shots.isdecimal():
            raise UsageError(f"[{where}] episodes has the key {shots!r}: keys are numbers of shots")
    if "1" not in budget.episodes:
        raise UsageError(f"[{where}] episodes needs the entry '1': test episodes from one shot up")
    return budget


def _check_names(config: Config) -> None:
    """Grids name known variants, budgets and protocols."""
    for name, grid in config.grids.items():
        for variant in grid.methods:
            choose(variant, config.methods, f"[grids.{name}] methods: unknown method")
        if grid.budget:
            choose(grid.budget, config.budgets, f"[grids.{name}] budget: unknown budget")
        if grid.protocol not in ("", *typing.get_args(Protocol)):
            raise UsageError(f"[grids.{name}] protocol = {grid.protocol!r} is not valid: known: matched, single")
    choose(config.run.grid, config.grids, "[run] grid: unknown grid")
    choose(config.run.budget, config.budgets, "[run] budget: unknown budget")


def choose(name: str, known: Mapping[str, T], what: str) -> T:
    """known[name], or a UsageError with the nearest name."""
    if name not in known:
        raise UsageError(f"{what} {name!r}: {did_you_mean(name, list(known))}")
    return known[name]
