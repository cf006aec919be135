"""VSML beside the best of SGD and the best of Adam, and how all of it is called. Reads results only."""

from collections.abc import Mapping
from typing import Any

from pipeline.show.looks import LOOKS
from pipeline.show.measures import Entry, Key, Results
from pipeline.studies.learning.tables import PAPER, RULE, in_order, without_settings

Families = Mapping[str, tuple[str, ...]]  # by name, the learners of whom the best counts

TITLES = {name: name.upper() for name in ("mnist", "kmnist", "emnist", "svhn")}
TITLES |= {"fashion_mnist": "Fashion-MNIST", "cifar10": "CIFAR-10"}
EVERY = {  # SGD and Adam have a linear model each, and one with a hidden layer
    family: tuple(key for key, look in LOOKS.items() if look.family == family)
    for family in dict.fromkeys(look.family for look in LOOKS.values() if look.family)
}
PAPERS = ("SGD", "Adam")  # whom the paper compares VSML with
CONSTANT = {family: keys for family, keys in EVERY.items() if not LOOKS[keys[0]].grows}  # of constant memory
FAMILIES = {family: CONSTANT[family] for family in ("VSML", *PAPERS)}
SIMPLE = {family: keys for family, keys in CONSTANT.items() if family not in PAPERS}
# At rates that were fixed beforehand.
AT_PAPER_RATES = FAMILIES | {family: tuple(key + PAPER for key in FAMILIES[family]) for family in PAPERS}


def rivals(members_of: Families) -> tuple[str, ...]:
    """All in these families but VSML."""
    return tuple(name for family, names in members_of.items() if family != "VSML" for name in names)


def tasks(results: Results, learner: str = RULE) -> list[str]:
    """What `learner` was tested on, without the changed tasks of figure 7; first what it knows from meta-training."""
    seen = {key.subject: results[key].get("seen") for key in _cumulative(results) if key.learner == learner}
    return in_order(without_settings(seen), [task for task in seen if seen[task]])


def length(results: Results, task: str) -> int:
    """How many examples an episode of `task` has."""
    return max(key.at for key in _cumulative(results) if key.subject == task)


def moments(results: Results) -> list[int | None]:
    """When accuracies were taken, in examples; None is the end of the episode, and the last."""
    every = _cumulative(results)
    ends = {task: length(results, task) for task in {key.subject for key in every}}
    return [*sorted({key.at for key in every if key.at < ends[key.subject]}), None]


def early(results: Results) -> int | None:
    """The moment that stands for a young learner: the last one of the first quarter of the longest episode.

    None if accuracy was taken at the end only, or never.
    """
    before = [moment for moment in moments(results) if moment is not None]
    end = max((key.at for key in _cumulative(results)), default=0)
    return max([moment for moment in before if moment <= end / 4] or before[:1], default=None)


def accuracy(results: Results, task: str, learner: str, moment: int | None) -> Entry | None:
    """The cumulative accuracy at `moment`; None if episodes of `task` are shorter or `learner` had no such task."""
    return results.get(Key(task, learner, "cumulative", moment or length(results, task)))


def best(results: Results, task: str, moment: int | None, members_of: Families = FAMILIES) -> dict[str, Entry]:
    """By family, the accuracy of its best member in hindsight, with its name; empty if episodes are shorter."""
    families = {}
    for family, members in members_of.items():
        found = [(name, accuracy(results, task, name, moment)) for name in members]
        if entries := [entry | {"learner": name} for name, entry in found if entry is not None]:
            families[family] = max(entries, key=lambda entry: entry["value"])
    return families


def winners(families: Mapping[str, Entry]) -> list[str]:
    """The families with the highest mean: one, or several if they are equal."""
    highest = max(entry["value"] for entry in families.values())
    return [family for family, entry in families.items() if entry["value"] == highest]


def kinship(results: Results, task: str) -> str:
    """How well meta-training knew the task's set."""
    entry = accuracy(results, task, RULE, None)
    return "unseen images" if entry is not None and entry["seen"] else "never seen"


def title(name: str) -> str:
    """The name of a set or a task, for readers."""
    return TITLES.get(name, name.replace("_", " ").capitalize())


def mix_title(mix: str) -> str:
    """The name of a mix of sets of figure 8."""
    base = mix.removeprefix("all_but_")
    return title(mix) if base == mix else f"All but {title(base) if base in TITLES else title(base).lower()}"


def when(moment: int | None) -> str:
    return "at the end of the episode" if moment is None else f"after {moment:,} examples"


def plus_minus(entry: Mapping[str, Any] | None, what: str = "sd", digits: int = 2, nothing: str = "\u2013") -> str:
    """A result with a true minus, and its spread: over episodes, or over seeds if there are several (`sd_seeds`)."""
    if entry is None:
        return nothing
    spread = entry.get(what)
    return f"{entry['value']:z.{digits}f}{'' if spread is None else f' ± {spread:.{digits}f}'}".replace("-", "\u2212")


def signed(value: float, digits: int = 2) -> str:
    """With a true minus; a value that rounds to nothing has no sign."""
    nothing = f"{0:.{digits}f}"
    return nothing if f"{abs(value):.{digits}f}" == nothing else f"{value:+.{digits}f}".replace("-", "\u2212")


def _cumulative(results: Results) -> list[Any]:
    """The keys of cumulative accuracies, each of which has a moment."""
    return [key for key in results if key.metric == "cumulative"]
