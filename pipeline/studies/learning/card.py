"""The card of a rule of VSML."""

import numpy as np

from pipeline.run.params import plain
from pipeline.show import figures
from pipeline.show.display import Table
from pipeline.show.measures import cumulative, moments, sd
from pipeline.studies.cards import Card, Item, ends
from pipeline.studies.learning import ranking as comparison
from pipeline.studies.learning.params import Lives
from pipeline.studies.learning.tables import Profile, by_seed, in_order
from pipeline.studies.learning.words import size

NEEDS = ("meta_train/*/curve.npz", "meta_test/*.npz")


def card(item: Item) -> Card:
    section = item.settings.experiments[item.experiment]
    tables = figures.read(NEEDS)
    curve, tested = (by_seed(tables, stage, item.experiment)[item.seed].arrays for stage in ("meta_train", "meta_test"))
    return Card(
        what=f"A learned learning algorithm: {size(item.rule.theta):,} numbers that every connection of a network "
        "shares (VSML, arXiv 2012.14905). A reproduction in kind: not the authors' rule, and not trained at their "
        "scale.",
        use=["predictions = rollout(rule.learner(features, classes), rule.theta, jax.random.key(0), episode)"],
        made_by=f"Settings: `{item.rule.learner}`. "
        f"Estimator: `{plain(section.estimator)}`; optimiser: `{plain(section.optimizer)}`"
        + (f"; theta starts from `{section.start}` and otherwise from random numbers." if section.start else "."),
        made=Table(
            ("phase", "meta-steps", "lives of a meta-step", "meta loss in nats, first and last tenth"),
            [_phase(number, curve, phase.lives) for number, phase in enumerate(section.curriculum)],
        ).markdown("rrlr"),
        fares=[
            "Cumulative accuracy on test data, from random states: mean ± standard deviation over lives. It has seen "
            f"training data of {' and '.join(map(comparison.title, section.data.sets))} only.",
            "",
            _results(Profile.of(item.settings), tested, item.experiment),
        ],
    )


def _phase(number: int, curve: dict[str, np.ndarray], lives: tuple[Lives, ...]) -> list[str]:
    loss = curve["loss"][(curve["phase"] == number) & ~curve["skipped"]]
    kinds = "; ".join(
        f"{one.population} of {one.length} examples, {' or '.join(map(_words, one.inputs))} inputs, "
        f"{' or '.join(map(_words, one.classes))} classes, {' or '.join(one.views)}"
        for one in lives
    )
    return [str(number + 1), str(len(loss)), kinds, ends(loss)]


def _results(profile: Profile, arrays: dict[str, np.ndarray], experiment: str) -> str:
    found = [key.removesuffix("/correct") for key in arrays if key.endswith("/correct")]
    tasks = in_order(found, [task for task in found if profile.seen(task, experiment)])
    rows = []
    for task in tasks:
        accuracy = cumulative(arrays[f"{task}/correct"])
        for moment in moments(accuracy.shape[-1], profile.horizons):
            at = accuracy[:, moment - 1]
            rows.append([comparison.title(task), str(moment), f"{at.mean():.3f} ± {sd(at):.3f}", str(len(at))])
    return Table(("task", "examples", "accuracy", "lives"), rows).markdown()


def _words(value: object) -> str:
    return "all" if value is None else str(value)
