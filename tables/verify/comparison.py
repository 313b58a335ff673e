"""Two documents side by side: which cells of a table, and which words, are not what they should be."""

from collections import Counter
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher

from fewshot_bench.tables.verify.finding import Finding, edited, gone
from fewshot_bench.tables.verify.rendered import Passage, RenderedRow, RenderedTable
from fewshot_bench.tables.verify.seen import Field, digits
from fewshot_bench.tables.wording import bare_name

IMAGES = "the section 'The images'"
FEWEST = 4  # words that tell one passage from another


def find_columns(table: RenderedTable, names: list[str], last: list[str]) -> tuple[dict[str, int], list[str]]:
    """Name -> its place in a row, by the heading of the table; a heading that was reworded is taken by its place.

    `last` are names to be looked for from the right. Returns the places, and the headings that were reworded.
    """
    header = header_of(table)
    titles = dict(enumerate(map(bare_name, header), start=1))
    places: dict[str, int] = {}
    for name, columns in [(n, list(titles)[::-1]) for n in reversed(last)] + [(n, list(titles)) for n in names]:
        found = [column for column in columns if titles[column] == bare_name(name) and column not in places.values()]
        places |= {name: found[0]} if found and bare_name(name) else {}
    free = [column for column in titles if column not in places.values()]
    missing = [name for name in (*names, *last) if name not in places]
    if len(free) != len(missing):
        return places, []
    return places | dict(zip(missing, free, strict=True)), [header[column - 1] for column in free]


def header_of(table: RenderedTable) -> list[str]:
    """The titles of the columns, without the first; empty where there is no heading."""
    for row in table.rows:
        if row.facts:
            break
        if len(row.fields) > 1:
            return [field.text for field in row.fields[1:]]
    return []


def compare_field(name: str, true: Field, seen: Field, whose: str, marks: bool) -> Iterator[Finding]:
    """At most one finding; `marks`: whether bold and marks must be right, too."""
    if digits(true.text) != digits(seen.text):
        yield edited(seen.line, name, seen.text, true.text, whose)
    elif marks and (true.marks, true.bold) != (seen.marks, seen.bold):
        yield edited(seen.line, name, seen.words, true.words, "what is stored gives")
    elif marks and not digits(true.text)[0] and true.text != seen.text:
        yield edited(seen.line, name, seen.text, true.text, "what is stored gives")


def compare_rows(true: Sequence[RenderedRow], seen: RenderedTable, of_what: str) -> Iterator[Finding]:
    """Every cell of a table without facts of its own, by its column's title and its row's first cell."""
    titles = [field.text for field in true[0].fields] if true else []
    rows = [row for row in seen.rows if row.fields]
    for number, row in enumerate(true):
        name = row.fields[0].text if row.fields else ""
        if number >= len(rows):
            yield gone(seen.line, f"{name} in {of_what}", "is missing")
            continue
        for column, field in enumerate(row.fields):
            where = f"{titles[column] if column < len(titles) else 'a cell'} of {name} in {of_what}"
            if column >= len(rows[number].fields):
                yield gone(rows[number].line, where, "is missing")
            elif field.words != rows[number].fields[column].words:
                found = rows[number].fields[column]
                yield edited(found.line, where, found.words, field.words, "what is stored gives")
    for extra in rows[len(true) :]:
        words = " ".join(field.words for field in extra.fields)
        yield edited(extra.line, f"a row of {of_what}", words, "nothing", "what is stored gives")


def added_passages(true: Sequence[Passage], seen: Sequence[Passage]) -> Iterator[Finding]:
    """Every section of a page that is not among its own; but for that of images, which are not rendered again."""
    names = {passage.name for passage in true} | {IMAGES}
    for passage in seen:
        if passage.words and passage.name not in names:
            shown = _quoted([word for _, word in passage.words])
            yield edited(passage.words[0][0], passage.name or "a section", shown, "nothing", "what is stored gives")


def compare_passages(true: Sequence[Passage], seen: Sequence[Passage], is_page: bool) -> Iterator[Finding]:
    """Every change of the words of a passage; but for a page, what stands before or behind it is its author's own."""
    for passage in true:
        words = [word for _, word in passage.words]
        if sum(word.isalpha() for word in words) < FEWEST:
            continue
        among = [other for other in seen if other.words and (other.name == passage.name or not is_page)]
        best = max(among, key=lambda other: _common(words, other), default=None)
        if best is None or 2 * _common(words, best) < len(words):
            yield gone(1 if best is None else best.words[0][0], passage.name, "is missing, or reads otherwise")
            continue
        yield from _changes(passage.name, words, best.words, is_page)


def _changes(name: str, true: list[str], seen: list[tuple[int, str]], edges: bool) -> Iterator[Finding]:
    for change, i, j, k, m in SequenceMatcher(None, true, [word for _, word in seen], autojunk=False).get_opcodes():
        if change == "equal" or (change == "insert" and i in (0, len(true)) and not edges):
            continue
        line = seen[min(k, len(seen) - 1)][0]
        context = " ".join(true[max(0, i - 2) : i])
        told = f"{name}, after {context!r}," if context else name
        yield edited(line, told, _quoted([w for _, w in seen[k:m]]), _quoted(true[i:j]), "what is stored gives")


def _quoted(words: Sequence[str]) -> str:
    return repr(" ".join(words)) if words else "nothing"


def _common(words: Sequence[str], other: Passage) -> int:
    return sum((Counter(words) & Counter(word for _, word in other.words)).values())
