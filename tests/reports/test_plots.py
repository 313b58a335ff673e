"""The figures: drawn from whatever is there, the same bytes each time, no state left behind."""

import io
import math
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import replace

import matplotlib
import numpy as np
import pytest
from PIL import Image

from fewshot_bench.reports.canvas import to_png, to_svg
from fewshot_bench.reports.inline_svg import colours, inline
from fewshot_bench.reports.palette import BACKGROUND, DARK, TEXT, luminance, readable_on, styles
from fewshot_bench.reports.plots import (
    MOST_VARIANTS,
    accuracy_against_shots,
    heat_map,
    leading,
    over_seeds_and_settings,
)
from fewshot_bench.reports.ranks_plot import critical_differences
from fewshot_bench.reports.training_plots import accuracy_over_training, training_cost, training_curves
from fewshot_bench.tables.aggregate import aggregates
from fewshot_bench.tables.ranks import rank
from fewshot_bench.tables.scores import BudgetScore, CurvePoint
from fewshot_bench.tables.summary import summarise
from fewshot_bench.tables.wording import accuracy

BUILT_IN = ("transfer", "protonet", "maml", "fomaml", "reptile", "maml-mtl", "reptile-mtl")
MANY = (*BUILT_IN, *(f"variant-{i}" for i in range(8)))
COLOUR = re.compile(rb"#[0-9a-f]{6}\b")


def draw_all(results):
    table = summarise(results)
    return [
        accuracy_against_shots(table),
        heat_map(table),
        *([critical_differences(table)] if rank(table) else []),
        training_curves(results),
        training_cost(results),
    ]


def texts(figure):
    return {text.get_text() for text in figure.findobj(matplotlib.text.Text)}


def x_of(line):
    return np.asarray(line.get_xdata()).tolist()


def y_of(line):
    return np.asarray(line.get_ydata()).tolist()


def rgb(colour):
    return matplotlib.colors.to_rgb(colour)


def contrast(first, second):
    light, dark = sorted((luminance(*rgb(first)), luminance(*rgb(second))), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def written(marked):
    """Every figure as it is written."""
    return [(to_svg(figure), to_png(figure)) for figure in draw_all(marked)]


@pytest.fixture(scope="module")
def known(marked):
    """What was written first."""
    return written(marked)


def test_same_results_same_bytes_and_nothing_global_changes(marked, known, monkeypatch):
    monkeypatch.setitem(matplotlib.rcParams, "axes.facecolor", "red")  # a user's own style
    monkeypatch.setitem(matplotlib.rcParams, "font.size", 30.0)
    before = dict(matplotlib.rcParams)
    assert written(marked) == known
    assert dict(matplotlib.rcParams) == before
    for svg, _ in known:
        assert b"nan" not in svg.lower()
        assert b"<dc:date>" not in svg


def test_methods_over_seeds_and_settings_stand_in_their_order(make_results):
    results = make_results(BUILT_IN, seeds=(0, 1, 2))
    found = aggregates(results)
    figure = over_seeds_and_settings(found, results.variants)
    means, chances = figure.axes
    assert [label.get_text() for label in means.get_yticklabels()] == [a.variant for a in found]
    assert [label.get_text() for label in chances.get_yticklabels()] == [a.variant for a in found[1:]]
    assert f"probability that {found[0].variant} is better" in texts(figure)
    drawn = [x_of(line)[0] for line in means.lines if len(x_of(line)) == 1]
    assert drawn == [a.middle[0] for a in found]
    assert to_svg(figure) == to_svg(over_seeds_and_settings(found, results.variants))


@pytest.mark.parametrize(
    "shape",
    [
        {"variants": MANY},
        {"variants": ("maml",), "settings": ((5, 1),)},
        {"variants": ("maml", "protonet"), "settings": ((5, 1), (20, 1), (35, 1))},
        {"variants": ("maml", "protonet"), "settings": ((5, 1), (5, 5), (5, 100))},
        {"variants": ("maml", "_<b>$x$_^\\frac$"), "seeds": (0, 1, 2), "n": 1},
    ],
    ids=["many variants", "one cell", "one shot", "one way", "seeds and a strange name"],
)
def test_every_shape_of_results_draws(make_results, shape):
    full = make_results(**shape)
    for figure in draw_all(full):
        image = Image.open(io.BytesIO(to_png(figure)))
        assert min(image.size) > 50


def test_names_are_printed_as_they_are(make_results):
    results = make_results(("_hidden", "$x$"), ((5, 1), (5, 5)))
    accuracy, heat, *_ = draw_all(results)
    assert [text.get_text() for text in accuracy.legends[0].get_texts()] == ["_hidden", "$x$", "chance"]
    assert {"_hidden", "$x$"} <= texts(heat)


def test_shots_are_ticks_and_chance_is_drawn(make_results):
    figure = accuracy_against_shots(summarise(make_results()))
    assert [axes.get_title() for axes in figure.axes] == ["5-way", "20-way", "35-way"]
    for axes, chance in zip(figure.axes, (20, 5, 100 / 35), strict=True):
        assert [label.get_text() for label in axes.get_xticklabels()] == ["1", "5", "100"]
        dashed = [line for line in axes.lines if line.get_linestyle() == "--"]
        assert [y_of(line)[0] for line in dashed] == [pytest.approx(chance)]


def test_line_and_band_are_the_table(make_results):
    table = summarise(make_results(("maml",), ((5, 1), (5, 5))))
    [axes] = accuracy_against_shots(table).axes
    means = [100 * row.cells[0].mean for row in table.rows]
    halves = [100 * row.cells[0].half_width for row in table.rows]
    assert y_of(axes.lines[0]) == pytest.approx(means)
    band = np.asarray(axes.collections[0].get_paths()[0].vertices)[:, 1]
    assert max(band) == pytest.approx(max(means) + halves[1])
    assert min(band) == pytest.approx(min(means) - halves[0])


def test_fewer_than_five_episodes_have_no_band(make_results):
    for n, some in ((4, False), (5, True)):
        [axes] = accuracy_against_shots(summarise(make_results(("maml",), ((5, 1), (5, 5)), n=n))).axes
        heights = np.asarray(axes.collections[0].get_paths()[0].vertices)[:, 1]
        means = y_of(axes.lines[0])
        assert (max(heights) > max(means)) == some


def test_lines_have_the_colours_of_the_legend_in_any_order_of_variants(make_results):
    names = ("maml-mtl", "own", "transfer", "protonet")  # not the order of the palette
    table = summarise(make_results(names, ((5, 1), (5, 5))))
    figure = accuracy_against_shots(table)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    handles = figure.legends[0].get_lines()
    assert labels == [*names, "chance"]
    for cell, name, handle in zip(table.rows[0].cells, names, handles, strict=False):
        [line] = [
            line for line in figure.axes[0].lines if line.get_color() == handle.get_color() and len(x_of(line)) > 1
        ]
        assert cell.variant == name
        assert y_of(line)[0] == pytest.approx(100 * cell.mean)
        assert handle.get_color() == styles((name,))[name].colour


def test_line_breaks_at_a_failed_cell_and_partial_is_hollow(marked):
    table = summarise(marked)
    five, _, thirty_five = accuracy_against_shots(table).axes
    maml = styles(table.variants)["maml"].colour
    lines = [line for line in five.lines if line.get_color() == maml and line.get_linestyle() == "-"]
    assert [x_of(line) for line in lines] == [[100]]
    hollow = [line for line in thirty_five.lines if line.get_markerfacecolor() == thirty_five.get_facecolor()]
    assert [x_of(line) for line in hollow] == [[5]]


def test_heat_map_writes_every_cell(marked):
    shown = texts(heat_map(summarise(marked)))
    assert {"✗", "—", "47.9", "39.3*"} <= shown


def test_a_line_through_the_budgets_and_hollow_where_they_are_not_alike(make_results):
    point = BudgetScore("quick", "maml", 5, 1, 100, 0.3, 0.02, True, True)
    later, smoke = replace(point, images_seen=1000, mean=0.4, complete=False), replace(point, images_seen=10)
    results = make_results(("maml", "reptile"), ((5, 1), (5, 5)))
    figure = accuracy_over_training(replace(results, by_budget=(replace(smoke, same_rule=False), point, later)))
    (axes,) = figure.axes  # of the one setting that has points
    assert axes.get_title() == "5-way 1-shot"
    line = axes.lines[0]
    assert (x_of(line), y_of(line)) == ([100, 1000], pytest.approx([30, 40]))
    markers = [one for one in axes.lines if one.get_marker() == styles(results.variants)["maml"].marker]
    hollow = [rgb(one.get_markerfacecolor()) == rgb(axes.get_facecolor()) for one in markers]
    assert hollow == [True, False, True]
    to_svg(figure)
    ticks = {label.get_text() for label in axes.get_xticklabels()}
    assert {"100", "1,000"} <= ticks  # a power of ten would be a formula, and formulas are not set
    assert not any("$" in tick for tick in ticks)


def test_diverged_training_is_marked_and_cost_names_the_unfinished(marked):
    broken = [CurvePoint("maml", 0, i, math.inf if i > 20 else 1.0) for i in (10, 20, 30)]
    assert "diverged" in texts(training_curves(replace(marked, curves=tuple(broken))))
    first, *rest = marked.trainings
    unmeasured = replace(first, state="failed", seconds=0.0, peak_memory_bytes=0)
    shown = texts(training_cost(replace(marked, trainings=(unmeasured, *rest))))
    assert {"transfer (failed)", "not measured"} <= shown


def test_trainings_of_one_variant_are_separate_lines(marked):
    points = [CurvePoint("maml", 0, i, 1.0, f"{way}-way") for way in (5, 20) for i in (10, 20)]
    [axes] = training_curves(replace(marked, curves=tuple(points))).axes
    assert len(axes.lines) == 2


def test_pyplot_is_never_loaded():
    code = "import sys, fewshot_bench.reports.report as r; sys.exit('matplotlib.pyplot' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("shown", [lambda colour: colour, DARK.get], ids=["light", "dark"])
def test_colours_stand_out_and_no_two_variants_look_alike(shown):
    """Of as many as a plot shows, were none of them built in."""
    names = (*BUILT_IN, *(f"variant-{i}" for i in range(MOST_VARIANTS)))
    look = styles(names)
    assert all(contrast(shown(style.colour), shown(BACKGROUND)) >= 3 for style in look.values())
    assert len({(shown(style.colour), style.line) for style in look.values()}) == len(names)
    assert contrast(shown(TEXT), shown(BACKGROUND)) >= 7


def test_a_page_turns_the_colours_of_page_and_variants_and_nothing_else(known):
    """In the page each of them is a variable, which a dark page sets otherwise."""
    for light, _ in known:
        found = Counter(colour for colour in map(bytes.decode, COLOUR.findall(light)))
        here = inline(light, "x")
        assert Counter(re.findall(r"#[0-9a-f]{6}\b", here)) == {c: n for c, n in found.items() if c not in DARK}
        assert Counter(re.findall(r"var\(--x([0-9a-f]{6})\)", here)) == {
            c[1:]: n for c, n in found.items() if c in DARK
        }
        assert found[BACKGROUND] > 0
    assert f"--x{BACKGROUND[1:]}: {DARK[BACKGROUND]};" in colours(dark=True)
    assert f"--x{BACKGROUND[1:]}: {BACKGROUND};" in colours(dark=False)


def test_a_picture_in_a_page_is_complete_and_keeps_its_names_to_itself(make_results):
    results = make_results(('x" onload="y', "<b>--></b>"), ((5, 1), (5, 5)))
    for number, figure in enumerate(draw_all(results)):
        svg = to_svg(figure)
        shown = inline(svg, f"plot-{number}")
        tree = ET.fromstring(shown)  # whole, though a page needs no name spaces
        ids = [element.get("id") for element in tree.iter() if element.get("id")]
        assert ids
        assert [name for name in ids if not name.startswith(f"plot-{number}-")] == []
        links = re.findall(r"href=\"#([^\"]*)|url\(#([^)]*)\)", shown)
        assert {a or b for a, b in links} <= set(ids)
        assert not any(name.startswith("on") for element in tree.iter() for name in element.attrib)
        assert len(shown) < len(svg)


def test_of_many_variants_those_with_the_highest_means_are_shown(make_results):
    names = tuple(f"variant-{i}" for i in range(MOST_VARIANTS + 4))
    table = summarise(make_results(names, ((5, 1), (5, 5))))
    shown = leading(table)
    assert [len(row.cells) for row in shown.rows] == [MOST_VARIANTS] * 2
    means = {cell.variant: cell.mean for cell in table.rows[0].cells}
    assert min(means[name] for name in shown.variants) >= max(means[name] for name in set(names) - set(shown.variants))
    assert leading(shown) is shown


def test_the_cost_of_several_seeds_is_one_bar(make_results):
    results = make_results(("maml", "protonet"), ((5, 1),), seeds=(0, 1, 2))
    failed = replace(results.trainings[0], state="failed", seconds=0.0)
    shown = texts(training_cost(replace(results, trainings=(failed, *results.trainings[1:]))))
    assert {"maml · 3 seeds (1 failed)", "protonet · 3 seeds"} <= shown
    assert "0.67" in shown  # minutes, of those two that took some


def test_the_cost_on_each_device_is_a_bar_of_its_own(make_results):
    results = make_results(("maml", "protonet"), ((5, 1),), seeds=(0, 1, 2))
    first, second, *rest = results.trainings
    assert first.variants == second.variants == ("maml",)
    others = (replace(first, device="H200", seconds=60.0), replace(second, device="H200", seconds=60.0))
    figure = training_cost(replace(results, trainings=(*rest, *others)))
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["maml · H200 · 2 seeds", "maml · cpu", "protonet · cpu · 3 seeds"]
    assert "1.00" in texts(figure)


def test_points_tell_their_values(make_results):
    results = make_results(("maml",), ((5, 1), (5, 5)))
    told = re.findall(
        r'<g class="value"><title>([^<]*)</title>', to_svg(accuracy_against_shots(summarise(results))).decode()
    )
    cells = summarise(results).cells
    assert told == [f"maml 5-way {c.n_shot}-shot: {accuracy(c.mean, c.half_width)} %" for c in cells]


def test_cells_of_the_heat_map_are_the_same_on_a_dark_page():
    cells = [matplotlib.colormaps["viridis"](step) for step in range(256)]
    assert not DARK.keys() & {matplotlib.colors.to_hex(cell) for cell in cells}
    assert not DARK.keys() & {readable_on(*cell[:3]) for cell in cells}


def test_a_variant_keeps_its_style_whoever_stands_beside_it():
    assert styles(("reptile",))["reptile"] == styles(MANY)["reptile"]


@pytest.mark.parametrize("value", [0.0, 0.25, 0.5, 0.75, 1.0])
def test_numbers_on_the_heat_map_are_readable(value):
    colour = matplotlib.colormaps["viridis"](value)[:3]
    assert contrast(readable_on(*colour), colour) >= 4.5
