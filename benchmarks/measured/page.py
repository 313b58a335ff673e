"""docs/results.md, from the results that come with the package: no number in it is typed."""

from dataclasses import replace
from statistics import fmean

from benchmarks import known_duplicates
from benchmarks.known_duplicates import Duplicate
from benchmarks.measured import calibration, characters, tuned
from benchmarks.measured.pairs import (
    PARENTS,
    QUESTIONS,
    critical,
    differences,
    hangs_on_one,
    other_devices,
    seeds_named,
    won,
)
from benchmarks.measured.sentences import verdicts
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.results.collect import results
from fewshot_bench.results.provenance import AT
from fewshot_bench.results.reading_back import choose_stored, shipped
from fewshot_bench.results.store import Reader
from fewshot_bench.tables.claims import words
from fewshot_bench.tables.claims.outlook import outlook
from fewshot_bench.tables.claims.verdicts import JudgedClaim, Judgement
from fewshot_bench.tables.over_training import among, crossings
from fewshot_bench.tables.pairs import compare_variants, scope_of
from fewshot_bench.tables.render import render
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.summary import summarise
from fewshot_bench.tables.wording import points

NAME, FEATURES = "miniimagenet-32", "imagenet-features"
CPU = "cpu"
CHANGED = "2026-11-26T06"  # runs on a card that began before divided pixels by 255 with another last bit than a CPU


def results_page(stored: Results, judged: Judgement, chosen: Chosen, pretrained: Results) -> str:
    """The whole page. chosen: the cells that are stored; pretrained: the same settings with pretrained features"""
    sections = {
        "Does meta-transfer beat both its parents?": _parents(stored),
        "The paper's sentences": _sentences(stored, judged),
        "Accuracies": [render(summarise(stored), "markdown").strip()],
        "What the controls say": _controls(stored),
        "Rules that were tuned": tuned.section(stored),
        "Pretrained features": [render(summarise(pretrained), "markdown").strip()],
        "Known duplicates": _duplicates(chosen),
        "Accuracy over training": [
            f"Budgets: {_budgets(stored)}. {among(stored.by_budget)}",
            "",
            *(f"- {sentence}" for sentence in crossings(stored.by_budget)),
        ],
        "Calibration at 84×84": calibration.section(),
        "Characters": characters.section(),
        "Cost": _costs(stored),
        "What is not decided": _open(stored, judged, chosen),
    }
    lines = ["# Results", "", *_opening(stored), ""]
    for title, section in sections.items():
        lines += [f"## {title}", "", *section, ""]
    return "\n".join(lines)


def _opening(stored: Results) -> list[str]:
    e, seeds = stored.experiment, ", ".join(map(str, stored.seeds))
    devices = sorted({cost.device for cost in stored.trainings if cost.device})
    n_episodes = sum(len(cell.episodes) for cell in stored.cells)
    n_done = sum(cell.state == "done" for cell in stored.cells)
    return [
        "Look up every accuracy, difference and verdict that was measured on one data set. `python -m "
        "benchmarks.measured` writes this page from the episodes that come with the package; "
        f"`bench report --measured {NAME}` shows the same with plots, on any machine and without the images. "
        "In five sentences: [which method for my own images?](answer.md)",
        "",
        f"Data: {e.dataset}, {' × '.join(map(str, e.image_shape[1:]))} pixels, split `{e.split}` "
        f"({e.n_base_classes} base and {e.n_novel_classes} novel classes). {e.model}; {e.spent}; {e.rule}; "
        f"seeds {seeds}. {n_done} cells, {n_episodes:,} episodes, trained on {', '.join(devices)}.",
    ]


def _parents(stored: Results) -> list[str]:
    scope = scope_of(c.estimate for a, b in PARENTS for c in compare_variants(stored, a, b))
    return [
        *differences(stored, PARENTS),
        "",
        f"Percentage points, first minus second, with 95 % intervals {scope}. Bold: significantly "
        f"different, corrected for all pairs of methods in a setting. {critical(stored)}",
    ]


def _sentences(stored: Results, judged: Judgement) -> list[str]:
    return [
        *verdicts(judged),
        "",
        "A verdict tests its sentence's own comparisons alone, one-sided and corrected by Holm; bold is corrected "
        f"for all pairs. Verdicts hold for this data set and {stored.experiment.spent}. "
        f"Readings: `bench claims --measured {NAME}`.",
    ]


def _controls(stored: Results) -> list[str]:
    return [
        "In brackets: how many of these settings have a 95 % interval without 0, and how many differ "
        f"significantly. {critical(stored)}",
        "",
        *(
            f"- {question} ({what}{other_devices(stored, pairs)}.) {'; '.join(won(stored, a, b) for a, b in pairs)}."
            for question, what, pairs in QUESTIONS
        ),
        "",
        *differences(stored, (pair for _, _, pairs in QUESTIONS for pair in pairs)),
    ]


def _duplicates(chosen: Chosen) -> list[str]:
    """Which images, and what the cells are without them."""
    duplicates = known_duplicates.known(NAME)
    by_setting: dict[str, list[float]] = {}
    for cell, (every, rest) in known_duplicates.without(chosen, duplicates).items():
        by_setting.setdefault(str(cell.setting), []).append(100 * (rest - every))
    base = [duplicate for duplicate in duplicates if duplicate.kind == "base"]
    return [
        f"{len(base)} of the {sum(len(chosen.novel.images_of_class[c]) for c in chosen.novel.split('paper').novel):,} "
        f"images of novel classes show the picture of a base class's image, too, and "
        f"{len(duplicates) - len(base)} that of another novel image (at 84×84 pixels; `bench data check`, "
        "`python -m benchmarks.known_duplicates`). As class[number]: "
        f"{', '.join(_pair(duplicate) for duplicate in duplicates)}.",
        "",
        "The same cells without the answers to these queries, percentage points more (they stay in the support):",
        "",
        "| | " + " | ".join(by_setting) + " |",
        "|:---|" + "---:|" * len(by_setting),
        *(
            f"| {what} | " + " | ".join(f"{of(changes):+.3f}" for changes in by_setting.values()) + " |"
            for what, of in (("lowest of the cells", min), ("mean", fmean), ("highest", max))
        ),
    ]


def _pair(duplicate: Duplicate) -> str:
    return " = ".join(f"{name}[{number}]" for name, number in (duplicate.image, *duplicate.others))


def _budgets(stored: Results) -> str:
    """The budgets that are stored, each with the seeds that have results of it."""
    return " and ".join(
        f"`{budget}` ({seeds_named(_seeds_trained(budget))})"
        for budget in dict.fromkeys(point.budget for point in stored.by_budget if point.images_seen)
    )


def _seeds_trained(budget: str) -> list[int]:
    trainings = results(choose_stored(replace(shipped(NAME), budget=budget))).trainings
    return sorted({training.seed for training in trainings if training.iterations})


def _costs(stored: Results) -> list[str]:
    lines = ["| training of | updates | images drawn | on | minutes |", "|:---|---:|---:|:---|---:|"]
    alike: dict[tuple[tuple[str, ...], int, int, str], list[float]] = {}
    for cost in stored.trainings:
        if cost.state == "finished" and cost.iterations:
            kind = cost.variants, cost.iterations, cost.images_seen, cost.device
            alike.setdefault(kind, []).append(cost.seconds / 60)
    for (variants, iterations, images, device), minutes in alike.items():
        low, high = f"{min(minutes):.1f}", f"{max(minutes):.1f}"
        spread = low if low == high else f"{low} to {high}"
        lines.append(f"| {', '.join(variants)} | {iterations:,} | {images:,} | {device} | {spread} |")
    testing = sum(cell.seconds_per_episode * len(cell.episodes) for cell in stored.cells) / 3600
    training = sum(cost.seconds for cost in stored.trainings) / 3600
    failed = sum(cell.state == "failed" for cell in stored.cells)
    n_trained = sum(cost.state == "finished" and cost.iterations > 0 for cost in stored.trainings)
    told = f"{n_trained} trainings: {training:.1f} hours of a process; tests: {testing:.1f}; failed: {failed}."
    return [
        *lines,
        "",
        told,
        "",
        "A process shared its card, or its cores, with others, and not always with as many: minutes compare "
        "roughly, and only on one device.",
    ]


def _open(stored: Results, judged: Judgement, chosen: Chosen) -> list[str]:
    e, missing = stored.experiment, [cell for cell in stored.cells if cell.state != "done"]
    named = ", ".join(f"{c.variant} {c.n_way}-way {c.n_shot}-shot" for c in missing)
    undecided = [(one, outlook(one, judged.cells)) for one in judged.claims if one.verdict == "undecided"]
    return [
        *(_by_one(one) for one in judged.claims if hangs_on_one(one)),
        *(f"- `{one.claim.id}`: {words.to_decide(ahead, judged)}." for one, ahead in undecided),
        f"- The published training: where a number of updates is published, these models had "
        f"{e.published_share or 'all'} of it, on images of "
        f"{e.image_shape[1]}×{e.image_shape[2]} pixels in place of 84×84.",
        "- The rule of fitting at test: of the networks that adapt, all but those of [rules that were "
        "tuned](#rules-that-were-tuned) were fitted by the published one alone.",
        f"- More than {len(stored.seeds)} seeds; more than one of {', '.join(stored.seeds_of)}. Before a change of the "
        f"last bit in how a card divides pixels by 255 were trained: {_before_the_change(stored, chosen)}.",
        f"- Not measured: {named}." if missing else "- Every cell of the grid is measured.",
    ]


def _before_the_change(stored: Results, chosen: Chosen) -> str:
    """The variants whose networks were trained before it, each with its seeds."""
    reader, seeds = Reader(chosen.database), dict[str, list[str]]()
    devices = {(v, t.seed): t.device for t in stored.trainings if t.iterations for v in t.variants}
    keys = {(cell.variant, cell.seed): cell.key for cell in stored.cells if cell.episodes}
    for (variant, seed), key in keys.items():
        if devices.get((variant, seed), CPU) == CPU:
            continue
        if min(run["facts"].get(AT, run["started_at"]) for run in reader.runs_behind([key])) < CHANGED:
            seeds.setdefault(seeds_named([seed]), []).append(variant)
    return "; ".join(f"{seed} of {', '.join(variants)}" for seed, variants in seeds.items()) or "none"


def _by_one(one: JudgedClaim) -> str:
    """That a verdict hangs on a single comparison."""
    link, (low, high) = one.link, one.link_interval or (0.0, 0.0)
    mean = points(link.estimate.mean if link and link.estimate else None)
    return (
        f"- `{one.claim.id}` is refuted by one comparison alone, {link.hypothesis if link else ''}: {mean} "
        f"[{points(low)}, {points(high)}], 95 % for all comparisons of its sentence at once; the test is one-sided, so "
        "that this may reach past 0. More seeds may undo it."
    )
