"""The paper's sentences as the page of results judges them."""

from fewshot_bench.tables.claims import words
from fewshot_bench.tables.claims.verdicts import Judgement


def verdicts(judged: Judgement) -> list[str]:
    """A line a sentence."""
    lines = ["| sentence | reading | verdict | comparisons |", "|:---|:---|:---|:---|"]
    for one in judged.claims:
        said, _, counts = words.measured(one, judged).partition(": ")
        lines.append(f"| “{one.claim.sentence}” | {one.claim.reading} | {said} | {counts} |")
    return lines
