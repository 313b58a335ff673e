"""LaTeX as its reader sees it, as far as tables and the words around them need it: markup is gone."""

import re

from fewshot_bench.tables.documents import LATEX
from fewshot_bench.tables.verify.seen import BOLD, marked

# command -> how many of its arguments are no text; optional ones are dropped with them
UNSEEN = {
    "footnote": 1, "footnotemark": 0, "tnote": 1, "cite": 1, "citep": 1, "citet": 1, "label": 1,
    "ref": 1, "phantom": 1, "hphantom": 1, "vphantom": 1, "color": 1, "textcolor": 1, "cellcolor": 1, "rowcolor": 1,
    "hspace": 1, "vspace": 1, "rule": 2, "cmidrule": 1, "cline": 1, "addlinespace": 0, "toprule": 0, "midrule": 0,
    "bottomrule": 0, "multicolumn": 2, "multirow": 2, "raisebox": 1, "fontsize": 2, "href": 1, "hyperlink": 1,
    "hypertarget": 1, "begin": 1, "end": 1, "sbox": 1,
}  # fmt: skip
SHOWN = {"textasteriskcentered": "*", "ast": "*", "textbf": BOLD, "bfseries": BOLD} | {
    command.strip("${}^\\"): chr(letter) for letter, command in LATEX.items() if command.strip("${}^\\").isalpha()
}
SHOWN["times"] = "×"
COMMAND = re.compile(r"\\(?:([A-Za-z]+)\*?\s*|(.))", re.DOTALL)
OPTION = re.compile(r"\s*(?:\[[^\]]{0,99}\]|\([^)]{0,99}\))")
PLAIN = re.compile(r"[^\\^{}$~_]+")


def plain_latex(text: str) -> str:
    """The text without markup, with BOLD where bold begins and MARK before each footnote mark."""
    shown, i = list[str](), 0
    while i < len(text):
        if plain := PLAIN.match(text, i):
            i = plain.end()
            shown.append(plain[0])
        elif command := COMMAND.match(text, i):
            name, i = command[1] or "", command.end()
            if name == "textsuperscript":
                raised, i = _raised(text, i)
                shown.append(raised)
            elif name in UNSEEN:
                i = _skip(text, i, UNSEEN[name])
            shown.append(SHOWN.get(name, "") if name else (command[2] if command[2] in "%&_#{}$" else " "))
        elif text[i] == "^":
            raised, i = _raised(text, i + 1)
            shown.append(raised)
        else:
            shown.append("" if text[i] in "{}$" else " " if text[i] in "~_" else text[i])
            i += 1
    return " ".join("".join(shown).split())


def _raised(text: str, i: int) -> tuple[str, int]:
    """The marks in what stands raised at i, and the place behind it."""
    command = COMMAND.match(text, i)
    end = command.end() if command else _skip_group(text, i)
    raised = text[i:end]
    return marked(plain_latex(raised) if len(raised) < 99 else ""), end


def _skip(text: str, i: int, n_arguments: int) -> int:
    """Behind the optional and the first n_arguments other arguments of a command."""
    while option := OPTION.match(text, i):
        i = option.end()
    for _ in range(n_arguments):
        while i < len(text) and text[i].isspace():
            i += 1
        i = _skip_group(text, i)
    return i


def _skip_group(text: str, i: int) -> int:
    """Behind the group in braces that begins at i, or the one character there."""
    depth = 0
    while i < len(text):
        depth += (text[i] == "{") - (text[i] == "}")
        i += 2 if text[i] == "\\" else 1
        if depth <= 0:
            break
    return i
