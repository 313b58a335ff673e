"""What the report says in words: the answer, what was measured, and the list of facts."""

import shlex
from collections import Counter

from fewshot_bench.tables.pairs import compared
from fewshot_bench.tables.summary import Row, Table
from fewshot_bench.tables.wording import counted, joined, span

NARROWING = ("--method", "--way", "--shot", "--seed", "-k")  # options of `bench run`, each with its value
NARROWING_TO_ONE = ("--method", "METHOD", "--way", "WAY", "--shot", "SHOT", "--seed", "SEED")
NUMBERS = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]


def answer(table: Table) -> str:
    """One sentence: on what, after which training, and by which tests, who has the highest mean accuracy how often."""
    experiment, rows = table.experiment, [row for row in table.rows if any(cell.best for cell in row.cells)]
    seeds = counted(table.seeds, "training seed")
    tested = any(comparison.p is not None for comparison in table.comparisons)
    scope = f"with {experiment.n_novel_classes} novel classes, {seeds} and {experiment.spent}"
    place = f"{_so_far(table)}n {experiment.dataset}, {scope}"
    if not rows:
        return f"{place}, no two methods can be compared yet."
    wins = Counter(cell.variant for row in rows for cell in row.cells if cell.best).most_common()
    told = [f"{variant} in {count}" for variant, count in wins]
    kind = "setting" if len(rows) == len(table.rows) else "comparable setting"
    told[0] = f"{wins[0][0]} has the highest mean accuracy in {wins[0][1]} of {counted(rows, kind)}"
    outcome = f"{place}, {joined(told)}"
    if not tested:
        return f"{outcome}; nothing could be tested."
    clear = sum(_stands_apart(row, table) for row in rows)
    return (
        f"{outcome}; in {_number(clear) if clear else 'none'} of them the highest is significantly above all others "
        f"(paired tests on the same tasks, corrected for all pairs of a setting, 5\u00a0%; "
        f"{compared(table.comparisons)})."
    )


def measured(table: Table) -> tuple[str, ...]:
    """Plain paragraphs: what was measured and how, and what limits what may be said of it."""
    experiment = table.experiment
    paragraphs = [_measured(table), experiment.pretraining]
    if share := experiment.published_share:
        paragraphs.append(f"The models had {share} of their published training: with more, others may be the highest.")
    return tuple(paragraph for paragraph in paragraphs if paragraph)


def facts(table: Table) -> tuple[tuple[str, str], ...]:
    """Name and value of everything that identifies the run; the stored facts come last."""
    experiment = table.experiment
    channels, height, width = experiment.image_shape
    classes = f"{experiment.n_base_classes} base, {experiment.n_novel_classes} novel classes"
    norms = ", ".join(f"{variant}: {norm}" for variant, norm in experiment.norms.items())
    known = {
        "data set": experiment.dataset,
        "data fingerprint": experiment.fingerprint,
        "split": f"{experiment.split}: {classes}",
        "images": f"{channels} × {height} × {width}, {experiment.images_per_novel_class} a novel class",
        "protocol": f"{experiment.protocol}: {experiment.protocol_note}",
        "budget": experiment.budget,
        "rule of fitting": experiment.fitting,
        "backbone": experiment.backbone,
        "augmentation in training": experiment.augmentation or "none",
        "normalisation at test": norms,
        "queries": f"{experiment.n_query} a class",
        "seeds": ", ".join(map(str, table.seeds)),
    }
    return tuple((known | experiment.facts).items())


def for_one_number(command: str) -> str:
    """The command that makes one number of what a `bench run` makes; empty for another command."""
    try:
        words = shlex.split(command)
    except ValueError:  # an open quotation mark
        words = []
    if words[:2] != ["bench", "run"]:
        return ""
    kept = words[:2]
    for option, value in zip(words[2::2], words[3::2], strict=False):
        kept += [] if option in NARROWING else [option, value]
    return shlex.join([*kept, *NARROWING_TO_ONE])


def _measured(table: Table) -> str:
    experiment = table.experiment
    ways = joined([str(way) for way in table.ways])
    counts = joined([str(count) for count in sorted({row.n_shot for row in table.rows})])
    low, high = table.n_episodes
    tasks = f"the mean over {span(low, high)} task{'' if high == 1 else 's'}" if high else "a mean over tasks"
    alike = all(row.n_episodes[0] == row.n_episodes[1] for row in table.rows)
    faced = "every method faced the same tasks" if alike else "methods are compared on the tasks that they share"
    plural = "" if len(table.variants) == 1 else "s"
    seen = "may have" if experiment.pretraining else "had never"
    beside = f"; the table after it has the same under {table.beside.experiment.fitting}" if table.beside else ""
    return (
        f"{_number(len(table.variants)).capitalize()} way{plural} of preparing a model, compared on "
        f"{experiment.dataset}. Each model was trained on {experiment.n_base_classes} classes, then asked to "
        f"tell apart {ways} classes that it {seen} seen, from {counts} example images of each. Each "
        f"number below is {tasks} of the share of {experiment.n_query} other images a class that it named "
        f"correctly; {faced}. To each task models were fitted by {experiment.fitting}{beside}. "
        f"{experiment.protocol_note}"
    )


def _stands_apart(row: Row, table: Table) -> bool:
    """Whether one cell is best and every other was tested against it and is significantly worse."""
    best = {cell.variant for cell in row.cells if cell.best}
    losers = {
        test.loser
        for test in table.comparisons
        if (test.n_way, test.n_shot) == (row.n_way, row.n_shot) and {test.first, test.second} & best
    }
    return len(best) == 1 and losers >= set(table.variants) - best


def _so_far(table: Table) -> str:
    """How the sentence begins: with what is not there, where the grid is not complete."""
    states = Counter(cell.state for cell in table.cells)
    absent = [f"{states[state]} {state}" for state in ("partial", "failed", "missing") if states[state]]
    n_cells = len(table.cells)
    return f"So far, with {states['done']} of {n_cells} cells complete ({', '.join(absent)}), o" if absent else "O"


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)
