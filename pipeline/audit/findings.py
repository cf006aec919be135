"""What an audit says: a finding names the object, what it should be, what it is, whose it is, and the way to mend it.

Three kinds. `broken`: two things that must agree do not, so something was changed behind the pipeline's back, or
changed and not run again. `unproven`: what would prove it is not there, as a run that was deleted. `noted`: proved, but
with less than could be wished for, as a run of a tree with uncommitted changes. The first two fail an audit.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

BROKEN, UNPROVEN, NOTED = KINDS = ("broken", "unproven", "noted")
PROVED = "proved"
REPRO = "dvc repro"
AGAIN = "dvc repro --force --single-item {name}"  # of the item that has the finding, whose name is filled in at the end
Change = tuple[str, str | None, str | None]  # a name, and its value then and now


class Finding(NamedTuple):
    object: str  # a file, an entry of dvc.lock, a param, a tag of a run, …
    expected: Any
    found: Any
    remedy: str = AGAIN  # a command, as far as one can do it
    kind: str = BROKEN
    items: tuple[str, ...] = ()  # the stage items that it touches
    run: str | None = None

    def of(self, item: str, run: str | None) -> "Finding":
        """The finding as one of an item and its run, in words."""
        expected, found = ("nothing" if value is None else str(value) for value in (self.expected, self.found))
        remedy = self.remedy.replace("{name}", item)
        return self._replace(expected=expected, found=found, remedy=remedy, items=(item,), run=run)


def changes(then: Mapping[str, str], now: Mapping[str, str]) -> list[Change]:
    """What has another value now, or is in one of them only."""
    pairs = ((name, then.get(name), now.get(name)) for name in sorted({*then, *now}))
    return [one for one in pairs if one[1] != one[2]]


def merged(findings: Iterable[Finding]) -> list[Finding]:
    """One finding an object and kind of disagreement, with all the items that it touches; the gravest first."""
    whole: dict[tuple, Finding] = {}
    for one in findings:
        first = whole.get(one[:5], one)
        items = tuple(dict.fromkeys((*first.items, *one.items)))
        whole[one[:5]] = first._replace(items=items, run=first.run or one.run)
    return sorted(whole.values(), key=lambda one: (KINDS.index(one.kind), one.object))
