"""The benchmark from Python: `plan`, `run` and `tune`, with the command line's words. See also results/frames.py."""

import json
import warnings
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from hashlib import sha256
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack, get_args

import pandas as pd

from fewshot_bench import config as configuration
from fewshot_bench.errors import BenchError, UsageError
from fewshot_bench.experiment.choosing import Chosen, choose
from fewshot_bench.experiment.plan import Plan
from fewshot_bench.experiment.selection import Means, Selection, names, number, numbers, text
from fewshot_bench.files import temporary_folder, write_whole
from fewshot_bench.results.frames import results
from fewshot_bench.running import recording
from fewshot_bench.running.device import alone
from fewshot_bench.running.events import Event
from fewshot_bench.running.tuning import best_of, document, tuning_of
from fewshot_bench.settings import shown
from fewshot_bench.tables.parsing import ParseError, toml_line

T = TypeVar("T")


class Words(TypedDict, total=False):
    """What chooses cells, as the options of `bench run` do; a word left out leaves the configuration's choice."""

    config: str | PathLike[str] | Mapping[str, Any]  # a file, or what would stand in one; default: bench.toml here
    grid: str  # full, paper, smoke, or one of the configuration's own
    data: str | PathLike[str]  # a name, a folder, an archive, or FORMAT:PATH
    novel_data: str | PathLike[str]  # another, whose novel classes are tested on
    split: str  # whose novel classes are tested on: paper, ravi, ravi-val, or a published one
    budget: str  # smoke, quick, standard, paper, or one of the configuration's own
    protocol: Literal["single", "matched"]  # one model for all settings, or one for each
    methods: str | Iterable[str]  # variants, or registered methods with their default settings
    ways: int | Iterable[int]  # classes of an episode
    shots: int | Iterable[int]  # support images a class
    seeds: int | Iterable[int]  # of trainings
    episodes: int  # test episodes of every cell
    rules: str | PathLike[str]  # tuned ones, a file that `tune` wrote; "": none
    matching: str  # only cells whose name (maml-5w1s-s0) matches, in the words of -k
    out: str | PathLike[str]  # folder of database, checkpoints and report; default: out
    retry_failed: bool  # do failed cells again


class RunWords(Words, total=False):
    """What chooses cells, and what computes."""

    device: Literal["auto", "cpu", "cuda"]  # auto: a GPU if there is one
    jobs: int  # worker processes; 0: one a core, or one for a GPU
    threads: int  # CPU threads of each


LIMITS = {
    "ways": (2, configuration.MOST_WAYS), "shots": (1, configuration.MOST_WAYS), "seeds": (0, 2**31 - 1),
    "episodes": (1, configuration.MOST_EPISODES),
    "jobs": (0, configuration.MOST_PROCESSES), "threads": (1, configuration.MOST_PROCESSES),
}  # fmt: skip


def plan(**words: Unpack[Words]) -> Plan:
    """What `run` would do, and what is done already. The data set is prepared if it is not yet.

    Args:
        **words: which cells; see `Words`

    Raises:
        UsageError: for invalid words
        NothingSelected: where no cell matches
    """
    with temporary_folder() as folder, alone():
        chosen, means = _resolved(words, folder, choose)
        return recording.plan_of(chosen, retry_failed=means.retry_failed)


def run(*, progress: Callable[[Event], None] | None = None, **words: Unpack[RunWords]) -> pd.DataFrame:
    """Train and test what is missing of the chosen cells. After an interruption, the same call continues.

    Worker processes import nothing of the calling script, which needs no `if __name__ == "__main__"`. Call it in the
    main thread: it stops at Ctrl-C and SIGTERM. Variants whose packages are broken are left out, with a warning.

    Args:
        progress: is called with every event (running/events.py) after it was recorded; what it raises ends the run, and
            it may read results, but begin no other run of the same database
        **words: which cells, and what computes them; see `Words` and `RunWords`

    Returns:
        The chosen cells as `results` has them; a cell that failed has a reason and no accuracy.

    Raises:
        UsageError: for invalid words
        NothingSelected: where no cell matches
        KeyboardInterrupt: when it was stopped
    """
    _check_callable(progress)
    with alone():
        chosen, means = _resolved(words, None, partial(choose, skip_unusable=True))
        for problem in chosen.unusable:
            warnings.warn(f"left out: {problem}", stacklevel=2)
        _do(chosen, means, progress)
    r = chosen.request
    found = results(chosen.database, methods=r.methods, ways=r.ways, shots=r.shots, seeds=r.seeds)
    keys = [cell.key for cell in chosen.cells]
    return found[found["cell_key"].isin(keys)].sort_values(
        "cell_key", key=lambda column: column.map(keys.index), ignore_index=True
    )


def tune(
    file: str | PathLike[str] = "tuned.toml",
    *,
    progress: Callable[[Event], None] | None = None,
    **words: Unpack[RunWords],
) -> pd.DataFrame:
    """Choose each method's adaptation rule on held-out base classes, as `bench tune` does.

    Args:
        file: is written, with the chosen rules and every candidate; `run(rules=file)` uses it
        progress: as in `run`
        **words: as in `run`

    Returns:
        A row for each method, number of ways and group of shots: variant, n_way, from_shot, adaptation (a dict),
        accuracy and half_width (fractions of 1), n_episodes.

    Raises:
        UsageError: for invalid words
        NothingSelected: where no cell matches, or a candidate has no result
        KeyboardInterrupt: when it was stopped
    """
    _check_callable(progress)
    if not isinstance(file, str | PathLike):
        raise UsageError(f"file = {shown(file)} must be a path")
    with alone():
        tuning, means = _resolved(words, None, tuning_of)
        _do(tuning.chosen, means, progress)
    scores = tuning.scores()
    _write(Path(file), document(tuning, scores))
    return pd.DataFrame([tuning.entry(score) for score in best_of(scores)])


def _do(chosen: Chosen, means: Means, progress: Callable[[Event], None] | None) -> None:
    """Do what is missing of the chosen cells."""
    plan = recording.plan_to_run(chosen, retry_failed=means.retry_failed)
    if plan.todo:
        outcome = recording.run(chosen, plan, means, progress or (lambda _: None), chosen.command())
        if outcome.stopped:
            raise KeyboardInterrupt
        if outcome.n_lost:
            raise BenchError(f"{outcome.n_lost} cells are not done: memory, disk or server failed; call it again")


def _check_callable(progress: Any) -> None:
    if progress is not None and not callable(progress):
        raise UsageError(f"progress = {shown(progress)} must be a function that takes an event")


def _resolved(words: Mapping[str, Any], folder: Path | None, resolve: Callable[[Selection], T]) -> tuple[T, Means]:
    """What a selection chooses, and how it is done; an error in a configuration that is no file names none."""
    selection, means = _read(words, folder)
    try:
        return resolve(selection), means
    except UsageError as error:
        if not isinstance(words.get("config"), Mapping):
            raise
        raise type(error)(str(error).replace(str(selection.config), "config")) from None


def _read(words: Mapping[str, Any], folder: Path | None) -> tuple[Selection, Means]:
    """Words as the command line has them; a configuration that is none yet becomes a file in the folder, or in `out`.

    Raises UsageError for values that no option takes, and for a word that there is not.
    """
    known = dict.fromkeys([*Words.__annotations__, *RunWords.__annotations__])
    for name in words:
        configuration.choose(name, known, "unknown word")
    given = {name: _checked(name, value) for name, value in words.items() if value is not None}
    means = Means(**{name: given.pop(name) for name in Means.__dataclass_fields__ if name in given})
    if isinstance(given.get("config"), Mapping):
        given["config"] = _written(given["config"], folder, given.get("out"))
    if "matching" in given:
        given["expression"] = given.pop("matching")
    return Selection(**given), means


def _checked(name: str, value: Any) -> Any:
    """A word's value, as a selection holds it. Raises UsageError."""
    if name == "methods":
        return names(name, value)
    if name in LIMITS:
        several = name in ("ways", "shots", "seeds")
        found, (low, high) = numbers(name, value) if several else (number(name, value),), LIMITS[name]
        if outside := [one for one in found if not low <= one <= high]:
            raise UsageError(f"{name} = {outside[0]} must be between {low} and {high}")
        return found if several else found[0]
    known = {"protocol": get_args(configuration.Protocol), "device": get_args(configuration.Device)}
    if name in known:
        configuration.choose(value, dict.fromkeys(known[name]), f"unknown {name}")
        return value
    if name == "retry_failed":
        if not isinstance(value, bool):
            raise UsageError(f"{name} = {shown(value)} must be True or False")
        return value
    if name not in ("config", "out", "data", "novel_data", "rules"):
        return text(name, value)
    if name == "config" and isinstance(value, Mapping):
        return value
    if not isinstance(value, str | PathLike):
        raise UsageError(
            f"{name} = {shown(value)} must be a text or a path" + (" or a dict" if name == "config" else "")
        )
    return Path(value) if name in ("config", "out") else str(value)


def _written(tables: Mapping[str, Any], folder: Path | None, out: Path | None) -> Path:
    """A configuration as the file that commands can name; its name is its content's."""
    lines = []
    for name, table in tables.items():
        try:
            lines.append(f"{json.dumps(name)} = {toml_line(table)}\n")
        except ParseError as error:
            raise UsageError(f"config: {name} holds {error}") from None
    text = "".join(lines)
    run = tables.get("run")  # which may be anything: the file is checked as any other
    named = run.get("out") if isinstance(run, Mapping) else None
    folder = folder or out or Path(named if isinstance(named, str | PathLike) else "out")
    path = folder / f"config-{sha256(text.encode()).hexdigest()[:8]}.toml"
    _write(path, text)
    return path


def _write(path: Path, text: str) -> None:
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None
