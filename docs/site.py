"""`make site` writes one static site into artifacts/site: all pages, the report of each profile made here, the API.

It works from a disk or any web server, without network. Pictures that several pages show are there once. A link that
leads nowhere is an error, and so is a page to which none leads.
"""

import argparse
import base64
import hashlib
import itertools
import os
import re
import shutil
import sys
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parents[1]
TEXTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "docs/*.md", "pipeline/studies/*/README.md", "vsml/zoo/*.md")
DOCS = ("claims", "audit", "cluster", "stages", "extending", "speed", "help")
STUDIES = ("learning", "cloning", "unification", "feedback", "recall")
PICTURE = re.compile(r'src="data:image/png;base64,([^"]+)"')
LINK = re.compile(r'\b(href|src)="([^"]+)"')
OUTSIDE = ("http:", "https:", "mailto:", "data:")
BAR = "display: flex; flex-wrap: wrap; gap: 0 .9rem; font-size: .875rem; margin-bottom: 2rem"
LAYOUT = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{title}</title><link rel="stylesheet" href="{style}">
<body>{bar}<main>
{text}</main></body></html>
"""
MORE = """
main img { max-width: 100%; height: auto; }
main table { display: block; overflow-x: auto; }
"""


class Site:
    """The folder that is written, and what is in it already."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        texts = sorted({path for glob in TEXTS for path in ROOT.glob(glob)})
        self.texts = {text: folder / _page(text.relative_to(ROOT)) for text in texts}
        reports = {"default": ROOT, **{path.name: path for path in sorted((ROOT / "profiles").iterdir())}}
        made = {name: path / "artifacts/report/index.html" for name, path in reports.items()}
        self.reports = {name: path for name, path in made.items() if path.is_file()}
        self.pictures: dict[str, Path] = {}  # by sha256

    def write(self) -> None:
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self.folder.mkdir(parents=True)
        style = (ROOT / "pipeline/show/page/style.css").read_text(encoding="utf-8")
        (self.folder / "style.css").write_text(style + MORE, encoding="utf-8")
        if (api := ROOT / "artifacts/api").is_dir():
            shutil.copytree(api, self.folder / "api")
        for text, page in self.texts.items():
            self._write_text(text, page)
        for name, report in self.reports.items():
            page = self.folder / "report" / name / "index.html"
            page.parent.mkdir(parents=True)
            html = PICTURE.sub(lambda found, page=page: self._picture(found[1], page), report.read_text("utf-8"))
            marked = html.replace("<body>", f"<body>{self._bar(page)}", 1)
            page.write_text(marked, encoding="utf-8")

    def _write_text(self, text: Path, page: Path) -> None:
        tokens = (reader := MarkdownIt("commonmark", {"html": True}).enable("table")).parse(text.read_text("utf-8"))
        titles = []
        for token, inner in itertools.pairwise(tokens):
            if token.type == "heading_open":
                titles.append(inner.content)
                token.attrSet("id", _anchor(inner.content))
        html = reader.renderer.render(tokens, reader.options, {})
        html = LINK.sub(lambda found: f'{found[1]}="{self._target(found[2], text, page)}"', html)
        style, title = os.path.relpath(self.folder / "style.css", page.parent), escape(titles[0].replace("`", ""))
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(LAYOUT.format(title=title, style=style, bar=self._bar(page), text=html), encoding="utf-8")

    def _target(self, target: str, text: Path, page: Path) -> str:
        """A link of a text, as it must be on its page; what it leads to is on the site then."""
        if target.startswith((*OUTSIDE, "#")):
            return target
        name, _, anchor = target.partition("#")
        path = Path(os.path.normpath(text.parent / name))
        if (own := self.texts.get(path)) is None:
            own = self.folder / path.relative_to(ROOT)
            if path.is_file() and not own.exists():
                own.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, own)
                if path.suffix == ".png":
                    self.pictures[hashlib.sha256(path.read_bytes()).hexdigest()] = own
        return os.path.relpath(own, page.parent) + (f"#{anchor}" if anchor else "")

    def _picture(self, encoded: str, page: Path) -> str:
        content = base64.b64decode(encoded)
        digest = hashlib.sha256(content).hexdigest()
        if digest not in self.pictures:
            self.pictures[digest] = self.folder / "pictures" / f"{digest[:16]}.png"
            self.pictures[digest].parent.mkdir(exist_ok=True)
            self.pictures[digest].write_bytes(content)
        return f'src="{os.path.relpath(self.pictures[digest], page.parent)}"'

    def _bar(self, page: Path) -> str:
        """Links to all pages that matter, from one of them."""
        places = {"Home": "index.html", **{name: f"pipeline/studies/{name}/index.html" for name in STUDIES}}
        places |= {name: f"docs/{name}.html" for name in DOCS}
        places |= {f"report: {name}": f"report/{name}/index.html" for name in self.reports}
        places |= {"changes": "CHANGELOG.html"}
        places |= {"library": "api/vsml.html"} if (self.folder / "api").is_dir() else {}
        links = [
            f'<a href="{os.path.relpath(self.folder / to, page.parent)}">{name}</a>' for name, to in places.items()
        ]
        return f'<nav class="site" aria-label="site" style="{BAR}">{" ".join(links)}</nav>'


def dead(folder: Path) -> Iterator[str]:
    """Every link that leads nowhere, and every page to which none leads."""
    own = (path for path in folder.rglob("*.html") if not path.is_relative_to(folder / "api"))  # that of pdoc
    pages = {path: _Links(path.read_text("utf-8")) for path in own}
    reached = {folder / "index.html"}
    for path, page in pages.items():
        for target in page.links:
            name, _, anchor = target.partition("#")
            to = Path(os.path.normpath(path.parent / name)) if name else path
            reached.add(to)
            if not to.is_file():
                yield f"{path.relative_to(folder)} leads to {target}, which is not there."
            elif anchor and to in pages and anchor not in pages[to].anchors:
                yield f"{path.relative_to(folder)} leads to {target}, and {to.relative_to(folder)} has no such place."
    yield from (f"No page leads to {path.relative_to(folder)}." for path in sorted(pages.keys() - reached))


class _Links(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if name in ("href", "src") and value and not value.startswith(OUTSIDE):
                self.links.add(value)


def _page(text: Path) -> Path:
    return text.with_name("index.html") if text.name == "README.md" else text.with_suffix(".html")


def _anchor(heading: str) -> str:
    """As GitHub makes it, so that links lead to the same place there and here."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def may_be_replaced(folder: Path) -> bool:
    """Whether nothing is there, or nothing but a site that was written here."""
    style = folder / "style.css"
    made_here = style.is_file() and MORE in style.read_text(encoding="utf-8", errors="replace")
    return not folder.exists() or made_here or (folder.is_dir() and not any(folder.iterdir()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = ROOT / "artifacts/site"
    parser.add_argument("folder", nargs="?", type=Path, default=default, help="where to (default: artifacts/site)")
    folder = parser.parse_args().folder.absolute()
    if not may_be_replaced(folder):
        parser.error(f"{folder} is no folder of a site, which could be written anew: name a new one, or empty it.")
    site = Site(folder)
    site.write()
    if faults := sorted(dead(folder)):
        sys.exit("\n".join(faults))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    of = ", ".join(site.reports) or "no profile, since none was made here"
    print(f"{folder / 'index.html'}: {len(site.texts)} pages, reports of {of}; {size / 1e6:.1f} MB, no dead link.")


if __name__ == "__main__":
    main()
