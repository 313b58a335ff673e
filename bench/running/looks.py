"""`bench run --until separated`: episodes are added in planned interim analyses until every pair is decided."""

import dataclasses
from collections.abc import Callable

from fewshot_bench.errors import NothingSelected, UsageError
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.experiment.identity import Cell
from fewshot_bench.experiment.plan import Plan
from fewshot_bench.results.collect import results
from fewshot_bench.running.recording import SOME_FAILED, Outcome, history_of, plan_of, plan_to_run
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.separation import Place, begin, look, open_places
from fewshot_bench.tables.statistics.sequential import planned_looks

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

    def run(
        self,
        work: Callable[[int, Chosen, Plan], Outcome],
        tell: Callable[[int, Results, bool], None],
        *,
        retry_failed: bool = False,
    ) -> int:
        """Look by look; returns the exit code.

        work: does what a look (its number) needs
        tell: is told of each look that was taken, with what is stored, and whether it was the last one
        """
        failed: set[str] = set()  # keys of cells: within one run they are tried once
        now, last = self.chosen, max(map(len, self.looks.values()))
        for number in range(1, last + 1):
            todo = dataclasses.replace(now, cells=[cell for cell in now.cells if cell.key not in failed])
            plan = plan_to_run(todo, retry_failed=retry_failed)
            if plan.todo:
                outcome = work(number, todo, plan)
                if outcome.stopped or outcome.n_lost:  # something is missing without a reason: no decision
                    return outcome.code
            failed |= {p.cell.key for p in plan_of(todo).cells if p.state == "failed"}
            stored = results(now, with_answers=True)
            self.contests = look(self.contests, stored)
            is_last = number == last or not open_places(self.contests)
            tell(number, stored, is_last)
            if is_last:
                break
            now = self._at_next_look()
        return SOME_FAILED if failed else 0

    def most_seconds(self) -> float | None:
        """Of testing, if every setting goes to its last look; None where the database does not tell."""
        cells = [dataclasses.replace(c, n_episodes=self.looks[_place(c)][-1]) for c in self.chosen.cells]
        plan = plan_of(dataclasses.replace(self.chosen, cells=cells))
        seconds = [testing for _, testing in history_of(self.chosen.database).expected(plan).values()]
        return None if None in seconds else sum(s for s in seconds if s is not None)

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


def _looks(cell: Cell, max_episodes: int | None) -> tuple[int, ...]:
    most = max_episodes or TIMES * cell.n_episodes
    if most < cell.n_episodes:
        raise UsageError(
            f"--max-episodes {most} is fewer than the {cell.n_episodes} of the first analysis at {cell.setting}"
        )
    return planned_looks(cell.n_episodes, most)


def _place(cell: Cell) -> Place:
    return cell.setting.n_way, cell.setting.n_shot
