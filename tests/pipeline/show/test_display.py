"""One table, as a page and as Markdown show it."""

import jinja2
import pytest

from pipeline.run import paths
from pipeline.show.display import Cell, Table

TABLE = Table(
    ("Task", "Learner", "Accuracy"),
    [
        [Cell("Iris", "unseen"), "SGD", Cell("0.8", "n = 3")],
        [None, "Adam", Cell("0.9", mark="best", after=" (+0.1)")],
        ["Wine <b>", "Adam", Cell("0.7", mark="seen")],
    ],
    "Short",
    "Who learns",
    "A note.",
)


def test_in_markdown_notes_are_left_out_and_the_best_is_bold():
    assert TABLE.markdown("lrr").splitlines() == [
        "| Task | Learner | Accuracy |",
        "| :-- | --: | --: |",
        "| Iris | SGD | 0.8 |",
        "|  | Adam | **0.9** (+0.1) |",
        "| Wine <b> | Adam | 0.7 |",
    ]
    assert TABLE.markdown() == TABLE.markdown("lrr")


@pytest.mark.parametrize(("cells", "spans"), [("abc", [1, 1, 1]), ("a..", [3]), ("a.b", [2, 1]), ("ab.", [1, 2])])
def test_a_cell_spans_the_rows_that_say_nothing_else(cells, spans):
    table = Table(("head",), [[None if cell == "." else cell] for cell in cells])
    assert [reach for row in table.spanned() for _, reach, _ in row] == spans


def test_on_a_page_it_has_a_name_a_caption_and_heads_with_a_scope():
    loader = jinja2.FileSystemLoader(paths.ROOT / "pipeline/show/page")
    page = jinja2.Environment(loader=loader, autoescape=True).get_template("table.html").module.table(TABLE)  # pyright: ignore
    assert 'tabindex="0" role="region" aria-label="Short"' in page and "<caption>Who learns</caption>" in page
    assert page.count('<th scope="col">') == 3 and page.count('scope="row"') == 2
    assert '<th scope="row" rowspan="2">Iris<small>unseen</small></th>' in page
    assert "<td><strong>0.9</strong></td>" in page and '<td class="seen">0.7</td>' in page
    assert "Wine &lt;b&gt;" in page and "<p>A note.</p>" in page
