"""bench.toml -> frozen dataclasses. Unknown keys, wrong types and impossible values stop here, in one line.

The packaged bench.toml holds every key and its default; a file of the user's lies over it and may hold only
what it changes. Nothing below the command line sees a dict of it or a path to it.
"""

import dataclasses
import json
import os
import re
import typing
import unicodedata
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

from fewshot_bench.errors import UsageError, did_you_mean
from fewshot_bench.settings import build, shown
from fewshot_bench.tables.parsing import ParseError, parse_toml, read_bytes

Protocol = Literal["single", "matched"]
Device = Literal["auto", "cpu", "cuda"]
Numerics = Literal["float32", "tf32", "bfloat16"]
Normalisation = Literal["", "imagenet", "inception", "clip"]
Weights = Literal["folder", "database"]
T = TypeVar("T")

# What is beyond these was mistyped: no machine has the time, the memory or the processes
MOST_PROCESSES = 512  # of jobs, and of threads of each
MOST_ITERATIONS = 10**9
MOST_EPISODES = 10**6
MOST_FILTERS = 2048
MOST_PIXELS = 1024  # of a side
MOST_WAYS = 10_000
EPISODES_AT = re.compile("[0-9]{1,9}|[0-9]{1,9}w[0-9]{1,9}s")  # 5: from 5 shots up; 20w5s: and from 20 ways up
LONGEST_NAME = 60  # letters of a variant, budget or grid; the database has columns for them


def _between(minimum: int, at_most: int) -> Any:
    return field(metadata={"min": minimum, "max": at_most})


@dataclass(frozen=True)
class RunConfig:
    """What `bench run` does when its options say nothing else."""

    grid: str
    budget: str
    protocol: Protocol
    device: Device
    recompute: bool
    out: str
    rules: str
    weights: Weights
    jobs: int = _between(0, MOST_PROCESSES)
    threads: int = _between(1, MOST_PROCESSES)
    server_wait_seconds: int = _between(0, 86_400)


@dataclass(frozen=True)
class EngineConfig:
    """Who does the work; its options are the engine's own, by the names that it has for them."""

    name: str
    options: dict[str, str]


@dataclass(frozen=True)
class DataConfig:
    """Which images, and which of their classes are new."""

    source: str
    novel_source: str
    split: str
    image_size: int = _between(0, MOST_PIXELS)


@dataclass(frozen=True)
class EpisodesConfig:
    """The episode bank."""

    n_query: int = _between(1, MOST_WAYS)
    bank_seed: int = _between(0, 2**31 - 1)


@dataclass(frozen=True)
class StatisticsConfig:
    """What comparisons speak of."""

    new_classes: bool
    whole_training: float = field(
        metadata={"min": 0.0, "max": 1.0}
    )  # from this share of the published iterations on a verdict names none


@dataclass(frozen=True)
class ModelConfig:
    """The backbone; which ones there are is checked where they are known: grid.py."""

    backbone: str
    weights: str  # a file; empty: the seed's
    pretrained_on: str
    filters: int = field(metadata={"min": 1, "max": MOST_FILTERS})
    drop_block: float = field(metadata={"max": 0.9})
    numerics: Numerics
    normalisation: Normalisation  # of pixels, before a network of timm; empty: what timm names for it
    input_size: int = _between(0, MOST_PIXELS)


@dataclass(frozen=True)
class TrainingConfig:
    """The size of training episodes."""

    way: int = _between(2, MOST_WAYS)
    shot: int = _between(1, MOST_WAYS)
    query: int = _between(1, MOST_WAYS)
    most_shots: int = _between(1, MOST_WAYS)


@dataclass(frozen=True)
class AugmentationConfig:
    """How training images are changed; test episodes never are. 0 and false are off, as in the paper."""

    crop_padding: int = field(default=0, metadata={"min": 0, "max": MOST_PIXELS})
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
    """What is spent: iterations by method, episodes from so many ways and shots up, overrides of the adaptation."""

    iterations: dict[str, int] = field(metadata={"min": 1, "max": MOST_ITERATIONS})
    episodes: dict[str, int] = field(metadata={"min": 1, "max": MOST_EPISODES})
    adaptation: dict[str, Any]

    def iterations_of(self, method: str) -> int:
        """Outer updates of a method."""
        return self.iterations.get(method, self.iterations["other"])

    def episodes_at(self, n_way: int, n_shot: int) -> int:
        """Test episodes in a setting: those of the entry with the most ways, and then shots, that it reaches."""
        entries = {(0, *map(int, re.findall("[0-9]+", at)))[-2:]: n for at, n in self.episodes.items()}
        return entries[max(at for at in entries if at[0] <= n_way and at[1] <= n_shot)]


@dataclass(frozen=True)
class TuningGroup:
    """What `bench tune` tries for settings of some shots; the rules are checked where [adaptation] is: grid.py."""

    ways: tuple[int, ...] = _between(2, MOST_WAYS)
    shots: tuple[int, ...] = _between(1, MOST_WAYS)  # that are tuned on
    from_shot: int = _between(1, MOST_WAYS)  # the rule found is for settings from so many shots up
    episodes: int = _between(1, MOST_EPISODES)  # of 5 ways
    rules: Any = ()  # a list of tables


@dataclass(frozen=True)
class GridConfig:
    """methods x ways x shots x seeds, and one_seed with the first seed; an empty budget or protocol takes [run]'s."""

    methods: tuple[str, ...]
    ways: tuple[int, ...] = _between(2, MOST_WAYS)
    shots: tuple[int, ...] = _between(1, MOST_WAYS)
    seeds: tuple[int, ...] = _between(0, 2**31 - 1)
    budget: str = ""
    protocol: str = ""
    one_seed: tuple[str, ...] = field(default=(), metadata={"empty": True})

    @property
    def everyone(self) -> tuple[str, ...]:
        """All methods of the grid."""
        return tuple(dict.fromkeys(self.methods + self.one_seed))

    def seeds_of(self, method: str, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """Those of the seeds that a method takes part with."""
        return tuple(s for s in seeds if method not in self.one_seed or s == self.seeds[0])


@dataclass(frozen=True)
class FamilyConfig:
    """What is published for one kind of images; the methods' tables are checked where methods are known: grid.py."""

    methods: dict[str, dict[str, Any]]  # by method: what a variant may say, too, which then counts


@dataclass(frozen=True)
class Config:
    """The whole of bench.toml. `methods` and `adaptation` are checked where methods are known: grid.py."""

    run: RunConfig
    engine: EngineConfig
    data: DataConfig
    episodes: EpisodesConfig
    statistics: StatisticsConfig
    model: ModelConfig
    training: TrainingConfig
    augmentation: AugmentationConfig
    adaptation: dict[str, Any]
    tuning: dict[str, TuningGroup]
    budgets: dict[str, Budget]
    grids: dict[str, GridConfig]
    methods: dict[str, dict[str, Any]]
    families: dict[str, FamilyConfig]


def packaged_text() -> str:
    """The packaged bench.toml, comments and all."""
    return files("fewshot_bench").joinpath("bench.toml").read_text(encoding="utf-8")


@cache
def _packaged() -> dict[str, Any]:
    return parse_toml(packaged_text())


def config_file(named: Path | None) -> Path | None:
    """The configuration file to lay over the packaged one: the one named, else bench.toml here if there is one."""
    here = Path("bench.toml")
    return named or (here if os.path.lexists(here) else None)  # a link to nothing is an error, not no file


def load(path: Path | None = None, settings: Sequence[str] = ()) -> Config:
    """The configuration in `path`, over the packaged one, with settings of --set. Raises UsageError in one line."""
    tables = deepcopy(_packaged())
    if path is not None:
        try:
            tables = overlay(tables, parse_toml(read_bytes(path)))
        except ParseError as error:
            raise UsageError(f"{path}: {error}") from None
        except OSError as error:
            raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        for text in settings:
            tables = overlay(tables, _setting(text, tables["methods"]))
        return _config(tables)
    except UsageError as error:
        raise UsageError(f"{called(path, settings)}: {error}") from None


def called(path: Path | None, settings: Sequence[str]) -> str:
    """A configuration, as messages name it."""
    return f"{path or 'bench.toml'}" + "".join(f" with --set {text}" for text in settings)


def _setting(text: str, methods: dict[str, Any]) -> dict[str, Any]:
    """A KEY=VALUE of --set as tables; a value that TOML does not know is a text. Of a variant the rest stays."""
    key, equals, value = text.partition("=")
    for line in (text, f"{key} = {json.dumps(value.strip())}") if equals and re.match(r"[\w\"']", text) else ():
        try:
            tables = parse_toml(line)
        except ParseError:
            continue
        if isinstance(tables.get("methods"), dict):
            tables["methods"] = overlay(methods, tables["methods"])
        return tables
    raise UsageError("expected KEY=VALUE, such as data.image_size=28 or methods.maml.inner_steps=10")


def overlay(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`above` laid over `below`, table by table. A variant is replaced whole: half of one is another one."""
    merged = dict(below)
    for key, value in above.items():
        both = isinstance(value, dict) and isinstance(below.get(key), dict)
        if both and key == "methods":
            merged[key] = below[key] | value
        elif both and key == "episodes" and not any("w" in at for at in value):  # it speaks of all ways
            merged[key] = {at: n for at, n in below[key].items() if "w" not in at} | value
        else:
            merged[key] = overlay(below[key], value) if both else value
    return merged


def _config(tables: dict[str, Any]) -> Config:
    known = {f.name for f in dataclasses.fields(Config)}
    for name in tables:
        if name not in known:
            raise UsageError(f"there is no section [{name}]: {did_you_mean(name, list(known))}")
    for name, section in tables.items():
        if not isinstance(section, dict):
            raise UsageError(f"{name} = {shown(section)} must be a section [{name}]")
    for name in ("budgets", "grids", "methods", "tuning", "families"):
        for entry, table in tables[name].items():
            if not isinstance(table, dict):
                raise UsageError(f"[{name}] {entry} = {shown(table)} must be a table [{name}.{entry}]")
    config = Config(
        run=build(RunConfig, tables["run"], "run"),
        engine=build(EngineConfig, tables["engine"], "engine"),
        data=build(DataConfig, tables["data"], "data"),
        episodes=build(EpisodesConfig, tables["episodes"], "episodes"),
        statistics=build(StatisticsConfig, tables["statistics"], "statistics"),
        model=build(ModelConfig, tables["model"], "model"),
        training=build(TrainingConfig, tables["training"], "training"),
        augmentation=build(AugmentationConfig, tables["augmentation"], "augmentation"),
        adaptation=tables["adaptation"],
        tuning={name: build(TuningGroup, table, f"tuning.{name}") for name, table in tables["tuning"].items()},
        budgets={name: _budget(table, f"budgets.{name}") for name, table in tables["budgets"].items()},
        grids={name: build(GridConfig, table, f"grids.{name}") for name, table in tables["grids"].items()},
        methods=tables["methods"],
        families={name: build(FamilyConfig, table, f"families.{name}") for name, table in tables["families"].items()},
    )
    _check_names(config)
    return config


def _budget(table: dict[str, Any], where: str) -> Budget:
    budget = build(Budget, table, where)
    if "other" not in budget.iterations:
        raise UsageError(f"[{where}] iterations needs the entry 'other', for methods that it does not name")
    for at in budget.episodes:
        if not EPISODES_AT.fullmatch(at):
            raise UsageError(f"[{where}] episodes has the key {at!r}: keys are numbers of shots, or ways too: 20w5s")
    if "1" not in budget.episodes:
        raise UsageError(f"[{where}] episodes needs the entry '1': test episodes from one shot up")
    return budget


def _check_names(config: Config) -> None:
    """Names can be said on the command line; grids name known variants, budgets and protocols."""
    for section in ("methods", "budgets", "grids"):
        for name in getattr(config, section):
            if reason := unsayable(name):
                raise UsageError(f"[{section}] {name[:LONGEST_NAME]!r} cannot be a name: {reason}")
    for name, grid in config.grids.items():
        for variant in grid.everyone:
            if variant not in config.methods and _is_installed(variant):
                raise UsageError(
                    f"[grids.{name}] methods: {variant!r} is another package's method, and a grid names variants: "
                    f'add [methods.{variant}] with method = "{variant}"'
                )
            choose(variant, config.methods, f"[grids.{name}] methods: unknown method")
        if grid.budget:
            choose(grid.budget, config.budgets, f"[grids.{name}] budget: unknown budget")
        if grid.protocol not in ("", *typing.get_args(Protocol)):
            raise UsageError(f"[grids.{name}] protocol = {grid.protocol!r} is not valid: known: matched, single")
    choose(config.run.grid, config.grids, "[run] grid: unknown grid")
    choose(config.run.budget, config.budgets, "[run] budget: unknown budget")


def _is_installed(method: str) -> bool:
    from fewshot_bench.methods.names import declared  # which looks through all packages: where a name is unknown, only

    return method in declared()


def unsayable(name: str) -> str:
    """Why a name cannot be given to --method, -k and shells, or stand in a table; empty where it can."""
    if not name or len(name) > LONGEST_NAME:
        return f"it must have 1 to {LONGEST_NAME} letters"
    if name in ("and", "or", "not"):
        return "-k has another meaning for it"
    if name != unicodedata.normalize("NFC", name):
        return "its letters are not composed as they are typed (Unicode NFC)"
    wrong = next((c for c in name if c not in "._-+=:" and unicodedata.category(c)[0] not in "LMN"), None)
    if wrong is not None:
        what = {",": "a comma separates names", " ": "a blank separates words"}.get(wrong, f"it holds {wrong!r}")
        return f"{what}; letters, digits and . _ - + = : can be in it"
    return "" if unicodedata.category(name[0])[0] in "LN" else "it must begin with a letter or a digit"


def choose(name: Any, known: Mapping[str, T], what: str) -> T:
    """known[name], or a UsageError with the nearest name."""
    if not isinstance(name, str) or name not in known:
        raise UsageError(f"{what} {shown(name)}: {did_you_mean(str(name), list(known))}")
    return known[name]
