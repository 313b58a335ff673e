"""The critical-difference diagram: what stands in it, in any shape."""

import io

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from fewshot_bench.reports import ranks_plot
from fewshot_bench.reports.canvas import WIDE, to_png, to_svg
from fewshot_bench.reports.palette import styles
from fewshot_bench.reports.ranks_plot import critical_differences
from fewshot_bench.tables.ranks import Ranked, Ranking, rank
from fewshot_bench.tables.summary import summarise

LONG = ("protonet", "maml", "$x$", *(f"a-variant-with-a-LONG-NAME-{i}" for i in range(12)))


def shown(figure):
    return [text for text in figure.findobj(Text) if text.get_text()]


def boxes(figure):
    figure.canvas = FigureCanvasAgg(figure)
    renderer = figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in shown(figure)]


def bars(figure):
    """From and to which rank the thick lines go."""
    [axes] = figure.axes
    return [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() > 3]


def test_same_table_same_bytes(make_results):
    table = summarise(make_results())
    first, second = (to_svg(critical_differences(table)) for _ in range(2))
    assert first == second


@pytest.mark.parametrize("variants", [LONG, LONG[:7], LONG[:3]], ids=len)
def test_nothing_is_cut_off_and_no_two_texts_overlap(make_results, variants):
    figure = critical_differences(summarise(make_results(variants)))
    found = boxes(figure)
    width, height = figure.get_size_inches() * figure.dpi
    assert all(0 <= box.x0 < box.x1 <= width and 0 <= box.y0 < box.y1 <= height for box in found)
    for i, box in enumerate(found):
        assert not any(box.overlaps(other) for other in found[i + 1 :])
    assert min(Image.open(io.BytesIO(to_png(figure))).size) > 50


def test_usual_names_fit_a_page(make_results):
    assert critical_differences(summarise(make_results())).get_figwidth() == WIDE


def test_names_and_ranks_of_all_variants_in_their_colours(make_results):
    table = summarise(make_results())
    found = rank(table)
    figure = critical_differences(table)
    texts = {" ".join(text.get_text().split()): text.get_color() for text in shown(figure)}
    for i, ranked in enumerate(found.ranked):
        words = [ranked.variant, f"{ranked.mean_rank:.2f}"]
        label = " ".join(words if i < 4 else reversed(words))
        assert texts[label] == styles(table.variants)[ranked.variant].colour


def test_colours_are_those_of_the_table_whoever_ranks_first(make_results):
    table = summarise(make_results(("own-a", "own-b", "own-c", "own-d")))
    colours = {t.get_text().split()[0]: t.get_color() for t in shown(critical_differences(table))}
    colours |= {t.get_text().split()[-1]: t.get_color() for t in shown(critical_differences(table))}
    for name, style in styles(table.variants).items():
        assert colours[name] == style.colour


def test_critical_difference_is_drawn_to_scale_and_named(make_results):
    table = summarise(make_results())
    found = rank(table)
    figure = critical_differences(table)
    assert f"critical difference {found.critical_difference:.2f}, 9 settings" in {t.get_text() for t in shown(figure)}
    [length] = [
        np.asarray(line.get_xdata())
        for line in figure.axes[0].lines
        if len(set(np.asarray(line.get_ydata()))) == 1 and np.asarray(line.get_ydata())[0] < -1
    ]
    assert length[1] - length[0] == pytest.approx(found.critical_difference)


def with_ranking(monkeypatch, ranks, p, critical_difference):
    ranked = tuple(Ranked(name, rank, 1.0) for name, rank in zip(("maml", "protonet", "reptile"), ranks, strict=True))
    monkeypatch.setattr(ranks_plot, "rank", lambda table: Ranking(ranked, ((5, 1),) * 9, p, critical_difference))


def test_bars_join_who_is_not_separated(make_results, monkeypatch):
    table = summarise(make_results(("maml", "protonet", "reptile")))
    with_ranking(monkeypatch, (1.0, 1.4, 3.0), 0.001, 1.1)
    [(first, last)] = bars(critical_differences(table))
    assert first == pytest.approx(1.0, abs=0.1)
    assert last == pytest.approx(1.4, abs=0.1)
    with_ranking(monkeypatch, (1.0, 2.0, 3.0), 0.001, 0.9)
    assert bars(critical_differences(table)) == []


def test_says_when_nothing_is_separated(make_results, monkeypatch):
    table = summarise(make_results(("maml", "protonet", "reptile")))
    with_ranking(monkeypatch, (1.0, 2.0, 3.0), 0.3, 1.1)
    figure = critical_differences(table)
    assert "critical difference 1.10, 9 settings: nothing is separated" in {t.get_text() for t in shown(figure)}
    assert len(bars(figure)) == 1
