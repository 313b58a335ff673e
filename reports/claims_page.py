"""Judged claims as one self-contained HTML page, in the report's style."""

from markupsafe import Markup

from fewshot_bench.reports.inline_svg import colours
from fewshot_bench.tables.claims.render import render_claims
from fewshot_bench.tables.claims.verdicts import Judgement
from fewshot_bench.tables.documents import environment


def claims_page(judgement: Judgement) -> str:
    """The whole page; it loads nothing from outside itself."""
    templates = environment("fewshot_bench.reports", autoescape=True)
    return templates.get_template("claims.html.j2").render(
        colours=colours,
        experiment=judgement.experiment,
        claims_html=Markup(render_claims(judgement, "html")),  # escaped by its own template
    )
