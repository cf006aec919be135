"""The stamp in a drawn file, read back from PNG, PDF and HTML."""

import html
import io
import re
from pathlib import Path
from typing import NamedTuple

from PIL import Image

PNG = b"\x89PNG\r\n\x1a\n"
WORDS = re.compile(
    r"vsml (?P<stage>\w+)(?:@(?P<item>[\w@.-]+))? "
    r"plan=(?P<plan>[0-9a-f]{64}) tables=(?P<tables>[0-9a-f]{64})"
)
META = re.compile(r'<meta name="provenance" content="([^"]*)">')
KEYWORDS = re.compile(rb"/Keywords \(([^)]*)\)")


class Stamp(NamedTuple):
    """What a file says that it was drawn from: an item of a stage, and digests of its plan and of its tables."""

    text: str
    stage: str
    item: tuple[str, ...]
    plan: str


def read(path: Path) -> Stamp | None:
    """The stamp of a file, None if it has none that is whole.

    Raises:
      OSError: the file cannot be read.
    """
    content = path.read_bytes()
    if content.startswith(PNG):
        text = _of_png(content)
    elif content.startswith(b"%PDF"):
        found = KEYWORDS.search(content)
        text = found and found[1].decode("latin-1")
    else:
        found = META.search(content.decode("utf-8", errors="replace"))
        text = found and html.unescape(found[1])
    match = WORDS.fullmatch(text or "")
    if match is None:
        return None
    return Stamp(
        match[0], match["stage"], tuple((match["item"] or "").split("@")) if match["item"] else (), match["plan"]
    )


def _of_png(content: bytes) -> str | None:
    """The text of that name before the pixels, which need not be whole; of a damaged text or header None."""
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            return image.info.get("Provenance")
    except (OSError, ValueError, Image.DecompressionBombError):  # as Pillow refuses what is no picture, or too large
        return None
