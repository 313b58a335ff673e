"""Writes the pages."""

from pathlib import Path

from benchmarks.measured.answer import PLOT, answer_page, picture
from benchmarks.measured.page import FEATURES, NAME, results_page
from fewshot_bench.results.claims import judgement
from fewshot_bench.results.collect import results
from fewshot_bench.results.reading_back import choose_stored, shipped

DOCS = Path(__file__).resolve().parents[2] / "docs"


def main() -> None:
    """Write the pages."""
    chosen = choose_stored(shipped(NAME))
    stored = results(chosen, with_answers=True, with_budgets=True)
    features = results(choose_stored(shipped(FEATURES)), with_answers=True)
    judged = judgement(None, shipped(NAME))
    (DOCS / "results.md").write_text(results_page(stored, judged, chosen, features), encoding="utf-8")
    (DOCS / "answer.md").write_text(answer_page(stored, judged, features), encoding="utf-8")
    (DOCS / PLOT).write_bytes(picture(stored, features))


if __name__ == "__main__":
    main()
