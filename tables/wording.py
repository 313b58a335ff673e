"""How names and numbers are spelled, once for every output: settings, cells, percentages, p-values, durations."""

from collections.abc import Collection, Sequence, Sized
from unicodedata import combining, east_asian_width


def setting_name(n_way: int, n_shot: int) -> str:
    """ "5-way 1-shot"."""
    return f"{n_way}-way {n_shot}-shot"


def cell_name(variant: str, n_way: int, n_shot: int, seed: int | None = None) -> str:
    """ "maml 5-way 1-shot", or "maml 5-way 1-shot seed 0"."""
    return f"{variant} {setting_name(n_way, n_shot)}" + ("" if seed is None else f" seed {seed}")


def shots(n_shot: int) -> str:
    """ "1 shot", "5 shots"."""
    return f"{n_shot} shot{'' if n_shot == 1 else 's'}"


def counted(things: Sized | int, one: str, several: str = "") -> str:
    """ "1 cell", "1,440 cells"."""
    n = things if isinstance(things, int) else len(things)
    return f"{n:,} {one if n == 1 else several or one + 's'}"


def joined(parts: Sequence[str]) -> str:
    """ "a, b and c"."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def bare_name(name: str) -> str:
    """What stays of a name however it is set: "MAML MTL" and maml-mtl are mamlmtl."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def pairs_counted(n_tests: Collection[int]) -> str:
    """ "21 pairs", or "3 to 21 pairs": the families of several settings."""
    low, high = min(n_tests), max(n_tests)
    return f"{low:,} to " * (low < high) + counted(high, "pair")


def conflict(n_cells: int, n_same_weights: int, where: str) -> str:
    """That one experiment has two results, as `bench merge` finds them; empty for none.

    n_same_weights: of these, cells that were tested with weights known to be the same
    """
    if not n_cells:
        return ""
    weights = f", {n_same_weights} of them with the same weights" if n_same_weights else ""
    return (
        f"{counted(n_cells, 'cell')} with one key, so of one experiment, {'has' if n_cells == 1 else 'have'} other "
        f"answers in {where}{weights}: a conflict, as `bench merge` says. No seed explains it; `bench replay` tells "
        "which of the two can be repeated."
    )


def span(low: int, high: int) -> str:
    """ "600", or "5 to 600"."""
    return f"{low}" if low == high else f"{low} to {high}"


def percent(fraction: float | None) -> str:
    """Two decimals, as papers print; empty for None."""
    return "" if fraction is None else f"{100 * fraction:.2f}"


def accuracy(mean: float | None, half_width: float | None, interval: Sequence[float] | None = None) -> str:
    """ "31.91 ± 2.00", or "99.33 (97.20–99.92)" where the interval is not around the mean; in percent, or empty."""
    return f"{percent(mean)} {reach(half_width, interval)}".strip()


def reach(half_width: float | None, interval: Sequence[float] | None) -> str:
    """ "± 2.00", or "(97.20–99.92)"; empty for None."""
    if interval:
        return "({}–{})".format(*map(percent, interval))
    return "" if half_width is None else f"± {percent(half_width)}"


def points(fraction: float | None) -> str:
    """ "+1.25": a difference in percentage points; empty for None."""
    return "" if fraction is None else f"{100 * fraction:+.2f}"


def p_value(p: float | None) -> str:
    """ "0.0031", or "< 0.0001"; empty for None."""
    return "" if p is None else "< 0.0001" if p < 0.0001 else f"{p:.4f}"


def duration(seconds: float) -> str:
    """ "12 s", "3 min", "2.5 h", "5 days"."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 360_000 else f"{seconds / 86400:.0f} days"


def rough_duration(seconds: float) -> str:
    """ "less than a minute", "about 5 min", "about 3 h": of what is only estimated."""
    if seconds < 60:
        return "less than a minute"
    return f"about {seconds / 60:.0f} min" if seconds < 5400 else f"about {seconds / 3600:,.0f} h"


WIDTH = 80  # columns of a line of text for a terminal


def beside(start: str, last: str, indent: int) -> str:
    """Both in a line, or `last` in one of its own where the line would be too wide."""
    line = f"{start}{last}".rstrip()
    return line if columns(line) <= WIDTH else f"{start.rstrip()}\n{' ' * indent}{last}"


def columns(text: str) -> int:
    """How many columns of a terminal a text takes: East Asian letters take two, those that combine none."""
    return sum(0 if combining(c) else 1 + (east_asian_width(c) in "WF") for c in text)


def padded(text: str, width: int) -> str:
    """The text, and blanks up to a width in columns of a terminal."""
    return text + " " * (width - columns(text))


def aligned(rows: Sequence[Sequence[str]], left: Collection[int]) -> list[str]:
    """Lines with columns of equal width: those with numbers in `left` to the left, the others to the right."""
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            padded(text, width) if i in left else " " * (width - columns(text)) + text
            for i, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
