"""What a word that is not known may have meant."""

import difflib
from collections.abc import Iterable


def near(word: str, known: Iterable[str]) -> str:
    """The nearest of what is known as a sentence; nothing if none is near."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f" Did you mean {found[0]!r}?" if found else ""
