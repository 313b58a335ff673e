"""A stored cell as one of this code's: from the database alone, whatever bench.toml says by now."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from fewshot_bench.config import AugmentationConfig, Normalisation, Numerics, config_file, load
from fewshot_bench.data import find_source, open_images
from fewshot_bench.data.cache import find
from fewshot_bench.data.images import ImageSet
from fewshot_bench.data.readers.downloads import Downloaded
from fewshot_bench.errors import DataError, NothingSelected, UsageError
from fewshot_bench.experiment.asking import asking, versions_of
from fewshot_bench.experiment.episodes import BANK_VERSION, Setting
from fewshot_bench.experiment.grid import files_named
from fewshot_bench.experiment.identity import Cell, Training
from fewshot_bench.experiment.records import Answers
from fewshot_bench.experiment.selection import place_of
from fewshot_bench.files import BY_CONTENT
from fewshot_bench.methods.adaptation import Adaptation
from fewshot_bench.methods.backbones import find_backbone
from fewshot_bench.methods.later import mentioned
from fewshot_bench.methods.pretrained import UnusableNetwork
from fewshot_bench.methods.registry import UnusableMethod, find_method, method_names
from fewshot_bench.results.store.reading import CellFacts, Reader
from fewshot_bench.settings import build, shown

Progress = Callable[[str, int, int], None]  # what is being done, how much is done, of how much


@dataclass(frozen=True)
class Stored:
    """What a database holds of one cell."""

    facts: CellFacts
    answers: Mapping[int, Answers]  # episode number -> the answers, where they were kept
    runs: tuple[dict[str, Any], ...]  # that made its episodes and its training, oldest first

    @property
    def name(self) -> str:
        """How people say it: maml-5w1s-s0."""
        return place_of(self.facts.cell).name

    @property
    def training_run(self) -> dict[str, Any]:
        """The run that finished its training."""
        return next(run for run in self.runs if run["id"] == self.facts.training["run_id"])

    def expected_seconds(self, n_episodes: int, retrain: bool) -> float:
        """As long as it took when it was made."""
        testing = self.facts.cell["seconds"] * n_episodes / len(self.facts.episodes)
        return float(testing + (self.facts.training["seconds"] if retrain else 0.0))


def find_stored(reader: Reader, named: str) -> Stored:
    """A cell that has episodes; see `Reader.cell`. Raises NothingSelected if not one cell is called so, or has any."""
    facts = reader.cell(named)
    key = facts.cell["key"]
    if not facts.episodes:
        why = facts.cell["reason"] or facts.training["reason"]
        raise NothingSelected(f"cell {key} has no episodes to repeat" + (f": it failed, {why}" if why else ""))
    return Stored(facts, reader.answers([key])[key], tuple(reader.runs_behind([key])))


def rebuild(stored: Stored) -> Cell:
    """The cell, from its stored identity alone. Raises NothingSelected where this code cannot repeat it."""
    row, identity = stored.facts.cell, stored.facts.cell["identity"]
    rule = {name: value for name, value in (identity["adaptation"] or {}).items() if name != "head_version"}
    run = stored.facts.run
    package = run["facts"].get(f"method {stored.facts.training['identity']['method']}")  # of one that is not built in
    try:
        cell = Cell(
            variant=row["variant"],
            training=_training(stored.facts.training["identity"], identity["bank"][0]),
            split=identity["split"],
            setting=Setting(**identity["setting"]),
            bank_seed=identity["bank"][1],
            adaptation=build(Adaptation, rule, "adaptation") if rule else None,
            n_episodes=len(stored.facts.episodes),
            novel=identity.get("novel", ""),
        )
        if cell.key != row["key"]:
            raise UsageError("it has settings that the stored result does not name")
    except (UsageError, TypeError) as error:
        raise NothingSelected(
            f"this code cannot repeat {stored.name} ({row['key']}): {error}; the code that can is what made it, "
            f"{code_of(run)}" + (f", and {package}" if package else "")
        ) from None
    return cell


def data_at_hand(stored: Stored, configured: str, cache: Path, image_size: int | None, progress: Progress) -> ImageSet:
    """The data of a stored cell where they are prepared, or where bench.toml says. Raises DataError.

    What the database says of where they lay is another's word: nothing there is opened, and nothing is downloaded.
    """
    if prepared := find(cache, stored.facts.training["identity"]["fingerprint"]):
        return prepared
    if isinstance(find_source(configured), Downloaded):
        raise DataError(f"the data of {stored.name} are not prepared here; name them with --data")
    return open_data(stored, configured, cache, image_size, progress)


def novel_at_hand(stored: Stored, cache: Path) -> ImageSet | None:
    """The other data set whose novel classes a cell was tested on; None for a cell of one. Raises DataError."""
    fingerprint = stored.facts.cell["identity"].get("novel")
    images = find(cache, fingerprint) if fingerprint else None
    if fingerprint and images is None:
        raise DataError(f"the novel classes of {stored.name} are another data set's: prepare it, bench data prepare")
    return images


def open_data(stored: Stored, source: str, cache: Path, image_size: int | None, progress: Progress) -> ImageSet:
    """The data set at `source`. Raises DataError unless its fingerprint is that of the stored cell."""
    identity = stored.facts.training["identity"]
    sizes = list(dict.fromkeys((image_size, identity["image_size"])))  # as configured now; else as it was then
    for size in sizes:
        try:
            images = open_images(source, cache, size, progress)
        except DataError:
            if size == sizes[-1]:
                raise
            continue
        if images.fingerprint == identity["fingerprint"]:
            return images
        if images.images.shape[-1] == identity["image_size"]:
            break
    raise DataError(
        f"{source} is not the data of this result: its fingerprint begins with {images.fingerprint[:12]}, the "
        f"result's with {identity['fingerprint'][:12]}; name the right data with --data"
    )


def wanted_episodes(stored: Stored, episode: int | None) -> range:
    """The numbers of the episodes to repeat. Raises NothingSelected for one that is not stored."""
    n = len(stored.facts.episodes)
    if episode is None:
        return range(n)
    if episode >= n:
        raise NothingSelected(f"episode {episode} is not stored: {stored.name} has the episodes 0 to {n - 1}")
    return range(episode, episode + 1)


def code_of(run: dict[str, Any]) -> str:
    """The code of a run, in words: its commit, or outside a checkout the package's version."""
    if not run["git_commit"]:
        return f"fewshot-bench {run['facts'].get('fewshot-bench', 'of an unknown version')}"
    return f"commit {run['git_commit'][:12]}" + (" with uncommitted changes" if run["git_dirty"] else "")


def _training(identity: dict[str, Any], bank_version: int) -> Training:
    """The training of a stored identity. Raises UsageError, saying why, where this code has none like it."""
    name = identity["method"]
    if name not in method_names():
        raise UsageError(f"no method {name!r} is installed here")
    try:
        method = find_method(name)
    except UnusableMethod as error:
        raise UsageError(str(error)) from None
    then = (*identity["versions"], bank_version)
    with asking("its versions", name):
        now = (*versions_of(method), BANK_VERSION)
    if then != now:
        raise UsageError(
            f"the versions of its method, core and episode bank were {then[:-1]}, this code's are {now[:-1]}"
        )
    stored = _with_files(identity["settings"])
    with asking("its settings", name):
        settings: Any = build(method.Settings, stored, "settings")
    missing = [name for name in mentioned(settings) if name not in identity["settings"]]
    if missing:
        raise UsageError(f"it was made before {name} had the setting {missing[0]!r}")
    try:
        find_backbone(identity["backbone"])
    except (KeyError, UnusableNetwork):
        raise UsageError(f"there is no backbone {identity['backbone']!r} here") from None
    for key, known in (("numerics", Numerics), ("normalisation", Normalisation)):
        if (value := identity.get(key)) not in (None, *get_args(known)):
            raise UsageError(f"there is no {key} {shown(value)} here")
    rest = {f.name: identity[f.name] for f in dataclasses.fields(Training) if f.name in identity}
    lists = {"versions": tuple(identity["versions"]), "base_parts": tuple(identity["base_parts"])}
    augmentation = build(AugmentationConfig, identity.get("augmentation", {}), "augmentation")
    return Training(**rest | lists | {"settings": settings, "augmentation": augmentation})


def _with_files(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in which a file that is known by its content has the name of one that bench.toml names."""
    if not any(str(value).startswith(BY_CONTENT) for value in settings.values()):
        return settings
    named = files_named(load(config_file(None)))
    return {key: named.get(str(value), value) for key, value in settings.items()}
