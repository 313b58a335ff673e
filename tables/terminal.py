"""The means of a table as a terminal shows them: a line a variant, as many settings beside each other as fit."""

from fewshot_bench.tables.summary import Cell, Table
from fewshot_bench.tables.wording import WIDTH, columns, padded


def means_text(table: Table) -> str:
    """Mean accuracies in %, the best of each setting marked with *; - where nothing counts."""
    names = max(map(columns, table.variants))
    wide = max(len(f"{row.n_way}w{row.n_shot}s") for row in table.rows)
    wide = max(wide, len("100.0*")) + 1
    blocks, fitting = [], max(1, (WIDTH - names) // wide)
    for start in range(0, len(table.rows), fitting):
        rows = table.rows[start : start + fitting]
        head = " " * names + "".join(f"{f'{row.n_way}w{row.n_shot}s':>{wide - 1}} " for row in rows)
        lines = [
            padded(name, names) + "".join(f"{_mean(row.cells[i]):>{wide}}" for row in rows)
            for i, name in enumerate(table.variants)
        ]
        blocks.append("\n".join(line.rstrip() for line in [head, *lines]))
    return "\n\n".join(blocks)


def _mean(cell: Cell) -> str:
    return "- " if cell.mean is None else f"{100 * cell.mean:.1f}{'*' if cell.best else ' '}"
