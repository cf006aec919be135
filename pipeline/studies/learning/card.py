"""The numbers of the card of a rule of VSML."""

from collections.abc import Iterable

from pipeline.show import figures
from pipeline.show.measures import cumulative, moments, summary
from pipeline.studies.cards import Card, Item, ends, plus_minus
from pipeline.studies.learning.ranking import title
from pipeline.studies.learning.tables import Profile, by_seed, in_order, tasks

NEEDS = ("meta_train/*/curve.npz", "meta_test/*.npz")


def card(item: Item) -> Card:
    section, profile = item.settings.experiments[item.experiment], Profile.of(item.settings)
    tables = figures.read(NEEDS)
    curve, tested = (by_seed(tables, stage, item.experiment)[item.seed].arrays for stage in ("meta_train", "meta_test"))
    phases = []
    for number, phase in enumerate(section.curriculum):
        loss = curve["loss"][(curve["phase"] == number) & ~curve["skipped"]]
        kinds = "; ".join(
            f"{one.population} of {one.length} examples, {_any(one.inputs)} inputs, {_any(one.classes)} classes, "
            f"{_any(one.views)}"
            for one in phase.episodes
        )
        phases.append([str(number + 1), str(len(loss)), kinds, ends(loss)])
    names, accuracies = tasks(tables, item.experiment), []
    for task in in_order(names, [name for name in names if profile.seen(name, item.experiment)]):
        accuracy = cumulative(tested[f"{task}/correct"])
        for moment in moments(accuracy.shape[-1], profile.horizons):
            entry = summary(accuracy[None, :, moment - 1])
            accuracies.append([title(task), str(moment), plus_minus(entry), str(entry["n"])])
    return Card("learning", {"section": section, "phases": phases, "accuracies": accuracies})


def _any(values: Iterable[object]) -> str:
    return " or ".join("all" if value is None else str(value) for value in values)
