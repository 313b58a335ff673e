"""What the printed formats share: one escaper and one template environment a format, JSON, JUnit XML.

Names and reasons come from configurations and exceptions, so any text can arrive.
"""

import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "#": r"\#", "_": r"\_",
        "$": r"\$", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
        ">": r"\textgreater{}", "|": r"\textbar{}", '"': "''", "`": r"\textasciigrave{}", "±": r"$\pm$",
        "×": r"$\times$", "✗": r"$\times$", "†": r"$\dagger$", "‡": r"$\ddagger$", "§": r"\textsection{}",
        "¶": r"\textparagraph{}", "°": r"$^\circ$", "β": r"$\beta$", "θ": r"$\theta$", "≤": r"$\leq$",
        "≥": r"$\geq$", "·": r"$\cdot$", "—": "---", "–": "--", "…": r"\dots{}",
    }
)  # fmt: skip
_MARKDOWN = str.maketrans(
    {letter: f"\\{letter}" for letter in "\\`*_{}[]#|~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
_FORMULA_STARTS = tuple("=+-@\t\r\n\uff1d\uff0b\uff0d\uff20")  # the last four are wide forms of the first


def one_line(value: object) -> str:
    """The text without line breaks and other control characters: none may end a comment or a table row."""
    shown = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return " ".join(shown.split())


def latex(value: object) -> str:
    """Text that LaTeX prints as it is; replaced in one pass, so that no replacement is escaped again."""
    return one_line(value) if isinstance(value, Comment) else one_line(value).translate(LATEX)


class Comment(str):
    """What follows a % in LaTeX: not printed, so not escaped; one line, so that it cannot end."""


def markdown(value: object) -> str:
    """Text that Markdown (GitHub's too) prints as it is, inside a table cell as well."""
    return one_line(value).translate(_MARKDOWN)


def csv_text(value: str) -> str:
    """Text that a spreadsheet shows instead of computing: a leading apostrophe disarms formulas."""
    return f"'{value}" if value.lstrip(" \xa0\u3000").startswith(_FORMULA_STARTS) else value


@cache
def html_environment() -> Environment:
    """The templates of HTML, escaped."""
    return environment("fewshot_bench.tables", autoescape=True)


@cache
def markdown_environment() -> Environment:
    """The templates of Markdown, escaped as it is printed."""
    return environment("fewshot_bench.tables", autoescape=False, finalize=markdown)


@cache
def latex_environment() -> Environment:
    """The templates of LaTeX, escaped as it is printed."""
    return environment(  # braces and percent signs belong to LaTeX
        package="fewshot_bench.tables",
        autoescape=False,
        finalize=latex,
        block_start_string="((*",
        block_end_string="*))",
        variable_start_string="(((",
        variable_end_string=")))",
        comment_start_string="((=",
        comment_end_string="=))",
    )


def environment(package: str, autoescape: bool, **options: Any) -> Environment:
    """The jinja2 environment of a package's templates; `autoescape` must be on for HTML."""
    return Environment(
        loader=PackageLoader(package, "templates"),
        autoescape=autoescape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        **options,
    )


def rendered(renderers: Mapping[str, Callable[..., str]], format: str, *what: Any) -> str:
    """By the renderer of a format; raises ValueError on an unknown one."""
    if format not in renderers:
        raise ValueError(f"unknown format {format!r}; known: {', '.join(renderers)}")
    return renderers[format](*what)


def json_text(document: Mapping[str, Any]) -> str:
    """The document, readable; NaN is refused, since JSON has none."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


@dataclass(frozen=True)
class Case:
    """One test case of a JUnit report; `failure` names its type, and is empty where it did not fail."""

    classname: str
    name: str
    message: str
    failure: str = ""
    skipped: bool = False
    text: str = ""  # besides the message


def junit(suite_name: str, cases: Sequence[Case], told: str = "") -> str:
    """A JUnit report with one suite; `told` is about the whole of it."""
    suite = ET.Element(
        "testsuite",
        name=one_line(suite_name),
        tests=str(len(cases)),
        failures=str(sum(bool(case.failure) for case in cases)),
        errors="0",
        skipped=str(sum(case.skipped for case in cases)),
    )
    for case in cases:
        element = ET.SubElement(suite, "testcase", classname=case.classname, name=one_line(case.name), time="0")
        if case.failure:
            ET.SubElement(element, "failure", message=case.message, type=case.failure).text = case.text or None
        elif case.skipped:
            ET.SubElement(element, "skipped", message=case.message).text = case.text or None
        else:
            ET.SubElement(element, "system-out").text = case.text or case.message
    if told:
        ET.SubElement(suite, "system-out").text = told
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ET.tostring(suites, encoding="unicode") + "\n"
