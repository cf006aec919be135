"""The static site, as `make site` writes it."""

import base64
import shutil
import subprocess
import sys

import pytest

from pipeline.run import paths

SITE = paths.ROOT / "docs/site.py"
PARTS = ("docs", "vsml/zoo", "examples", "pipeline/show", "pipeline/studies")


@pytest.fixture
def built(tmp_path):
    """A copy of what the site is made of, with a report, and what makes the site of it."""
    for name in PARTS:
        shutil.copytree(paths.ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (*paths.ROOT.glob("*.md"), paths.ROOT / "LICENSE", paths.ROOT / "CITATION.cff"):
        shutil.copy(file, tmp_path)
    report = tmp_path / "profiles/mnist/artifacts/report/index.html"
    report.parent.mkdir(parents=True)
    known = base64.b64encode((paths.ROOT / "docs/figures/online_learning.png").read_bytes()).decode()
    pictures = "".join(f'<img alt="" src="data:image/png;base64,{one}">' for one in (known, "QUJD", "QUJD"))
    report.write_text(f"<!doctype html><body><h1>Of mnist</h1>{pictures}</body>")

    def build(*words):
        command = [sys.executable, str(tmp_path / "docs/site.py"), *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done, tmp_path / "artifacts/site"

    return build


def test_it_has_all_pages_each_picture_once_and_no_dead_link(built):
    done, folder = built()
    assert done.returncode == 0, done.stderr
    assert "reports of mnist" in done.stdout and "no dead link" in done.stdout
    assert "<h1" in (folder / "pipeline/studies/recall/index.html").read_text()
    report = (folder / "report/mnist/index.html").read_text()
    assert '<a href="../../index.html">Home</a>' in report and "base64" not in report
    assert report.count('src="../../docs/figures/online_learning.png"') == 1
    assert [path.read_bytes() for path in folder.glob("pictures/*")] == [b"ABC"]
    home = (folder / "index.html").read_text()
    assert 'href="docs/claims.html#all-claims-by-the-best-evidence"' in home
    assert '<a href="docs/help.html">help</a>' in home


def test_only_a_folder_that_is_empty_or_a_site_of_its_own_is_written_anew(built, tmp_path):
    (tmp_path / "empty").mkdir()
    for _ in range(2):
        done, _ = built("empty")
        assert done.returncode == 0, done.stderr
    theirs = tmp_path / "theirs/style.css"
    theirs.parent.mkdir()
    theirs.write_text("body { color: red; }")
    for name in ("theirs", "LICENSE", "docs", "."):
        done, _ = built(name)
        assert done.returncode == 2 and "is no folder of a site, which could be written anew: name" in done.stderr
        assert theirs.is_file() and (tmp_path / "docs/help.md").is_file()
    done, folder = built("--help")
    assert done.returncode == 0 and done.stdout.startswith("usage: site.py [-h] [folder]")
    assert not (tmp_path / "--help").exists() and not folder.exists()


def test_links_that_lead_nowhere_are_an_error_and_each_is_named(built, tmp_path):
    page = tmp_path / "README.md"
    page.write_text(page.read_text() + "[gone](docs/gone.md) [lost](docs/audit.md#lost)")
    done, _ = built()
    assert done.returncode == 1 and "index.html leads to docs/gone.md, which is not there." in done.stderr
    assert "leads to docs/audit.html#lost, and docs/audit.html has no such place." in done.stderr
