"""A file in long form (see `exchange.py`) -> a database of its own, which is then merged like any other.

What the file says of how its results were made is kept as what the file says: the run of each row is the import.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from fewshot_bench.data.images import Outline, without_pixels
from fewshot_bench.errors import BenchError, UsageError
from fewshot_bench.experiment.episodes import BANK_VERSION, Sampler, Setting, bank, lack
from fewshot_bench.experiment.records import n_right, unpack_answers
from fewshot_bench.files import as_text, content_of, temporary_folder
from fewshot_bench.results.exchange.export import words_of
from fewshot_bench.results.exchange.long_facts import CellFacts, DataSetFacts, Described, TrainingFacts, describe
from fewshot_bench.results.exchange.long_file import Field, LongFileRow, read_rows
from fewshot_bench.results.provenance import Origin, Provenance, importing_run
from fewshot_bench.results.store.comparing import Comparison
from fewshot_bench.results.store.merging import merge
from fewshot_bench.results.store.schema import data_sets
from fewshot_bench.results.store.scratch import Scratch, scratch
from fewshot_bench.results.store.snapshot import snapshot
from fewshot_bench.results.store.whole import Row
from fewshot_bench.tables.documents import csv_text

AT_ONCE = 5000  # episodes inserted
MOST_PLACES = 10**6  # classes times the images of the largest: what one draw of a stranger's outline may cost
Place = tuple[str, str, Setting, int]  # fingerprint, split, setting, the bank's seed


def merge_file(path: Path, ours: str, provenance: Provenance, *, dry_run: bool = False) -> Comparison:
    """Bring what is missing in the database `ours` from a file, as `merging.merge` does from another database.

    What the file does not say of a cell is taken from ours. The file is read twice, so that its rows may stand in any
    order. Raises UsageError with file, row and column for whatever is wrong in it, DatabaseError as `merge` does.
    """
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file")
    with temporary_folder() as folder:
        theirs = str(folder / "results.sqlite")
        with snapshot(ours, or_empty=True) as known:
            described = describe(path, known)
            outlines = {name: facts.outline for name, facts in described.data_sets.items()}
            outlines |= {row["fingerprint"]: json.loads(row["outline"]) for row in known.all(data_sets).values()}
        with scratch(theirs) as filled:
            _Loader(path, filled, described, provenance, _BankIds(outlines)).load()
        return merge(ours, theirs, dry_run=dry_run)


class _Loader:
    """Fills the scratch database; each method is a step of `load`."""

    def __init__(
        self, path: Path, scratch: Scratch, described: Described, provenance: Provenance, bank_ids: _BankIds
    ) -> None:
        self.bank_ids = bank_ids
        self._path, self._scratch, self._described, self._provenance = path, scratch, described, provenance
        self._source = f"{as_text(path.name)}, SHA-256 {content_of(path)}"
        self._runs: dict[str, int] = {}
        self._trainings = {key: self._training_row(facts) for key, facts in described.trainings.items()}
        self._cells = {key: _Cell(facts, self, path) for key, facts in described.cells.items()}

    def load(self) -> None:
        self._scratch.add("trainings", list(self._trainings.values()))
        self._scratch.add("data_sets", [self._data_set_row(facts) for facts in self._described.data_sets.values()])
        for points in self._described.curves.values():
            self._scratch.add("curves", points)
        self._load_episodes()
        for key, cell in self._cells.items():
            cell.check_numbers()
            self._scratch.add("cells", [cell.row | self._scratch.count(key)])

    def training(self, key: str) -> tuple[Row, TrainingFacts]:
        """A training's row, and what is said of it."""
        return self._trainings[key], self._described.trainings[key]

    def run_id(self, made: Origin | None) -> int:
        """The run that stands for an origin."""
        name = json.dumps(made, sort_keys=True)
        if name not in self._runs:
            self._runs[name] = self._scratch.add_run(importing_run(made, self._source, self._provenance))
        return self._runs[name]

    def _training_row(self, facts: TrainingFacts) -> Row:
        values = {name: value for name, value in facts.values.items() if name != "seed"}
        identity = json.dumps(facts.identity, sort_keys=True)
        return values | {"key": facts.key, "identity": identity, "run_id": self.run_id(facts.run)}

    def _data_set_row(self, facts: DataSetFacts) -> Row:
        named = {"fingerprint": facts.fingerprint, "source": facts.source, "name": facts.outline["name"]}
        return named | {"outline": json.dumps(facts.outline, sort_keys=True), "run_id": self.run_id(facts.run)}

    def _load_episodes(self) -> None:
        episodes: list[Row] = []
        answers: list[Row] = []
        for row in read_rows(self._path):
            cell = self._cells.get(row["cell_key"].text)
            if cell is None:
                raise UsageError(f"{self._path}: it changed while it was read")
            episodes.append(cell.episode(row))
            if labels := cell.answers(row, episodes[-1]):
                answers.append({"cell_key": cell.key, "number": episodes[-1]["number"], "labels": labels})
            if len(episodes) >= AT_ONCE:
                self._scratch.add("episodes", episodes)
                self._scratch.add("answers", answers)
                episodes, answers = [], []
        self._scratch.add("episodes", episodes)
        self._scratch.add("answers", answers)


class _Cell:
    """A cell, and which of its episodes have come."""

    def __init__(self, facts: CellFacts, loader: _Loader, path: Path) -> None:
        training, told = loader.training(facts.training_key)
        self._true_id = partial(loader.bank_ids.id_of, told.identity, facts.identity)
        self.key, self._facts, self._path = facts.key, facts, path
        self.row = facts.values | {
            "key": facts.key,
            "identity": json.dumps(facts.identity, sort_keys=True),
            "training_key": facts.training_key,
            "seed": told.values["seed"],
            "run_id": loader.run_id(facts.run),
        }
        self._words = words_of(self.row, training)
        self._agreed: tuple[str, ...] = ()
        self._starts = [first for first, _ in facts.runs]
        self._runs = [self.row["run_id"], *(loader.run_id(run) for _, run in facts.runs)]
        self._row_of: dict[int, int] = {}  # episode number -> row of the file
        self._number_of: dict[str, int] = {}  # episode id -> number

    def episode(self, row: LongFileRow) -> Row:
        """The row of `episodes` that a row of the file says. Raises UsageError."""
        self._check_words(row)
        number, name = row["number"].integer(), row["episode_id"].key()
        if self._row_of.setdefault(number, row.number) != row.number:
            row["number"].wrong(f"row {self._row_of[number]} has episode {number} of cell {self.key} already")
        if self._number_of.setdefault(name, number) != number:
            row["episode_id"].wrong(f"it is the id of episode {self._number_of[name]} of the same cell already")
        if (true := self._true_id(number)) not in ("", name):
            row["episode_id"].wrong(f"episode {number} of these data is {true}: these results are of others")
        n_correct, n_queries = row["n_correct"].integer(), row["n_queries"].integer()
        if n_queries != self._facts.n_queries:
            n_way, n_query = self.row["n_way"], self.row["n_query"]
            row["n_queries"].wrong(f"{n_queries} should be {n_way * n_query}: {n_way} classes, {n_query} queries each")
        if n_correct > n_queries:
            row["n_correct"].wrong(f"{n_correct} of {n_queries} queries cannot be right")
        return {
            "cell_key": self.key,
            "number": number,
            "episode_id": name,
            "n_correct": n_correct,
            "n_queries": n_queries,
            "run_id": self._runs[bisect_right(self._starts, number)],
        }

    def answers(self, row: LongFileRow, episode: Row) -> bytes:
        """The answers that a row of the file has, which must be those that were counted. Raises UsageError."""
        place = row.get("answers")
        if place is None:
            return b""
        packed, n_way, n_queries = place.answers(), self.row["n_way"], episode["n_queries"]
        n_bytes = n_queries * unpack_answers(b"", n_way).itemsize
        if len(packed) != n_bytes:
            place.wrong(f"it has {len(packed)} bytes, but the answers to {n_queries} queries are {n_bytes}")
        labels = unpack_answers(packed, n_way)
        if labels.max() >= n_way:
            place.wrong(f"label {labels.max()} in a {n_way}-way episode")
        if (right := n_right(labels, n_way)) != episode["n_correct"]:
            place.wrong(
                f"{right} of the answers are right, but n_correct is {episode['n_correct']}; "
                "drop the column answers if the counts are not those of these answers (simulated, for example)"
            )
        return packed

    def check_numbers(self) -> None:
        """Raise UsageError for a gap in the numbers of the episodes."""
        missing = next((i for i in range(len(self._row_of)) if i not in self._row_of), None)
        if missing is not None:
            row = self._row_of[min(number for number in self._row_of if number > missing)]
            Field(self._path, row, "number", "").wrong(
                f"cell {self.key} has no episode {missing}: its numbers must be 0, 1, 2, ... without a gap"
            )

    def _check_words(self, row: LongFileRow) -> None:
        said = row.texts(self._words)
        if said == self._agreed:  # as on the row before
            return
        for name, value in self._words.items():
            place, text = row.get(name), str(value).strip()
            if place is None or place.text in (text, csv_text(text)):
                continue
            if not isinstance(value, int) or place.integer() != value:
                place.wrong(f"{place.text[:40]!r} should be {text!r}, as its facts (or the database) say")
        self._agreed = said


class _BankIds:
    """Which episodes the data have under which number, where their outline is known: what a file may not contradict."""

    def __init__(self, outlines: Mapping[str, Outline]) -> None:
        """outlines: by fingerprint."""
        self._outlines = outlines
        self._samplers: dict[Place, Sampler | None] = {}
        self._ids: dict[tuple[Place, int], str] = {}

    def id_of(self, training: Mapping[str, Any], cell: Mapping[str, Any], number: int) -> str:
        """Of episode `number` of a cell, from the two identities; empty where nothing here can say it."""
        setting, (version, seed) = Setting(**cell["setting"]), cell["bank"]
        place = (cell.get("novel", training["fingerprint"]), cell["split"], setting, seed)
        if version != BANK_VERSION or place[0] not in self._outlines:
            return ""
        if place not in self._samplers:
            self._samplers[place] = self._sampler(*place)
        sampler = self._samplers[place]
        if sampler and (place, number) not in self._ids:
            self._ids[place, number] = sampler.draw(number, setting).id
        return self._ids.get((place, number), "")

    def _sampler(self, fingerprint: str, split: str, setting: Setting, seed: int) -> Sampler | None:
        images = without_pixels(fingerprint, self._outlines[fingerprint])
        try:
            novel = images.split(split).novel
        except BenchError:
            return None
        if lack(images, novel, setting, "novel classes"):
            return None
        most = max(len(images.images_of_class[c]) for c in novel)
        cheap = len(novel) * most <= MOST_PLACES
        return bank(images, split, setting.n_way, setting.n_query, seed) if cheap else None
