"""Writes docs/results.md and docs/answer.md from the results that come with the package: no number in them is typed.

python -m benchmarks.measured          writes both, and the plot of the answer
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from statistics import fmean

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks import known_duplicates
from benchmarks.known_duplicates import Duplicate
from fewshot_bench.experiment.choosing import Chosen
from fewshot_bench.reports.canvas import to_png
from fewshot_bench.reports.plots import accuracy_against_shots
from fewshot_bench.results.claims import judgement
from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_stored, shipped
from fewshot_bench.tables.claims import words
from fewshot_bench.tables.claims.verdicts import Judgement
from fewshot_bench.tables.pairs import Comparison, compare_variants, scope_of
from fewshot_bench.tables.render import render
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.summary import summarise
from fewshot_bench.tables.wording import accuracy, cell_name, points

NAME = "miniimagenet-32"
DOCS = Path(__file__).resolve().parent.parent / "docs"
# what each sentence of the paper is about: meta-transfer against its parents
PARENTS = (("maml-mtl", "maml"), ("maml-mtl", "transfer"), ("reptile-mtl", "reptile"), ("reptile-mtl", "transfer"))
# first minus second: what the second says of the first
CONTROLS = (
    ("transfer", "untrained", "what training for classes is worth, both fitted by the same steps"),
    ("maml", "untrained", "what MAML's training is worth"),
    ("transfer-logistic", "transfer", "the same features, a logistic regression in place of fine-tuning all layers"),
    ("transfer-centroid", "transfer", "the same features, the nearest centroid in place of fine-tuning"),
    ("maml", "transfer-logistic", "MAML against the better use of transfer's features"),
    ("maml-mtl", "transfer-logistic", "meta-transfer against the better use of transfer's features"),
    ("r2d2", "maml", "a head in closed form in place of steps (r2d2 has one seed)"),
)


def results_page(stored: Results, judged: Judgement, chosen: Chosen) -> str:
    """The whole page. chosen: the cells that are stored"""
    e, seeds = stored.experiment, ", ".join(map(str, stored.seeds))
    devices = sorted({cost.device for cost in stored.trainings if cost.device})
    n_episodes = sum(len(cell.episodes) for cell in stored.cells)
    n_done = sum(cell.state == "done" for cell in stored.cells)
    return "\n".join(
        [
            "# Results",
            "",
            "Look up every accuracy, difference and verdict that was measured on one data set. `python -m "
            "benchmarks.measured` writes this page from the episodes that come with the package; "
            f"`bench report --measured {NAME}` shows the same with plots, on any machine and without the images.",
            "",
            f"Data: {e.dataset}, {' × '.join(map(str, e.image_shape[1:]))} pixels, split `{e.split}` "
            f"({e.n_base_classes} base and {e.n_novel_classes} novel classes). {e.model}; {e.spent}; {e.rule}; "
            f"seeds {seeds}. {n_done} cells, {n_episodes:,} episodes, trained and tested on {', '.join(devices)}.",
            "",
            "## Does meta-transfer beat both its parents?",
            "",
            *_differences(stored, [(a, b, f"{a} − {b}") for a, b in PARENTS]),
            "",
            f"Percentage points, first minus second, with 95 % intervals {_scope(stored)}. Bold: significantly "
            "different, corrected for all pairs of methods in a setting.",
            "",
            "## The paper's sentences",
            "",
            "| sentence | reading | verdict | comparisons |",
            "|:---|:---|:---|:---|",
            *_sentences(judged),
            "",
            f"Verdicts hold for this data set and {e.spent}. Readings: `bench claims --measured {NAME}`.",
            "",
            "## Accuracies",
            "",
            render(summarise(stored), "markdown").strip(),
            "",
            "## What the controls say",
            "",
            *_differences(stored, [(a, b, f"{a} − {b}") for a, b, _ in CONTROLS]),
            "",
            *[f"- {a} − {b}: {what}." for a, b, what in CONTROLS],
            "",
            "## Known duplicates",
            "",
            *_duplicates(chosen),
            "",
            "## Cost",
            "",
            *_costs(stored),
            "",
            "Seconds of a process that shared the device with two to seven others: they order the methods, and are "
            "more than one process alone would take.",
            "",
            "## What is not decided",
            "",
            *_open(stored),
            "",
        ]
    )


def _scope(stored: Results) -> str:
    return scope_of(c.estimate for a, b in PARENTS for c in compare_variants(stored, a, b))


def _differences(stored: Results, pairs: Sequence[tuple[str, str, str]]) -> list[str]:
    """A line a pair, a column a setting."""
    head = [f"{way}-way {shot}-shot" for way, shot in stored.settings]
    lines = ["| | " + " | ".join(head) + " |", "|:---|" + "---:|" * len(head)]
    for first, second, name in pairs:
        found = {(c.n_way, c.n_shot): c for c in compare_variants(stored, first, second)}
        lines.append(f"| {name} | " + " | ".join(_difference(found.get(s)) for s in stored.settings) + " |")
    return lines


def _difference(c: Comparison | None) -> str:
    if c is None or c.mean is None or c.estimate is None:
        return "–"
    low, high = c.estimate.interval(within=1.0)
    text = f"{points(c.mean)} [{points(low)}, {points(high)}]"
    return f"**{text}**" if c.significant else text


def _sentences(judged: Judgement) -> Iterable[str]:
    for one in judged.claims:
        said, _, counts = words.measured(one, judged).partition(": ")
        yield f"| “{one.claim.sentence}” | {one.claim.reading} | {said} | {counts} |"


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


def _costs(stored: Results) -> list[str]:
    lines = ["| training of | updates | images seen | minutes |", "|:---|---:|---:|---:|"]
    by_variants: dict[tuple[str, ...], list[float]] = {}
    facts: dict[tuple[str, ...], tuple[int, int]] = {}
    for cost in stored.trainings:
        if cost.state == "finished" and cost.iterations:
            by_variants.setdefault(cost.variants, []).append(cost.seconds / 60)
            facts[cost.variants] = cost.iterations, cost.images_seen
    for variants, minutes in by_variants.items():
        low, high = min(minutes), max(minutes)
        spread = f"{low:.1f}" if f"{low:.1f}" == f"{high:.1f}" else f"{low:.1f} to {high:.1f}"
        lines.append(f"| {', '.join(variants)} | {facts[variants][0]:,} | {facts[variants][1]:,} | {spread} |")
    return lines


def _open(stored: Results) -> list[str]:
    e = stored.experiment
    missing = [f"{c.variant} {c.n_way}-way {c.n_shot}-shot" for c in stored.cells if c.state != "done"]
    return [
        f"- The published training: these models had {e.published_share or 'all'} of it, on images of "
        f"{e.image_shape[1]}×{e.image_shape[2]} pixels in place of 84×84.",
        "- The rule of fitting at test: only the published one was tested. The gap between transfer and the logistic "
        "regression on its features shows that the rule matters as much as the method at many ways.",
        "- Whether joint training or merely more training helps: the sequential controls (pretrained-maml, "
        "pretrained-reptile) and the compute-matched parents are not measured.",
        f"- More than {len(stored.seeds)} seeds. Seed 0 was trained before, the others after a change of the last bit "
        "in how a card divides pixels by 255.",
        f"- Not measured: {', '.join(missing)}." if missing else "- Every cell of the grid is measured.",
    ]


def answer_page(stored: Results, judged: Judgement) -> str:
    """Five sentences for someone who must choose a method."""
    e, n = stored.experiment, len(stored.settings)
    by_best: dict[str, list[str]] = {}
    for row in summarise(stored).rows:
        best = max((cell for cell in row.cells if cell.mean is not None), key=lambda cell: cell.mean or 0.0)
        few = "" if len(best.seeds) == len(stored.seeds) else f" (seed {best.seeds[0].seed} alone)"
        by_best.setdefault(f"`{best.variant}`{few}", []).append(f"{row.n_way}-way {row.n_shot}-shot")
    highest = "; ".join(f"{name} in {', '.join(where)}" for name, where in by_best.items())
    above = [
        f"`{a}` is above `{b}` in {sum((c.mean or 0) > 0 for c in compare_variants(stored, a, b))}" for a, b in PARENTS
    ]
    verdicts = {one.claim.id: one.verdict for one in judged.claims}
    said = ", ".join(f"{verdicts[f'narrow-{name}']} for `{name}`" for name in ("maml-mtl", "reptile-mtl"))
    return "\n".join(
        [
            "# Which method for my own images?",
            "",
            f"1. Of the methods measured here ({e.dataset} at {e.image_shape[1]} pixels, {e.spent}, "
            f"{len(stored.seeds)} seeds), the highest mean is that of {highest}.",
            f"2. That meta-transfer beats both its parents in all {n} settings is {said}: by their means, "
            f"{'; '.join(above)} of {n} settings.",
            "3. With many classes, keep a trained network's features and fit a logistic regression "
            "(`transfer-logistic`) before you fine-tune all layers by the published rule: [results](results.md) has "
            "the differences.",
            '4. A network pretrained on more images (`backbone = "timm:NAME"`) is not in this table; it may have seen '
            "your classes, and the report warns where that is known.",
            "5. `bench run --data FOLDER` and `bench report` measure all of this on your own images.",
            "",
            f"![Accuracy over shots, one panel for each number of classes]({PLOT})",
            "",
        ]
    )


PLOT, NUMBERS = "answer.png", "Description"  # of PNG's keywords
SHOWN = ("transfer", "transfer-logistic", "protonet", "maml", "maml-mtl", "reptile", "reptile-mtl", "untrained")


def picture(stored: Results) -> bytes:
    """The plot as PNG, with the numbers that it shows as a text in it."""
    shown = summarise(replace(stored, variants=SHOWN, cells=tuple(c for c in stored.cells if c.variant in SHOWN)))
    text, png = PngInfo(), BytesIO()
    text.add_text(NUMBERS, numbers(stored))
    Image.open(BytesIO(to_png(accuracy_against_shots(shown)))).save(png, "PNG", pnginfo=text)
    return png.getvalue()


def numbers(stored: Results) -> str:
    """What the plot shows, as the tables print it: "maml 5-way 1-shot 40.12 ± 0.83", ..."""
    cells = [cell for cell in summarise(stored).cells if cell.variant in SHOWN]
    return "\n".join(
        f"{cell_name(c.variant, c.n_way, c.n_shot)} {accuracy(c.mean, c.half_width, c.interval)}" for c in cells
    )


def main() -> None:
    """Write the pages."""
    chosen = choose_stored(shipped(NAME))
    stored = results(chosen, with_answers=True)
    judged = judgement(None, shipped(NAME))
    (DOCS / "results.md").write_text(results_page(stored, judged, chosen), encoding="utf-8")
    (DOCS / "answer.md").write_text(answer_page(stored, judged), encoding="utf-8")
    (DOCS / PLOT).write_bytes(picture(stored))


if __name__ == "__main__":
    main()
