"""One escaper a format: names and reasons come from configurations and exceptions, so any text can arrive."""

_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "%": r"\%",
        "&": r"\&",
        "#": r"\#",
        "_": r"\_",
        "$": r"\$",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        '"': "''",
        "`": r"\textasciigrave{}",
        "±": r"$\pm$",
        "×": r"$\times$",
        "✗": r"$\times$",
        "†": r"$\dagger$",
        "‡": r"$\ddagger$",
        "§": r"\textsection{}",
        "¶": r"\textparagraph{}",
        "°": r"$^\circ$",
        "β": r"$\beta$",
        "θ": r"$\theta$",
        "≤": r"$\leq$",
        "≥": r"$\geq$",
        "·": r"$\cdot$",
        "—": "---",
        "–": "--",
        "…": r"\dots{}",
    }
)
_MARKDOWN = str.maketrans(
    {letter: f"\\{letter}" for letter in "\\`*_{}[]#|~$"} | {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
)
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def one_line(value: object) -> str:
    """The text without line breaks and other control characters: none may end a comment or a table row."""
    shown = "".join(letter if letter.isprintable() else " " for letter in str(value))
    return " ".join(shown.split())


def latex(value: object) -> str:
    """Text that LaTeX prints as it is; replaced in one pass, so that no replacement is escaped again."""
    return one_line(value) if isinstance(value, Comment) else one_line(value).translate(_LATEX)


class Comment(str):
    """What follows a % in LaTeX: not printed, so not escaped; one line, so that it cannot end."""


def markdown(value: object) -> str:
    """Text that Markdown (GitHub's too) prints as it is, inside a table cell as well."""
    return one_line(value).translate(_MARKDOWN)


def csv_text(value: str) -> str:
    """Text that a spreadsheet shows instead of computing: a leading apostrophe disarms formulas."""
    return f"'{value}" if value.lstrip(" ").startswith(_FORMULA_STARTS) else value
