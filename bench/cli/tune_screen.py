"""What `bench tune` shows: what is tried, how far it is, what was chosen."""

from pathlib import Path

import click

from fewshot_bench.cli.dry_run import cost_text
from fewshot_bench.cli.output import written
from fewshot_bench.cli.run_screen import RunScreen
from fewshot_bench.errors import UsageError
from fewshot_bench.experiment.selection import Means, Selection
from fewshot_bench.running.pace import cost_of
from fewshot_bench.running.recording import plan_of
from fewshot_bench.running.tuning import Score, Tuning, best_of, document, tuning_of
from fewshot_bench.tables.wording import accuracy, padded


class TuneScreen(RunScreen):
    """The screen of one `bench tune`."""

    def tune(self, selection: Selection, means: Means, output: Path, *, dry_run: bool) -> int:
        """Try what was not tried yet, and write the rules chosen; returns the exit code."""
        if not output.absolute().parent.is_dir():  # before the hours that it takes, not after them
            raise UsageError(f"{output}: its folder is not there: make it, or name another file with -o")
        tuning = tuning_of(selection, self.preparing, self.decoded)
        if dry_run:
            plan = plan_of(tuning.chosen, retry_failed=means.retry_failed)
            click.echo(f"{_extent(tuning)}\n{cost_text(cost_of(tuning.chosen, plan, means, self.preparing))}")
            return 0
        plan = self._planned(tuning.chosen, means)
        if plan.todo:
            outcome = self._do(tuning.chosen, plan, means)
            self.line(self._ending(outcome))
            if outcome.code:
                return outcome.code
        scores = tuning.scores()
        with written(output) as file:
            file.write(document(tuning, scores).encode())
        for score in best_of(scores):
            click.echo(_line(score))
        self.line(f"{output} is written. Use it: bench run --rules {output}")
        return 0


def _line(score: Score) -> str:
    c = score.candidate
    rule = ", ".join(f"{name} {value}" for name, value in c.rule.items())
    came_to = accuracy(score.accuracy, score.half_width, score.interval)
    return f"{padded(c.variant, 16)} {c.n_way:>3}-way {c.group:<5} {came_to:>16}  {rule}"


def _extent(tuning: Tuning) -> str:
    cells = [cell for candidate in tuning.candidates for cell in candidate.cells]
    n_pairs = len({(c.variant, c.n_way, c.group) for c in tuning.candidates})
    return (
        f"{len(tuning.candidates)} candidates for {n_pairs} pairs of a method and a group of settings; "
        f"{sum(cell.n_episodes for cell in cells)} episodes of {len(cells)} cells, "
        f"{len({cell.training.key for cell in cells})} trainings on split {tuning.chosen.request.split}"
    )
