"""What the report says in words: the opening paragraphs and the list of facts."""

from collections import Counter

from fewshot_bench.tables.sheet import span
from fewshot_bench.tables.summary import Table

NUMBERS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def opening(table: Table) -> tuple[str, ...]:
    """Plain paragraphs: what was measured, on what, what came out, and what is not there."""
    paragraphs = (_measured(table), table.experiment.dataset_note, _outcome(table), _gaps(table))
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
        "backbone": experiment.backbone,
        "normalisation at test": norms,
        "queries": f"{experiment.n_query} a class",
        "seeds": ", ".join(map(str, table.seeds)),
    }
    return tuple((known | experiment.facts).items())


def _measured(table: Table) -> str:
    experiment = table.experiment
    ways = _listed([str(way) for way in table.ways])
    counts = _listed([str(count) for count in sorted({row.n_shot for row in table.rows})])
    low, high = table.n_episodes
    tasks = f"the mean over {span(low, high)} tasks" if high else "a mean over tasks"
    plural = "" if len(table.variants) == 1 else "s"
    return (
        f"{_number(len(table.variants)).capitalize()} way{plural} of preparing a model, compared on "
        f"{experiment.dataset}. Each model was trained on {experiment.n_base_classes} classes, then asked to "
        f"tell apart {ways} classes that it had never seen, from {counts} example images of each. Each "
        f"number below is {tasks} of the share of {experiment.n_query} other images a class that it named "
        f"correctly; every method faced the same tasks. {experiment.protocol_note}"
    )


def _outcome(table: Table) -> str:
    """Who has the highest mean how often; says nothing of significance because nothing was tested."""
    rows = [row for row in table.rows if any(cell.best for cell in row.cells)]
    if not rows:
        return ""
    wins = Counter(cell.variant for row in rows for cell in row.cells if cell.best)
    told = [f"{variant} in {count}" for variant, count in wins.most_common()]
    settings = "setting" if len(rows) == 1 else "settings"
    return (
        f"Highest mean accuracy, of {len(rows)} {settings}: {_listed(told)}. "
        "Where intervals overlap widely, the order may be chance."
    )


def _gaps(table: Table) -> str:
    states = Counter(cell.state for cell in table.cells)
    absent = [f"{states[state]} {state}" for state in ("partial", "failed", "missing") if states[state]]
    return f"Not complete: of {len(table.cells)} cells, {_listed(absent)}." if absent else ""


def _listed(parts: list[str]) -> str:
    """ "a, b and c"."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def _number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)
