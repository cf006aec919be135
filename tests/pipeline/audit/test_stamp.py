"""What a drawn file says of itself, and what an audit reads without DVC."""

import itertools
from typing import Any

import pytest

from pipeline.audit.whence import PNG, read_stamp
from pipeline.run import job as provenance
from pipeline.show.style import Figure, save

TEXT = provenance.stamped("figure", ("cloning",), "a" * 64, {"table.npz": "c" * 64})


@pytest.mark.parametrize("ending", ["png", "pdf"])
def test_a_stamp_is_read_back_and_keeps_bytes_stable(tmp_path, ending):
    one, two = (tmp_path / f"{name}.{ending}" for name in ("one", "two"))
    for path in (one, two):
        save(Figure((1, 1)), path, TEXT)
        found = read_stamp(path)
        assert found and (found[0], *found.group("stage", "item", "plan")) == (TEXT, "figure", "cloning", "a" * 64)
    assert one.read_bytes() == two.read_bytes()


def test_the_stamp_of_a_page_has_no_item_and_a_file_without_a_whole_stamp_has_none(tmp_path):
    text = provenance.stamped("report", (), "a" * 64, {})
    (tmp_path / "page.html").write_text(f'<html><head><meta name="provenance" content="{text}">')
    found = read_stamp(tmp_path / "page.html")
    assert found and found.group("stage", "item") == ("report", None)
    for content in (b"", b"no picture", PNG + b"\0\0\xff\xfftEXtProve", b"%PDF /Keywords (x)"):
        (tmp_path / "file").write_bytes(content)
        assert read_stamp(tmp_path / "file") is None


def test_a_damaged_picture_has_the_stamp_that_was_drawn_or_none(tmp_path):
    """Wherever it is cut off, and whichever byte of the header, the text or what follows is another."""
    path = tmp_path / "figure.png"
    save(Figure((1, 1)), path, TEXT)
    whole = path.read_bytes()
    until = whole.index(TEXT.encode()) + len(TEXT) + 64
    damaged = [whole[:length] for length in (*range(until), *range(until, len(whole), 101))]
    flips = itertools.product(range(until), (1, 0x20, 0xFF))
    texts = []
    for content in (*damaged, *(whole[:at] + bytes([whole[at] ^ flip]) + whole[at + 1 :] for at, flip in flips)):
        path.write_bytes(content)
        found = read_stamp(path)
        texts.append(found and found[0])
    assert set(texts) == {None, TEXT}
    assert texts[until:][0] == TEXT  # of a picture that breaks off in its pixels


def test_each_input_changes_the_stamp():
    whole: dict[str, Any] = {"stage": "figure", "words": ("cloning",), "plan": "a" * 64, "tables": {"x.npz": "c"}}
    others: dict[str, Any] = {"stage": "report", "words": ("x",), "plan": "d", "tables": {"x.npz": "d"}}
    texts = {provenance.stamped(**whole | {name: value}) for name, value in (*others.items(), ("plan", whole["plan"]))}
    assert len(texts) == 5
