"""What an audit says: a finding names the object, what it should be, what it is, whose it is, and the way to mend it.

Three kinds. `broken`: two things that must agree do not, so something was changed behind the pipeline's back, or
changed and not run again. `unproven`: what would prove it is not there, as a run that was deleted. `noted`: proved, but
with less than could be wished for, as a run of a tree with uncommitted changes. The first two fail an audit.
"""

from collections.abc import Iterable
from typing import NamedTuple

BROKEN, UNPROVEN, NOTED = KINDS = ("broken", "unproven", "noted")
PROVED = "proved"


class Finding(NamedTuple):
    kind: str
    object: str  # a file, an entry of dvc.lock, a param, a tag of a run, …
    expected: str
    found: str
    remedy: str  # a command, as far as one can do it
    items: tuple[str, ...] = ()  # the stage items that it touches
    run: str | None = None


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding an object and kind of disagreement, with all the items that it touches; the gravest first."""
    whole: dict[tuple[str, ...], Finding] = {}
    for one in findings:
        key = (one.kind, one.object, one.expected, one.found, one.remedy)
        if key in whole:
            items = tuple(dict.fromkeys((*whole[key].items, *one.items)))
            whole[key] = whole[key]._replace(items=items, run=whole[key].run or one.run)
        else:
            whole[key] = one
    return sorted(whole.values(), key=lambda one: (KINDS.index(one.kind), one.object))


def worst(kinds: Iterable[str]) -> str:
    """The gravest of some kinds; PROVED for none, and where there are notes only."""
    known = set(kinds)
    return next((kind for kind in (BROKEN, UNPROVEN) if kind in known), PROVED)
