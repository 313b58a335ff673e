"""The section of docs/results.md on 84x84 pixels: does this code land where careful trainings by others land?"""

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_stored, shipped
from fewshot_bench.tables.scores import CellScore, Results, cells_by_place, quantum, shared_accuracies
from fewshot_bench.tables.statistics.estimate import Estimate, of_episodes
from fewshot_bench.tables.summary import Cell, Ends, summarise
from fewshot_bench.tables.wording import accuracy, counted, percent, points, rough_duration, shots

BANDS = Path(__file__).with_name("bands.toml")
NAMES = ("miniimagenet-84", "miniimagenet-84aug", "miniimagenet-84meta")
WHOLE, HALF, NOVEL, VALIDATION = "calibration", "half", "ravi", "ravi-val"  # budgets and splits
WAYS, SHOTS = 5, (1, 5)


def section() -> list[str]:
    """The lines of the section."""
    tables = [_stored(name, WHOLE, NOVEL) for name in NAMES]
    measured = {place: cell for table in tables for place, cell in _by_place(table).items()}
    bands = tomllib.loads(BANDS.read_text(encoding="utf-8"))["bands"]
    e, n_episodes = tables[0].experiment, {cell.n_episodes for cell in measured.values()}
    return [
        f"{e.dataset}, {e.image_shape[1]} × {e.image_shape[2]} pixels, split `{e.split}` ({e.n_base_classes} base and "
        f"{e.n_novel_classes} novel classes), {WAYS}-way; {max(n_episodes)} episodes, {_seeds(tables)}. "
        + " ".join(
            f"{', '.join(f'`{v}`' for v in t.variants)}: {t.experiment.model}, {t.experiment.spent}." for t in tables
        ),
        "",
        "| | 1 shot | others report | meets it | 5 shots | others report | meets it |",
        "|:---|---:|:---|:---|---:|:---|:---|",
        *(
            f"| `{variant}` | "
            + " | ".join(_against(measured[variant, shot], _range(band["reported"], i)) for i, shot in enumerate(SHOTS))
            + " |"
            for band in bands
            for variant in band["ours"]
        ),
        "",
        "In %, ± 95 % over episodes; whether that interval meets the range that others report, or by how many points "
        "it lies below (-) or above (+) that range, which is",
        "",
        *(f"- `{variant}`: {b['like']} of {'; '.join(r['source'] for r in b['reported'])}. Ours differs in: {what}."
          for b in bands for variant, what in b["ours"].items()),
        "",
        "Has training gone far enough? After half of these updates, and after all of them, on the classes for "
        f"validation (split `{VALIDATION}`) and on the novel ones (differences before rounding, ± 95 % over the same "
        "episodes). A training of half as many is one of its own where rates fall to its end, as Reptile's outer step "
        "does:",
        "",
        "| | " + " | ".join(f"{split}, {shots(shot)}" for split in (VALIDATION, NOVEL) for shot in SHOTS) + " |",
        "|:---|" + "---:|" * 4,
        *_curves(),
        "",
        "All of the published training (`bench run --config tables/measured/NAME.toml --data miniimagenet "
        "--budget paper`) would take, at the pace of these trainings, which shared their cards with others: "
        + "; ".join(f"`{name}`: {_whole_training(table)}" for name, table in zip(NAMES, tables, strict=True))
        + ".",
    ]  # fmt: skip


@cache
def _stored(name: str, budget: str, split: str) -> Results:
    return results(choose_stored(replace(shipped(name), budget=budget, split=split)), with_answers=True)


def _seeds(tables: Sequence[Results]) -> str:
    return counted({cell.seed for table in tables for cell in table.cells if cell.episodes}, "training seed")


def _whole_training(stored: Results) -> str:
    """How long each training of a table would take if it had as many updates as are published."""
    each, devices = [], {cost.device for cost in stored.trainings}
    for cost in stored.trainings:
        share, _ = stored.experiment.shares[cost.variants[0]]
        each.append(f"{', '.join(f'`{v}`' for v in cost.variants)} {rough_duration(cost.seconds * 100 / share)}")
    return f"{', '.join(each)} of an {' and an '.join(devices)}"


def _by_place(stored: Results) -> dict[tuple[str, int], Cell]:
    """(variant, n_shot) -> its cell."""
    return {(cell.variant, cell.n_shot): cell for cell in summarise(stored).cells}


def _range(reported: Sequence[Mapping[str, Sequence[float]]], place: int) -> Ends:
    """The lowest and the highest accuracy that others report, fractions."""
    found = [entry["accuracy"][place] / 100 for entry in reported]
    return min(found), max(found)


def _against(cell: Cell, band: Ends) -> str:
    (low, high), (bottom, top) = band, cell.ends or (0.0, 1.0)
    where = "yes" if bottom <= high and top >= low else f"no, {points(top - low if top < low else bottom - high)}"
    return f"{accuracy(cell.mean, cell.half_width, cell.interval)} | {percent(low)} to {percent(high)} | {where}"


def _curves() -> list[str]:
    """A line a variant, and which of them still rise."""
    lines, rising = [], dict[str, bool]()
    for name in NAMES:
        halves, wholes = ([cells_by_place(_stored(name, b, s)) for s in (VALIDATION, NOVEL)] for b in (HALF, WHOLE))
        for variant in _stored(name, HALF, VALIDATION).variants:
            gains = [
                _gain(*half[variant, WAYS, s], *whole[variant, WAYS, s])
                for half, whole in zip(halves, wholes, strict=True)
                for s in SHOTS
            ]
            if any(gain for _, gain in gains):
                lines.append(f"| `{variant}` | " + " | ".join(text for text, _ in gains) + " |")
            validated = [gain for _, gain in gains[: len(SHOTS)] if gain]
            if validated:
                rising[variant] = any(gain.mean > gain.half_width() for gain in validated)
    some, others = (", ".join(f"`{v}`" for v in rising if rising[v] == is_so) for is_so in (True, False))
    every = (variant for name in NAMES for variant in _stored(name, WHOLE, NOVEL).variants)
    absent = ", ".join(f"`{variant}`" for variant in every if variant not in rising)
    return [
        *lines,
        "",
        f"Still rising on `{VALIDATION}` with {' or '.join(map(shots, SHOTS))}, by more than that interval: "
        f"{some or 'none'}; not: {others or 'none'}; not measured there after half: {absent or 'none'}.",
    ]


def _gain(half: CellScore, whole: CellScore) -> tuple[str, Estimate | None]:
    """From half of the updates to all of them, on the episodes of both."""
    values = shared_accuracies([half, whole])
    found = of_episodes(values[1] - values[0], quantum([half], [half.seed])) if values.size else None
    if not found:
        return "–", None
    means = " → ".join(percent(mean) for mean in values.mean(axis=1))
    return f"{means} ({points(found.mean)} ± {percent(found.half_width())})", found
