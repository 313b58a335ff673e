"""Which column of a rendered table holds what, by its heading."""

from fewshot_bench.tables.verify.rendered import RenderedTable


def find_columns(table: RenderedTable, names: list[str], last: list[str]) -> tuple[dict[str, int], list[str]]:
    """Name -> its place in a row, by the heading of the table; a heading that was reworded is taken by its place.

    `last` are names to be looked for from the right. Returns the places, and the headings that were reworded.
    """
    header = header_of(table)
    titles = dict(enumerate(map(_letters, header), start=1))
    places: dict[str, int] = {}
    for name, columns in [(n, list(titles)[::-1]) for n in reversed(last)] + [(n, list(titles)) for n in names]:
        found = [column for column in columns if titles[column] == _letters(name) and column not in places.values()]
        places |= {name: found[0]} if found and _letters(name) else {}
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


def _letters(text: str) -> str:
    """What stays of a name when it is set nicely: "MAML MTL" is maml-mtl."""
    return "".join(letter for letter in text.casefold() if letter.isalnum())
