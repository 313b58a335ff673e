"""What `bench merge` and `bench import` say."""

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from fewshot_bench.errors import DatabaseError
from fewshot_bench.results.store.comparing import Comparison, EpisodeConflict
from fewshot_bench.running import merging
from fewshot_bench.running.weights import Brought
from fewshot_bench.tables.wording import counted

SHOWN = 20  # conflicts listed one by one; --json has them all


def merged(other: str, out: Path, *, dry_run: bool, as_json: bool) -> Iterator[str]:
    """Merge another database into that of `out`. Raises DatabaseError, after saying why, where it contradicts ours."""
    found, brought = merging.merge(other, out, dry_run=dry_run)
    yield from _told(other, found, brought, "would merge" if dry_run else "merged", as_json=as_json)


def imported(file: Path, out: Path, command: str, *, dry_run: bool, as_json: bool) -> Iterator[str]:
    """Merge a file of exported results; see `merged`. command: what the user typed, for the record."""
    found, brought = merging.import_file(file, out, command, dry_run=dry_run)
    yield from _told(str(file), found, brought, "would import" if dry_run else "imported", as_json=as_json)


def _told(other: str, found: Comparison, brought: Brought, done: str, *, as_json: bool) -> Iterator[str]:
    """What a merge did (`done` is its verb), or the conflicts that forbade it, and then DatabaseError."""
    if as_json:
        facts = {"forbidden": found.forbidden, "anything_new": found.anything_new}
        yield json.dumps(dataclasses.asdict(found) | facts | {"checkpoints": dataclasses.asdict(brought)})
    elif found.forbidden:
        yield "\n".join(_conflict_lines(found))
    else:
        yield "\n".join([_summary(found, done), *_notes(found), *_weights_notes(found, brought)])
    if found.forbidden:
        raise DatabaseError(f"{other} contradicts our results: {_count_conflicts(found)}; nothing was changed")


def _summary(found: Comparison, done: str) -> str:
    n = {state: sum(cell.state == state for cell in found.cells) for state in ("new", "extended", "equal")}
    n_proved = found.proof.n_in_equal_cells
    proved = f" (proved on {counted(n_proved, 'episode')})" if n_proved else ""
    if not found.anything_new:
        return f"{done}: nothing new; {counted(n['equal'], 'cell')} equal{proved}"
    return f"{done}: {counted(n['new'], 'cell')} new, {n['extended']} extended, {n['equal']} equal{proved}"


def _notes(found: Comparison) -> list[str]:
    proof = found.proof
    n_answers = sum(len(cell.new_answers) for cell in found.cells)
    n_other = sum(cell.n_other_answers for cell in found.cells)
    states = Counter(found.trainings.values())
    notes = []
    if states["new"] or states["replaced"]:
        replaced = f", {states['replaced']} in place of one without results" if states["replaced"] else ""
        notes.append(f"trainings: {states['new']} new{replaced}")
    if proof.n_proved:
        where = "across machines" if len(proof.machines) > 1 else "on one kind of machine"
        n_episodes = counted(proof.n_proved, "episode")
        notes += [
            f"a reproducibility measurement {where}: {n_episodes}, each measured by two runs, with equal counts",
            f"  measured on: {'; '.join(proof.machines)}",
        ]
    if proof.n_weights:
        notes.append(f"{counted(proof.n_weights, 'training')}, made by two runs, with bit-identical weights")
    if proof.n_copied:
        copied = counted(proof.n_copied, "equal episode")
        notes.append(f"{copied} of the same run on both sides, which is no independent evidence")
    if proof.n_unknown:
        notes.append(f"{counted(proof.n_unknown, 'equal episode')} of unknown origin, which is no independent evidence")
    if n_other:
        notes.append(f"{counted(n_other, 'episode')} with equal counts, but other answers to single queries: ours stay")
    if found.n_other_weights:
        notes.append(f"{counted(found.n_other_weights, 'training')} with other weights there, not taken: ours stay")
    if n_answers:
        notes.append(f"answers to the queries of {counted(n_answers, 'episode')} added, where we had kept only counts")
    return notes


def _weights_notes(found: Comparison, brought: Brought) -> list[str]:
    notes = [f"weights of {counted(len(brought.copied), 'training')} copied"] if brought.copied else []
    if brought.missing and found.anything_new:
        which = counted(len(brought.missing), "training")
        notes.append(f"no weights came for {which}: `bench replay` of such cells will need --retrain")
    return notes


def _conflict_lines(found: Comparison) -> list[str]:
    width = max((len(conflict.cell) for conflict in found.conflicts), default=0)
    lines = [_conflict_line(conflict, width) for conflict in found.conflicts]
    for conflict in found.weights_conflicts:
        weights = f"weights {conflict.ours[:12]} here, {conflict.theirs[:12]} there"
        more = f" and {len(conflict.cells) - 1} more" if len(conflict.cells) > 1 else ""
        lines.append(f"training {conflict.training}  {weights}; would mix in {conflict.cells[0]}{more}")
    rest = len(lines) - SHOWN
    return [*lines[:SHOWN], f"... and {rest} more; --json lists them all"] if rest > 0 else lines


def _conflict_line(conflict: EpisodeConflict, width: int) -> str:
    (our_id, *ours), (their_id, *theirs) = conflict.ours, conflict.theirs
    ids = our_id if our_id == their_id else f"{our_id} here, {their_id} there"
    return (
        f"{conflict.cell:<{width}}  episode {conflict.number:>4}  {ids}  "
        f"ours {ours[0]}/{ours[1]}  theirs {theirs[0]}/{theirs[1]}"
    )


def _count_conflicts(found: Comparison) -> str:
    parts = []
    if found.conflicts:
        n_cells = len({conflict.key for conflict in found.conflicts})
        n_equal = found.proof.n_proved + found.proof.n_copied + found.proof.n_unknown
        where = f"of {counted(n_cells, 'cell')} with other counts ({n_equal:,} with equal ones)"
        parts.append(f"{counted(len(found.conflicts), 'episode')} {where}")
    if found.weights_conflicts:
        parts.append(f"{counted(len(found.weights_conflicts), 'training')} with other weights")
    return " and ".join(parts)
