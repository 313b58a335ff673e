"""docs/answer.md: five sentences for someone who must choose a method, and their plot."""

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.measured import tuned
from benchmarks.measured.pairs import PARENTS, SEQUENTIAL, clear_and_significant, hangs_on_one, seeds_named, sides, won
from fewshot_bench.reports.canvas import to_png
from fewshot_bench.reports.plots import accuracy_against_shots
from fewshot_bench.tables.claims.verdicts import JudgedClaim, Judgement
from fewshot_bench.tables.pairs import compare_variants
from fewshot_bench.tables.scores import Results
from fewshot_bench.tables.summary import Row, summarise
from fewshot_bench.tables.wording import accuracy, cell_name, joined, percent, points, setting_name

PLOT, NUMBERS = "answer.png", "Description"  # of PNG's keywords
FEATURES = "imagenet-logistic"
SHOWN = (
    "transfer", "transfer-logistic", "protonet", "maml", "maml-mtl", "pretrained-maml", "reptile", "reptile-mtl",
    "r2d2", "untrained", FEATURES,
)  # fmt: skip


def answer_page(stored: Results, judged: Judgement, pretrained: Results) -> str:
    """Five sentences for someone who must choose a method. pretrained: the same settings with pretrained features"""
    e, n = stored.experiment, len(stored.settings)
    alone, rows = 0, summarise(stored).rows
    highest = dict[str, list[tuple[int, int]]]()
    for row in rows:
        best = max((cell for cell in row.cells if cell.mean is not None), key=lambda cell: cell.mean or 0.0)
        alone += not any(cell.near_best or cell.unclear for cell in row.cells)
        seeds = [one.seed for one in best.seeds]
        few = "" if len(seeds) == len(stored.seeds) else f" ({seeds_named(seeds)} alone)"
        highest.setdefault(f"`{best.variant}`{few}", []).append((row.n_way, row.n_shot))
    ranked = sorted(highest.items(), key=lambda each: -len(each[1]))
    many = [c for c in compare_variants(stored, "transfer-logistic", "transfer") if c.n_way > 5]
    gains, (clear, significant) = [c.mean or 0.0 for c in many], clear_and_significant(many)
    of_head = {
        (c.n_way, c.n_shot): c.mean or 0.0 for row in rows for c in row.cells if c.variant == "transfer-logistic"
    }
    below = sum(v == "transfer" and way > 5 and m < of_head[way, shot] for (v, way, shot), m in tuned.means().items())
    above = [
        f"`{a}` is above `{b}` in {sum((c.mean or 0) > 0 for c in compare_variants(stored, a, b))}" for a, b in PARENTS
    ]
    return "\n".join(
        [
            "# Which method for my own images?",
            "",
            f"From one set of photographs ({e.dataset} at {e.image_shape[1]} pixels), {len(stored.seeds)} seeds and "
            f"short trainings, {e.spent}; on characters the order is [another](results.md#characters). What the names "
            "stand for: `bench list methods`, and [controls](controls.md).",
            "",
            f"1. **Highest means: {'; '.join(f'{name} {_where(settings)}' for name, settings in ranked)}**, of the "
            f"methods measured here and fitted by the published rule; significantly above all others in {alone} of {n} "
            f"settings. By rules that `bench tune` chose (trained again), above these: {_tuned_above(rows)}.",
            f"2. **That meta-transfer beats both its parents in all {n} settings is {_verdicts(judged)}; fitted by "
            f"rules that `bench tune` chose on {tuned.chosen_on()} episodes each, {_verdicts(tuned.judged())}**: "
            f"comparisons shown true, shown false and open are {_comparisons(judged)} by the published rule, and "
            f"{_comparisons(tuned.judged())} by the chosen ones; by means and the published rule {'; '.join(above)} of "
            f"{n} settings.",
            f"3. {_joint(stored)}",
            "4. **With many classes, keep a trained network's features and fit a logistic regression "
            f"(`transfer-logistic`) before you fine-tune all layers by the published rule**: with 20 and 35 ways that "
            f"is worth {points(min(gains))} to {points(max(gains))} points (with a 95 % interval without 0 in {clear} "
            f"of {len(gains)} settings, significant among all pairs in {significant}); fine-tuned by a rule that "
            f"`bench tune` chose (`transfer`, trained again) the mean is below that of the regression in {below} of "
            f"these {len(gains)} settings, too.",
            f"5. {_pretrained(rows, pretrained)}",
            "",
            "`bench run --data FOLDER` and `bench report` measure all of this on your own images.",
            "",
            f"![Accuracy over shots, one panel for each number of classes]({PLOT})",
            "",
            f"Bands: 95 % over episodes. One seed: {', '.join(v for v in SHOWN if v in {*stored.seeds_of, FEATURES})}.",
            "",
        ]
    )


def _tuned_above(rows: Sequence[Row]) -> str:
    """Where a mean by a tuned rule is above all of these."""
    told, means = [], tuned.means()
    for (n_way, n_shot), best in _best(rows).items():
        above = {v: mean for (v, *setting), mean in means.items() if setting == [n_way, n_shot] and mean > best}
        if above:
            higher = sorted(above, key=above.__getitem__, reverse=True)
            named = ", ".join(f"`{v}` ({percent(above[v])})" for v in higher)
            told.append(f"{setting_name(n_way, n_shot)} {named}")
    return "; ".join(told) or "none"


def _where(settings: Sequence[tuple[int, int]]) -> str:
    """ "with 1 and 5 shots of 20 and 35 ways"; ways with the same numbers of shots together."""
    shots_of: dict[int, list[int]] = {}
    for n_way, n_shot in settings:
        shots_of.setdefault(n_way, []).append(n_shot)
    ways_of: dict[tuple[int, ...], list[int]] = {}
    for n_way, n_shots in shots_of.items():
        ways_of.setdefault(tuple(n_shots), []).append(n_way)
    return ", ".join(
        f"with {joined([*map(str, n_shots)])} shot{'s' * (n_shots != (1,))} of {joined([*map(str, n_ways)])} ways"
        for n_shots, n_ways in ways_of.items()
    )


def _best(rows: Sequence[Row]) -> dict[tuple[int, int], float]:
    """(n_way, n_shot) -> its highest mean."""
    return {(r.n_way, r.n_shot): max(cell.mean or 0.0 for cell in r.cells) for r in rows}


def _narrow(judged: Judgement) -> dict[str, JudgedClaim]:
    """Variant -> the sentence that it beats both its parents everywhere."""
    claims = {one.claim.id: one for one in judged.claims}
    return {name: claims[f"narrow-{name}"] for name, _ in SEQUENTIAL}


def _verdicts(judged: Judgement) -> str:
    """ "undecided for `maml-mtl`, refuted for `reptile-mtl`"."""
    told = {
        f"`{name}`": one.verdict + " (more seeds may undo it)" * hangs_on_one(one)
        for name, one in _narrow(judged).items()
    }
    if len(verdicts := {*told.values()}) == 1:
        return f"{verdicts.pop()} for {joined([*told])}"
    return ", ".join(f"{verdict} for {name}" for name, verdict in told.items())


def _comparisons(judged: Judgement) -> str:
    """ "3, 0 and 15 of 18 for `maml-mtl`, ..."."""
    return ", ".join(
        f"{one.n_true}, {one.n_false} and {one.n_open} of {len(one.tested)} for `{name}`"
        for name, one in _narrow(judged).items()
    )


def _joint(stored: Results) -> str:
    """Whether joint training is what helps."""
    every = [c for pair in SEQUENTIAL for c in compare_variants(stored, *pair) if c.mean is not None]
    better, worse = (clear_and_significant(side)[1] for side in sides(every))
    return (
        "**Joint training is significantly better than training the same two losses one after the other in "
        f"{better} of {len(every)} comparisons, and significantly worse in {worse}**: "
        f"{'; '.join(won(stored, *pair) for pair in SEQUENTIAL)} (in brackets: so many with a 95 % interval without 0, "
        "and so many significant among all pairs)."
    )


def _pretrained(rows: Sequence[Row], pretrained: Results) -> str:
    """How far pretrained features lead, and what they have seen."""
    best = _best(rows)
    leads = [
        (cell.mean or 0.0) - best[cell.n_way, cell.n_shot]
        for cell in summarise(pretrained).cells
        if cell.variant == FEATURES
    ]
    return (
        f"**A logistic regression on frozen features of a network trained on ImageNet** (`{FEATURES}`: "
        f"{pretrained.experiment.backbone.partition(',')[0]}) **is {points(min(leads))} to {points(max(leads))} points "
        f"above the best of these methods.** {pretrained.experiment.pretraining}"
    )


def shown(stored: Results, pretrained: Results) -> Results:
    """What the plot shows, as one table."""
    cells = [*stored.cells, *pretrained.cells]
    own = stored.seeds_of | dict.fromkeys(pretrained.variants, pretrained.seeds)
    return replace(stored, variants=SHOWN, cells=tuple(c for c in cells if c.variant in SHOWN), seeds_of=own)


def picture(stored: Results, pretrained: Results) -> bytes:
    """The plot as PNG, with the numbers that it shows as a text in it."""
    plotted = shown(stored, pretrained)
    text, png = PngInfo(), BytesIO()
    text.add_text(NUMBERS, numbers(plotted))
    Image.open(BytesIO(to_png(accuracy_against_shots(summarise(plotted))))).save(png, "PNG", pnginfo=text)
    return png.getvalue()


def numbers(plotted: Results) -> str:
    """What the plot shows, as the tables print it: "maml 5-way 1-shot 40.12 ± 0.83", ..."""
    return "\n".join(
        f"{cell_name(c.variant, c.n_way, c.n_shot)} {accuracy(c.mean, c.half_width, c.interval)}"
        for c in summarise(plotted).cells
    )
