"""`bench run --until separated`: episodes are added look by look until every pair of variants is told apart."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import click

from fewshot_bench.cli import until_text as text
from fewshot_bench.cli.options import Chosen
from fewshot_bench.cli.session import SOME_FAILED, STOPPED, Means, Session, ending, plan_of, reader_if_any
from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.tables.separation import Place, begin, look, open_places
from fewshot_bench.tables.statistics.sequential import planned_looks

if TYPE_CHECKING:
    from fewshot_bench.cli.screen import Screen
    from fewshot_bench.experiment.identity import Cell

TIMES = 8  # the first look's episodes, where no maximum is named


class Separation:
    """Pairs of variants, and the looks planned for each setting.

    A run begins at the first look, whatever is stored: decisions are made again from the same episodes, and only what
    is missing is computed.
    """

    def __init__(self, chosen: Chosen, max_episodes: int | None) -> None:
        self.chosen = chosen
        self.looks = {_place(cell): _looks(cell, max_episodes) for cell in chosen.cells}
        keys: dict[tuple[str, int, int], list[str]] = {}
        for cell in chosen.cells:
            keys.setdefault((cell.variant, *_place(cell)), []).append(cell.key)
        self.contests = begin(keys, self.looks)
        if not self.contests:
            raise NothingSelected("--until separated compares variants: choose at least two")

    def run(self, means: Means, screen: Screen, *, retry_failed: bool, as_json: bool) -> int:
        """Look by look; returns the exit code."""
        failed: set[str] = set()  # keys of cells: within one run they are tried once
        now = self.chosen
        for number in range(1, max(map(len, self.looks.values())) + 1):
            todo = dataclasses.replace(now, cells=[cell for cell in now.cells if cell.key not in failed])
            plan = plan_of(todo, retry_failed)
            if plan.todo:
                screen.line(text.before(number, plan))
                session = Session(todo, plan, screen, as_json)
                code = session.run(means)
                if code in STOPPED or session.n_lost:  # something is missing without a reason: no decision
                    screen.line(ending(code, session))
                    return code
            failed |= {p.cell.key for p in plan_of(todo).cells if p.state == "failed"}
            results = now.results()
            self.contests = look(self.contests, results)
            screen.line(text.after(number, self.contests))
            if as_json:
                click.echo(json.dumps(text.document(number, self.contests, results.experiment)))
            if not open_places(self.contests):
                break
            now = self._at_next_look()
        screen.line(text.ending(self.contests, results))
        return SOME_FAILED if failed else 0

    def show_looks(self, as_json: bool) -> None:
        """What is planned, for -n."""
        if as_json:
            click.echo(json.dumps(text.planned_document(self.contests)))
        else:
            click.echo("\n" + text.planned(self.contests, self._most_seconds()))

    def _at_next_look(self) -> Chosen:
        """The cells of the settings that need one."""
        places = open_places(self.contests)
        taken = {contest.place: len(contest.estimates) for contest in self.contests}
        cells = [
            dataclasses.replace(cell, n_episodes=self.looks[_place(cell)][taken[_place(cell)]])
            for cell in self.chosen.cells
            if _place(cell) in places
        ]
        return dataclasses.replace(self.chosen, cells=cells)

    def _most_seconds(self) -> float | None:
        """Of testing, if every setting goes to its last look; None where the database does not tell."""
        from fewshot_bench.experiment.plan import expected

        reader = reader_if_any(self.chosen.database)
        if reader is None:
            return None
        cells = [dataclasses.replace(c, n_episodes=self.looks[_place(c)][-1]) for c in self.chosen.cells]
        plan = plan_of(dataclasses.replace(self.chosen, cells=cells))
        seconds = [testing for _, testing in expected(plan, reader.cells(), reader.trainings()).values()]
        return None if None in seconds else sum(s for s in seconds if s is not None)


def _looks(cell: Cell, max_episodes: int | None) -> tuple[int, ...]:
    most = max_episodes or TIMES * cell.n_episodes
    if most < cell.n_episodes:
        raise UsageError(
            f"--max-episodes {most} is fewer than the {cell.n_episodes} of the first look at {cell.setting}"
        )
    return planned_looks(cell.n_episodes, most)


def _place(cell: Cell) -> Place:
    return cell.setting.n_way, cell.setting.n_shot
