"""README.md and the pages of docs/ and of the studies: their numbers, their links and their code."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline.run import paths
from pipeline.studies import blocks, readme

PAGES = [page.relative_to(paths.ROOT).as_posix() for page in readme.pages(paths.ROOT)]
WITH_BLOCKS = [page for page in PAGES if ":begin -->" in (paths.ROOT / page).read_text()]
RESULTS = {
    profile: json.loads((paths.ROOT / f"docs/{profile}/results.json").read_text()) for profile in ("", "siblings")
}


@pytest.fixture
def root(tmp_path):
    """The pages of the repository and what they are made from, to be edited."""
    shutil.copytree(paths.ROOT / "docs", tmp_path / "docs", ignore=shutil.ignore_patterns("figures"))
    for page in PAGES:
        (tmp_path / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(paths.ROOT / page, tmp_path / page)
    return tmp_path


def edit(page: Path) -> str:
    """Change the last digit of the first block of a page; returns the marker before that block."""
    text = page.read_text()
    begin, made = re.findall(r"(<!-- [^>]+:begin -->)(.*?)<!-- [^>]+:end -->", text, re.DOTALL)[0]
    at = text.index(made) + max(match.start() for match in re.finditer(r"\d", made))
    page.write_text(f"{text[:at]}{(int(text[at]) + 1) % 10}{text[at + 1 :]}")
    return begin


def row(page: str, begins: str) -> list[str]:
    """The cells of the only row of a page that begins so, without the first."""
    (line,) = [line for line in (paths.ROOT / page).read_text().splitlines() if line.startswith(f"| {begins} |")]
    return line.strip("| ").split(" | ")[1:]


def test_an_edited_number_is_refused_page_by_page_and_all_are_written_anew(root, monkeypatch):
    monkeypatch.chdir(root)  # where there are no artifacts
    begins = {page: edit(root / page) for page in WITH_BLOCKS}
    edited = {page: (root / page).read_text() for page in WITH_BLOCKS}
    for page, begin in begins.items():  # in the order in which they are checked
        said = rf"The block after {re.escape(begin)} of .*{page} is not that of .*\.json"
        with pytest.raises(SystemExit, match=said):
            readme.refresh(root, check=True)
        shutil.copy(paths.ROOT / page, root / page)
    readme.refresh(root, check=True)
    for page, text in edited.items():
        (root / page).write_text(text)
    shutil.copytree(root / "docs", root / "artifacts/bench")  # as if `make bench` had measured the same again
    readme.refresh(root, "bench")
    assert all((root / page).read_text() == (paths.ROOT / page).read_text() for page in WITH_BLOCKS)


def test_check_holds_the_pages_against_docs_and_not_against_themselves(root):
    stored, page = root / "docs/siblings/results.json", "pipeline/studies/feedback/README.md"
    results = json.loads(stored.read_text())
    results["feedback/flp_on_sines/mse"]["value"] += 1
    stored.write_text(json.dumps(results))
    complaint = rf"feedback:siblings:begin.* of .*{page} is not that of .*siblings/results\.json"
    with pytest.raises(SystemExit, match=complaint):
        readme.refresh(root, check=True)


def test_an_edited_caption_is_refused(root):
    page = root / "pipeline/studies/recall/README.md"
    page.write_text(page.read_text().replace("\n*Learning to remember. ", "\n*Learning to forget. "))
    with pytest.raises(SystemExit, match=r"A caption of .*recall/README\.md is not that of its figure"):
        readme.refresh(root, check=True)


def test_the_tests_that_a_page_names_exist():
    named = re.findall(r"`(test_\w+)`", (paths.ROOT / "docs/robustness.md").read_text())
    written = "".join(path.read_text() for path in (paths.ROOT / "tests").rglob("test_*.py"))
    assert len(named) > 20 and [name for name in named if f"def {name}(" not in written] == []


@pytest.mark.parametrize("name", ["resluts", "claim", "claims/vsml", "results/learning", "claims/recall:siblings"])
def test_a_block_that_nothing_would_refresh_is_refused(root, name):
    page = root / "docs/speed.md"
    page.write_text(f"{page.read_text()}\n<!-- {name}:begin -->\n<!-- {name}:end -->\n")
    with pytest.raises(SystemExit, match=rf"docs/speed\.md: <!-- {name}:begin --> begins no block that is known: kin"):
        readme.refresh(root, check=True)


def test_pages_without_any_block_are_refused(tmp_path):
    (tmp_path / "README.md").write_text("# A page\n")
    with pytest.raises(SystemExit, match=r"No page of .* has a block: put <!-- results:begin -->"):
        readme.refresh(tmp_path, check=True)


@pytest.mark.parametrize(
    ("page", "begins", "profile", "keys"),
    [
        ("recall", "Recurrent", "siblings", [f"recall/recurrent/last@{d}" for d in (2, 4, 8, 16)]),
        ("recall", "Recurrent, after 10", "siblings", [f"recall/recurrent/gain_own@10@{d}" for d in (2, 4, 8, 16)]),
        ("feedback", "FLP, random feedback", "siblings", ["feedback/flp_random_feedback_on_sines/mse"]),
        ("feedback", "second order, learned rates", "siblings", ["feedback/learned_rates_on_omniglot/accuracy"]),
        ("cloning", "Digits, 64-32-10", "", ["cloning/digits-64-32-10/clone", "cloning/digits-64-32-10/sgd"]),
    ],
)
def test_a_row_has_the_results_of_its_name(page, begins, profile, keys):
    text = (paths.ROOT / f"pipeline/studies/{page}/README.md").read_text()
    lines = [line.split(" | ")[1:] for line in text.splitlines() if line.startswith(f"| {begins} |")]
    shown = [[float(cell.split(" ±")[0]) for cell in cells[: len(keys)]] for cells in lines]
    want = [RESULTS[profile][key]["value"] for key in keys]
    assert any(numbers == pytest.approx(want, abs=6e-4) for numbers in shown)


def test_each_claim_belongs_to_one_study_and_the_overview_counts_them():
    judged = json.loads((paths.ROOT / "docs/claims.json").read_text())["claims"]
    rows = {name: row("README.md", f"[{name}](pipeline/studies/{name}/README.md)") for name in blocks.STUDIES}
    assert sum(int(cells[2]) for cells in rows.values()) == len(judged)
    for cells in rows.values():
        assert sum(int(number) for number in re.findall(r"\d+", cells[3])) == int(cells[2])
    whole = (paths.ROOT / "docs/claims.md").read_text()
    not_run = sum(int(number) for cells in rows.values() for number in re.findall(r"(\d+) not run", cells[3]))
    assert whole.count("| \u2013\u00a0not\u00a0run |") == not_run > 0
    assert all(f"| {claim['says']} |" in whole for claim in judged)
    for name in blocks.STUDIES:
        text = (paths.ROOT / f"pipeline/studies/{name}/README.md").read_text()
        assert sum(f"| {claim['says']} |" in text for claim in judged) == int(rows[name][2])


def _judged(verdict, seeds=3, because=None):
    effects = [{"seeds": seeds, "episodes": episodes} for episodes in (8, 16)] if seeds else []
    claim = {"id": "vsml-learns", "says": "It learns.", "where": "abstract", "sure": "abstract"}
    return claim | {"tables": ["meta_test/*.npz"], "verdict": verdict, "because": because, "effects": effects}


@pytest.mark.parametrize(
    ("default", "mnist", "best", "others"),
    [
        (("reproduced",), ("consistent", 1), "\u2713\u00a0reproduced (default, 3 \u00d7 8)", "`mnist`, 1 \u00d7 8"),
        (("consistent",), ("contrary", 1), "\u2248\u00a0consistent (default", "**\u2260\u00a0contrary (`mnist`"),
        (("consistent", 3, "1 of 2"), ("contrary", 1), "\u2260\u00a0contrary (`mnist`", "**\u2248\u00a0consistent (d"),
        (("not run", 0, "None"), ("underpowered", 1), "?\u00a0underpowered (`mnist`, 1 \u00d7 8)", ""),
        (("not run", 0, "None"), None, "\u2013\u00a0not\u00a0run", ""),
    ],
)
def test_the_best_evidence_is_whole_then_of_most_seeds_and_bold_where_profiles_disagree(default, mnist, best, others):
    of_profile = {"": [_judged(*default)], "mnist": [_judged(*mnist)] if mnist else []}
    judged = [{"claims": of_profile.get(profile, [])} for profile in blocks.PROFILES]
    table, _ = blocks.text("claims/learning", *judged).split("\n\n")
    *_, first, second = table.splitlines()[-1].removeprefix("| ").removesuffix(" |").split(" | ")
    assert best in first and others in second and ("**" in second) == ("**" in others)
    *_, against = blocks.text("studies", *judged).split("\n\n")
    assert ("- It learns." in against) == ("contrary" in best)


@pytest.mark.parametrize("page", PAGES)
def test_links_and_images_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", (paths.ROOT / page).read_text(), flags=re.DOTALL)
    found = re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text)
    for link in [one or other for one, other in found if not (one or other).startswith("https://")]:
        name, _, anchor = link.partition("#")
        target = (paths.ROOT / page).parent / name if name else paths.ROOT / page
        assert target.exists(), f"{page} links to {link}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", target.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads], link


def test_the_files_that_extending_names_are_there():
    text = (paths.ROOT / "docs/extending.md").read_text()
    made = set(re.findall(r"<!-- example: (\S+) -->", text))
    named = re.findall(r"`((?:pipeline|vsml|tests|profiles)/[\w/.]+)`", re.sub(r"`[^`]*\b[A-Z]{4,}\b[^`]*`", "", text))
    assert len(named) > 10
    assert [name for name in named if name not in made and not (paths.ROOT / name).exists()] == []


def test_the_readme_says_how_long_the_published_run_took():
    """On two cores, as good as all items one after another in half of the time; a quarter of a minute around them."""
    taken = json.loads((paths.ROOT / "docs/seconds.json").read_text())
    said = re.findall(r"about (\d+) minutes", (paths.ROOT / "README.md").read_text())
    assert set(said) == {str(round(sum(taken.values()) / 2 / 60 + 0.25))}


def test_the_readme_can_be_read_in_ten_minutes():
    text = (paths.ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 200 and len(text.split()) <= 2500


def test_the_code_of_the_readme_runs_and_its_rule_learns(tmp_path, monkeypatch, capsys):
    code, recipe = re.findall(r"```python\n(.*?)```", (paths.ROOT / "README.md").read_text(), re.DOTALL)
    example = (paths.ROOT / "examples/meta_train.py").read_text().splitlines()  # which a test runs
    assert [line for line in recipe.splitlines() if line not in example] == []
    monkeypatch.chdir(tmp_path)
    exec(code, {"__name__": "__main__"})
    assert float(capsys.readouterr().out) > 0.85


@pytest.mark.slow
def test_the_first_half_hour_goes_as_its_page_says(tmp_path):
    """Those steps that no other test takes: the others are installations, `make repro`, `dvc exp` and MLflow."""
    text = (paths.ROOT / "docs/half_hour.md").read_text()
    blocks = re.findall(r"<!-- run -->\n```(\w+)\n(.*?)```", text, re.DOTALL)
    (tmp_path / "examples").symlink_to(paths.ROOT / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    env = os.environ | {"PATH": path, "PYTHONPATH": str(paths.ROOT)}
    said = [
        subprocess.run(
            ["bash", "-ec", code] if kind == "sh" else [sys.executable, "-c", code],
            cwd=tmp_path, env=env, check=True, capture_output=True, text=True,
        ).stdout
        for kind, code in blocks
    ]  # fmt: skip
    table, stream, own = said
    assert "my.csv: 178 examples, 13 features, 3 classes" in table
    assert all(name in table for name in ("Nearest", "SGD", "guessing"))
    assert {"my.png", "my.json", "mine.npz", "mine.png"} <= {one.name for one in tmp_path.iterdir()}
    assert float(stream) > 0.9
    assert "meta-step 400" in own and "mine" in own.partition("meta-step 400")[2]
