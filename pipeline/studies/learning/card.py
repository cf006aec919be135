"""The card of a rule of VSML."""

from collections.abc import Iterable

from pipeline.run.params import plain
from pipeline.show import figures
from pipeline.show.display import Table
from pipeline.show.measures import cumulative, moments, sd
from pipeline.studies.cards import Card, Item, ends
from pipeline.studies.learning.ranking import title
from pipeline.studies.learning.tables import Profile, by_seed, in_order, tasks
from pipeline.studies.learning.words import size

NEEDS = ("meta_train/*/curve.npz", "meta_test/*.npz")


def card(item: Item) -> Card:
    section, profile = item.settings.experiments[item.experiment], Profile.of(item.settings)
    tables = figures.read(NEEDS)
    curve, tested = (by_seed(tables, stage, item.experiment)[item.seed].arrays for stage in ("meta_train", "meta_test"))
    made = []
    for number, phase in enumerate(section.curriculum):
        loss = curve["loss"][(curve["phase"] == number) & ~curve["skipped"]]
        kinds = "; ".join(
            f"{one.population} of {one.length} examples, {_any(one.inputs)} inputs, {_any(one.classes)} classes, "
            f"{_any(one.views)}"
            for one in phase.episodes
        )
        made.append([str(number + 1), str(len(loss)), kinds, ends(loss)])
    names = tasks(tables, item.experiment)
    fares = []
    for task in in_order(names, [name for name in names if profile.seen(name, item.experiment)]):
        accuracy = cumulative(tested[f"{task}/correct"])
        for moment in moments(accuracy.shape[-1], profile.horizons):
            at = accuracy[:, moment - 1]
            fares.append([title(task), str(moment), f"{at.mean():.3f} ± {sd(at):.3f}", str(len(at))])
    return Card(
        what=f"A learned learning algorithm: {size(item.rule.theta):,} numbers that every connection of a network "
        "shares (VSML, arXiv 2012.14905). A reproduction in kind: not the authors' rule, and not trained at their "
        "scale.",
        use=["predictions = rollout(rule.learner(features, classes), rule.theta, jax.random.key(0), episode)"],
        made_by=f"Settings: `{item.rule.learner}`. "
        f"Estimator: `{plain(section.estimator)}`; optimiser: `{plain(section.optimizer)}`"
        + (f"; theta starts from `{section.start}` and otherwise from random numbers." if section.start else "."),
        made=Table(
            ("phase", "meta-steps", "episodes of a meta-step", "meta loss in nats, first and last tenth"), made
        ).markdown("rrlr"),
        fares=[
            "Cumulative accuracy on test data, from random states: mean ± standard deviation over episodes. It has "
            f"seen training data of {' and '.join(map(title, section.data.sets))} only.",
            "",
            Table(("task", "examples", "accuracy", "episodes"), fares).markdown(),
        ],
    )


def _any(values: Iterable[object]) -> str:
    return " or ".join("all" if value is None else str(value) for value in values)
