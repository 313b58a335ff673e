"""Names in any script are drawn without a warning, and can be read."""

import pytest
from matplotlib.figure import Figure

from fewshot_bench.reports import fonts
from fewshot_bench.reports.canvas import styled, to_png, to_svg
from fewshot_bench.reports.report import documents

NAMES = ["元学习", "メタ学習", "메타학습", "मेटा"]


def figure(label: str) -> Figure:
    with styled():
        drawn = Figure(figsize=(4, 2), layout="constrained")
        axes = drawn.subplots()
        axes.set_yticks([0, 1], ["maml", label])
        axes.plot([0, 1], [0, 1], label=label)
        axes.legend()
        axes.set_title(label)
    return drawn


@pytest.mark.parametrize("name", NAMES)
def test_an_svg_shows_a_name_in_any_script(name, monkeypatch):
    monkeypatch.setattr(fonts, "_font_with", lambda letters: None)  # as where no font has it
    shown = to_svg(figure(name))
    assert shown.decode().count(f">{name}</text>") == 3
    assert shown == to_svg(figure(name))
    assert to_png(figure(name))


def test_a_font_that_has_the_letters_draws_them():
    """Old letters stand in for a script that a second font has here."""
    known = fonts._letters(fonts._default())
    letter = next(chr(c) for c in range(0x250, 0x10000) if chr(c) not in known and fonts._font_with(frozenset(chr(c))))
    assert b"<text" not in to_svg(figure(letter))


def test_names_that_the_font_has_stay_paths():
    assert b"<text" not in to_svg(figure("maml β=0.5"))


def test_a_report_has_names_in_any_script(make_results):
    files = documents(make_results((*NAMES, "maml"), ((5, 1), (5, 5))))
    assert all(name in files["report.html"].decode() for name in NAMES)
