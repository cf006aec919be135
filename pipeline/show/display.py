"""Tables for readers: one value for the report's page (page/table.html), the README and cards (Markdown)."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Literal, NamedTuple


class Cell(NamedTuple):
    """Words, a note in small print below them, what marks them, and words after them that are not marked.

    best: the highest of its row. seen: from a set of meta-training. verdict: on a claim.
    """

    text: str
    note: str = ""
    mark: Literal["", "best", "seen", "verdict"] = ""
    after: str = ""


class Table(NamedTuple):
    """Heads of columns and rows of cells; on a page also a short name, a caption and a note below.

    The first cell of a row is its head. None is a cell that is one with the cell above it.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[Cell | str | None]]
    label: str = ""
    caption: str = ""
    note: str = ""

    def spanned(self) -> Iterator[list[tuple[Cell, int, bool]]]:
        """For HTML, the cells of each row: each with the number of rows that it spans, and whether it is a head."""
        for number, row in enumerate(self.rows):
            cells = []
            for column, cell in enumerate(row):
                if cell is not None:
                    below = (other[column] for other in self.rows[number + 1 :])
                    spans = 1 + len(list(takewhile(lambda other: other is None, below)))
                    cells.append((Cell(cell) if isinstance(cell, str) else cell, spans, column == 0))
            yield cells

    def markdown(self, align: str = "") -> str:
        """The table without caption and note. `align` has an l or r for each column: if none is said, l, r, r, ..."""
        rule = [":--" if way == "l" else "--:" for way in align or "l" + "r" * (len(self.heads) - 1)]
        return lines([self.heads, rule, *self.rows])


def lines(rows: Iterable[Sequence[Cell | str | None]]) -> str:
    """Rows of a table in Markdown."""
    every = ([Cell(cell or "") if not isinstance(cell, Cell) else cell for cell in row] for row in rows)
    words = ([(f"**{c.text}**" if c.mark == "best" else c.text) + c.after for c in row] for row in every)
    return "\n".join(f"| {' | '.join(row)} |" for row in words)
