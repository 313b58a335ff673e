"""Words that choose -> cells, resolved against configuration and data."""

import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fewshot_bench.config import Config, called, config_file, load
from fewshot_bench.data import open_images
from fewshot_bench.data.cache import Decoded
from fewshot_bench.data.images import ImageSet
from fewshot_bench.errors import DataError, NothingSelected, UsageError
from fewshot_bench.experiment import grid as grids
from fewshot_bench.experiment.grid import Request
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.selection import Selection
from fewshot_bench.files import as_text, cache_folder, database


@dataclass(frozen=True)
class Chosen:
    """What a selection chose, resolved against configuration and data."""

    request: Request
    images: ImageSet
    cells: list[Cell]
    out: Path
    source: str  # the data set as it was named
    config: Path | None  # the configuration file that was used
    expression: str | None
    settings: tuple[str, ...] = ()  # of --set
    unusable: tuple[str, ...] = ()  # what is wrong with variants that were left out
    instead: str = ""  # the command that repeats it, where it is not `bench run`
    measured: str = ""  # the name of the results that come with the package, where it is these
    measured_rules: str = ""  # the file of rules that come with them
    novel_source: str = ""  # the data set with the novel classes, as it was named, where it is another one
    other: ImageSet | None = None  # and as it was opened

    @property
    def novel(self) -> ImageSet:
        """The data set whose novel classes are tested on."""
        return self.other or self.images

    @property
    def data(self) -> str:
        """The data set's name, or both."""
        return data_name(self.images.name, self.other.name if self.other else "")

    @property
    def fingerprint(self) -> str:
        """The data set's, or both."""
        return data_fingerprint(self.images.fingerprint, self.other.fingerprint if self.other else "")

    @property
    def database(self) -> str:
        """Path or URL of the results database."""
        return database(self.out)

    def label(self, cell: Cell) -> str:
        """What was asked for, in names: equal labels with different keys are stale results."""
        r = self.request
        budget = f"{r.budget}+{r.rules.name}" if r.rules else r.budget
        return " ".join([self.data, r.split, r.protocol, budget, cell.name])

    def command(self, cell: Cell | None = None) -> str:
        """The command that repeats this selection, or one cell of it, as a text."""
        return self.instead or as_text(shlex.join(self.words(cell)))

    def words(self, cell: Cell | None = None) -> list[str]:
        """The same word by word, as the system has them."""
        r = self.request
        words = ["bench", "report", "--measured", self.measured] if self.measured else ["bench", "run"]
        words += ["--grid", r.grid, "--data", self.source]
        words += ["--novel-data", self.novel_source] if self.other else []
        words += ["--split", r.split]
        words += ["--budget", r.budget, "--protocol", r.protocol]
        if cell:
            words += [str(word) for pair in zip(self._narrowed, cell.place, strict=True) for word in pair]
        else:
            for option, (now, whole) in self._narrowed.items():
                words += [option, ",".join(map(str, now))] if now != whole else []
            words += ["-k", self.expression] if self.expression else []
        words += ["--episodes", str(r.episodes)] if r.episodes else []
        words += [word for text in self.settings for word in ("--set", text)]
        rules = r.rules.file if r.rules else ""
        if self.measured:  # which has rules, a configuration and a folder of its own
            words += ["--rules", rules] if rules != self.measured_rules else []
        else:
            words += ["--rules", rules] if rules or r.config.run.rules else []
            words += ["--config", str(self.config)] if self.config not in (None, config_file(None)) else []
            words += self._out
        return words

    def report_words(self) -> list[str]:
        """The command whose report shows what was run: the whole grid, unless some of it lies beside the grid.

        The number of episodes is named: a report shows no more of a cell than its budget has.
        """
        words = ["bench", "report"]
        for option, (now, whole) in self._narrowed.items():
            words += [option, ",".join(map(str, now))] if set(now) - set(whole) else []
        words += ["--episodes", str(self.request.episodes)] if self.request.episodes else []
        return words + self._out

    @property
    def _narrowed(self) -> dict[str, tuple[tuple[Any, ...], tuple[Any, ...]]]:
        """Option -> what is chosen, and what the grid has."""
        r = self.request
        grid = r.config.grids[r.grid]
        return {
            "--method": (r.methods, grid.everyone),
            "--way": (r.ways, grid.ways),
            "--shot": (r.shots, grid.shots),
            "--seed": (r.seeds, grid.seeds),
        }

    @property
    def _out(self) -> list[str]:
        return ["--out", str(self.out)] if self.out != Path(self.request.config.run.out) else []


def data_name(images: str, other: str) -> str:
    """What data are called; other: those with the novel classes, where they are not the ones trained on."""
    return f"{other} (trained on {images})" if other else images


def data_fingerprint(images: str, other: str) -> str:
    """What data are known by; other: as in `data_name`."""
    return images + (f", tested on {other}" if other else "")


def configured(selection: Selection, plain: Iterable[str]) -> Config:
    """The configuration that a selection names, with those of `plain` that are methods without a variant."""
    return grids.with_plain(load(config_file(selection.config), selection.settings), plain)


def choose(
    selection: Selection,
    progress: Callable[[str, int, int], None] | None = None,
    *,
    skip_unusable: bool = False,
    known: Callable[[str, int], ImageSet | None] | None = None,
    decoded: Decoded | None = None,
) -> Chosen:
    """Resolve a selection; opens (and the first time prepares) the data set.

    progress: told what is being prepared, how much is done, of how much
    known: from a data set as it is named and the side of its images (0: as stored) to what need not be opened
    decoded: told of a data set that is prepared now
    skip_unusable: leave out variants whose packages are broken, as long as there are others
    Raises UsageError for an invalid selection, NothingSelected where no cell matches.
    """
    used = config_file(selection.config)
    config = load(used, selection.settings)
    matches = selection.matches
    request, unusable = grids.resolve(config, selection), tuple[str, ...]()
    try:  # a wrong setting must not wait for the data to be decoded
        if skip_unusable:
            request, unusable = grids.without_unusable(request)
        grids.check_settings(request)
    except UsageError as error:
        rest = grids.leaving_out(request, error)
        raise UsageError(f"{called(used, selection.settings)}: {error}{rest}") from None
    source = selection.data or config.data.source
    size = config.data.image_size

    def opened(source: str) -> ImageSet:
        if found := known and known(source, size):
            return found
        if selection.recalled:
            own = load(config_file(None)).data
            if source not in (own.source, own.novel_source):
                raise DataError(f"the data of the last run, {source}, are not known here: name them with --data")
        return open_images(source, cache_folder(), size or None, progress, decoded)

    images = opened(source)
    novel_source = config.data.novel_source if selection.novel_data is None else selection.novel_data
    other = None
    if novel_source:
        novel = opened(novel_source)
        other = novel if novel.fingerprint != images.fingerprint else None
    cells = [cell for cell in grids.cells(request, images, other) if matches(cell.name)]
    if not cells and not selection.expression:
        raise NothingSelected(f"[grids.{request.grid}] has these methods with its first seed alone")
    if not cells:
        raise NothingSelected(
            f"-k {selection.expression!r} matches none of the cells; `bench run -n` lists their names"
        )
    out = selection.out or Path(config.run.out)
    chosen = Chosen(request, images, cells, out, source, used, selection.expression, selection.settings, unusable)
    return replace(chosen, novel_source=novel_source, other=other)
