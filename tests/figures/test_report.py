"""The report as its readers meet it, and the README's block that comes from the same numbers."""

import importlib
import json
import re
import shutil
from html.parser import HTMLParser

import pytest

from pipeline import figures, paths, readme
from pipeline.artifacts import sha256_file

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """What a page holds: elements in order, with their attributes; and whether its tags are balanced."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def reported(filled):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(filled)
        stage = {name: importlib.import_module(f"pipeline.stages.{name}") for name in ("figure", "report")}
        for name in ("meta_training", "online_learning", "generalisation", "association"):
            stage["figure"].main([name])
        stage["report"].main([])
    return filled


@pytest.fixture
def page(reported, profile):
    return Page(paths.report("index.html").read_text())


def test_every_figure_is_inside_with_words_for_those_who_cannot_see_it(page, items):
    images = page.all("img")
    assert [image["alt"] for image in images] == [figures.module(name, items).ALT for name in items.figures]
    assert all(image["src"].startswith("data:image/png;base64,iVBOR") for image in images)
    assert len(page.all("figcaption")) == len(images)
    assert "3 meta-seeds with 16 lives each" in "".join(page.text)


def test_the_page_is_whole_and_needs_nothing_else(page):
    assert page.open == []
    assert not page.all("script") + page.all("link")
    assert [link["href"] for link in page.all("a")] == ["https://arxiv.org/abs/2012.14905"]
    assert page.all("html")[0]["lang"] == "en"
    assert [len(page.all(tag)) for tag in ("h1", "main", "title")] == [1, 1, 1]


def test_tables_have_captions_and_headers_with_a_scope(page):
    assert len(page.all("caption")) == len(page.all("table")) == 5
    scopes = [header.get("scope") for header in page.all("th")]
    assert set(scopes) == {"col", "row"}
    assert scopes.count("row") == 3 * 6 + 9 + 3  # sets at three moments, learners at sightings, seeds


def test_results_are_flat_and_finite_json(reported, profile):
    text = paths.report("results.json").read_text()
    found = json.loads(text, parse_constant=pytest.fail)
    assert {name.count("/") for name in found} == {2}
    assert found["digits/vsml/cumulative@100"]["n"] == 48
    assert found["wine/adam_hidden/cumulative@178"]["n"] == 16
    assert found["wine/adam_hidden/cumulative@178"]["rate"] == 0.003
    assert found["digits/vsml/second_sighting_probability"]["n"] == 24
    assert found["digits/sgd/first_sighting_accuracy"]["n"] == 8
    assert found["meta_train/vsml/final_loss"]["n"] == 3


def test_the_same_tables_give_the_same_report(reported, profile):
    outs = [paths.report("index.html"), paths.report("results.json")]
    before = [sha256_file(path) for path in outs]
    importlib.import_module("pipeline.stages.report").main([])
    assert [sha256_file(path) for path in outs] == before
    text = outs[0].read_text()
    assert str(profile) not in text
    assert str(paths.ROOT) not in text


@pytest.fixture
def root(reported, profile, tmp_path):
    (tmp_path / "README.md").write_text(f"# Title\n\n{readme.BEGIN}\nold\n{readme.END}\n\nThe end.\n")
    readme.main([], tmp_path)
    return tmp_path


def test_the_readme_shows_the_results_and_keeps_what_is_around_them(root, items):
    text = (root / "README.md").read_text()
    assert text.startswith("# Title\n\n<!-- results:begin -->\n| Data set |")
    assert text.endswith("<!-- results:end -->\n\nThe end.\n")
    rows = re.findall(r"^\| (\w.*?) \(", text, flags=re.MULTILINE)
    assert rows == ["Digits", "Breast cancer", "Iris", "Wine", "Random", "Sum sign"]
    entry = json.loads((root / "docs/results.json").read_text())["digits/vsml/cumulative@480"]
    assert f"**{entry['value']:.2f} ± {entry['sd']:.2f}**" in text
    assert "n = 48 for VSML" in text
    assert "SGD or Adam wins on 1 of 6 sets: Sum sign (SGD 0.90" in text
    for name in items.figures:
        assert sha256_file(root / f"docs/figures/{name}.png") == sha256_file(paths.figure(name))


def test_writing_the_readme_again_changes_nothing(root):
    before = sha256_file(root / "README.md")
    readme.main([], root)
    assert sha256_file(root / "README.md") == before


def test_check_passes_until_somebody_edits_a_number(root):
    readme.main(["--check"], root)
    page = root / "README.md"
    page.write_text(page.read_text().replace("± 0.0", "± 0.1", 1))
    with pytest.raises(SystemExit, match=r"is not what .*results\.json says") as stop:
        readme.main(["--check"], root)
    assert isinstance(stop.value.code, str)  # printed, with the exit status 1


def test_check_needs_no_artifacts(root, monkeypatch, tmp_path_factory):
    monkeypatch.chdir(tmp_path_factory.mktemp("clone"))
    readme.main(["--check"], root)


@pytest.mark.parametrize("lost", [readme.BEGIN, readme.END])
def test_a_lost_marker_is_named(root, lost):
    page = root / "README.md"
    page.write_text(page.read_text().replace(lost, ""))
    with pytest.raises(SystemExit, match=f"README.md must have one line .*{lost}"):
        readme.main([], root)


def test_check_of_results_never_stored_says_what_to_do(root):
    (root / "docs/results.json").unlink()
    with pytest.raises(SystemExit, match=r"docs/results.json is missing: run `python -m pipeline readme` without"):
        readme.main(["--check"], root)


def test_a_report_that_was_never_made_is_named(root, tmp_path, monkeypatch):
    shutil.copy(paths.ROOT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match=r"artifacts/report/results.json is missing: run `dvc repro` first"):
        readme.main([], root)
