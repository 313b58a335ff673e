"""A cell of a rendered table against what is stored under its keys, computed as tables compute it."""

from collections.abc import Iterator, Mapping
from typing import Any

from fewshot_bench.tables.scores import CellScore, Experiment
from fewshot_bench.tables.summary import Cell, cell_of
from fewshot_bench.tables.verify.finding import Finding, edited, misquoted, stale, unknown
from fewshot_bench.tables.wording import accuracy, cell_name

CLOSE = 1e-9  # between a number in the facts and the same one computed again

# what a table says around its cells is not asked for here
NO_MATTER = Experiment(
    dataset="", dataset_note="", fingerprint="", split="", n_base_classes=0, n_novel_classes=0, image_shape=(0, 0, 0),
    images_per_novel_class=0, protocol="", protocol_note="", budget="", backbone="", norms={}, n_query=0, command="",
)  # fmt: skip


def place_of(facts: Mapping[str, Any]) -> tuple[str, int, int]:
    """(variant, n_way, n_shot) of a cell's facts."""
    return facts["variant"], facts["n_way"], facts["n_shot"]


def against_database(
    facts: Mapping[str, Any], line: int, stored: Mapping[str, CellScore], n_wanted: int | None
) -> Iterator[Finding]:
    """At most one finding about a cell whose facts are what is seen.

    stored: every cell of the database by key, with the episodes of those that are asked for
    n_wanted: how many episodes its table would show now; None for all that are stored
    """
    name, seen, keys = cell_name(*place_of(facts)), facts["shown"], facts["keys"]
    if seen != (own := accuracy(facts["mean"], facts["half_width"], facts.get("interval"))):
        yield misquoted(line, name, "shown", seen or "no number", own or "no number", "its mean and interval are")
        return
    absent = [key for key in keys if key not in stored]
    if absent or not keys:
        if facts["mean"] is not None:
            yield unknown(line, name, seen, f"its key {absent[0]} is not in this database" if absent else "has no key")
        return
    others = [stored[key] for key in keys if not _is_of(stored[key], facts, stored)]
    if others:
        yield edited(line, name, seen, cell_name(*others[0].place[:3]), f"its key {others[0].key} is that of")
        return
    cell = _restate(facts, stored, n_wanted)
    now = accuracy(cell.mean, cell.half_width, cell.interval)
    wrong = _misquoted(facts, cell)
    if now != seen:
        yield stale(line, name, seen, f"{now} ({cell.n_episodes} episodes)" if now else "no number")
    elif facts["n"] != cell.n_episodes and wrong:
        yield stale(line, name, f"{seen} (n {facts['n']})", f"{now} (n {cell.n_episodes})")
    elif facts["n"] != cell.n_episodes:
        yield misquoted(line, name, "n", facts["n"], cell.n_episodes)
    elif wrong:
        yield misquoted(line, name, *wrong)


def _is_of(score: CellScore, facts: Mapping[str, Any], stored: Mapping[str, CellScore]) -> bool:
    """Whether a stored cell is the one that the facts speak of.

    A cell may have been stored under another variant's name, where two are one and the same; but not where that
    name has a result of its own in the setting.
    """
    place = place_of(facts)
    if score.place[:3] == place:
        return True
    return score.place[1:3] == place[1:] and not any(other.place[:3] == place for other in stored.values())


def _restate(facts: Mapping[str, Any], stored: Mapping[str, CellScore], n_wanted: int | None) -> Cell:
    """The cell over its first episodes: as many as it was shown with, more where more are wanted and stored."""
    scores = [stored[key] for key in facts["keys"]]
    n_stored = min(len(score.episodes) for score in scores)
    n_asked = n_stored if n_wanted is None else max(n_wanted, facts["n"])
    still_failed = n_wanted is None and facts["mean"] is None
    return cell_of(
        [
            CellScore(
                *place_of(facts),
                seed=seed,
                key=score.key,
                state="failed" if score.reason and (n_stored < n_asked or still_failed) else "done",
                reason=score.reason,
                episodes=score.episodes[:n_asked] if n_stored else (),
            )
            for seed, score in enumerate(scores)
        ]
    )


def _misquoted(facts: Mapping[str, Any], cell: Cell) -> tuple[str, float | None, float | None] | None:
    """The first number behind the shown ones that is not the cell's: its name, what it says, what it should."""
    for name, true in (("mean", cell.mean), ("sd", cell.deviation), ("half_width", cell.half_width)):
        said = facts[name]
        if said != true and not (said is not None and true is not None and abs(said - true) <= CLOSE):
            return name, said, true
    return None
