"""Effects of VSML as a learner: how well it does, beside whom, and what an exposure to an image does inside of it."""

from typing import Any, Literal, NamedTuple

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.studies.claims import Effect, Effects
from pipeline.studies.learning import association as introspection
from pipeline.studies.learning import measures, ranking
from pipeline.studies.learning.measures import outcomes
from pipeline.studies.learning.tables import (
    PAPER,
    RULE,
    SETTINGS,
    Profile,
    Tables,
    at_paper_rates,
    baselines,
    experiments,
    main_tasks,
    tasks,
)

Rival = Literal["sgd", "adam", "sgd_paper", "adam_paper"]
Simple = Literal["nearest_mean", "ridge", "naive_bayes", "nearest_neighbour"]


class Made(NamedTuple):
    """What a profile made: its tables, when an episode is still young, and the set on which clones were improved."""

    tables: Tables
    profile: Profile
    early: int | None  # after so many examples; None where episodes are too short for that
    improved_on: str


def accuracy(
    made: Made,
    *,
    on: Literal["home", "elsewhere"],
    when: Literal["early", "end"],
    against: Literal[Rival, Simple, "guessing"],
) -> Effects:
    """Cumulative accuracy of VSML less a rival's, on each set of meta-training (home) or each other one (elsewhere).

    The rival is the better, in hindsight, of its linear and its hidden model.
    """
    tables, moment = made.tables, made.early if when == "early" else None
    if when == "early" and moment is None:
        return
    base, fixed = against.removesuffix(PAPER), PAPER if against.endswith(PAPER) else ""
    both = (against, f"{base}_hidden{fixed}")
    models = [name for name in (*baselines(tables), *at_paper_rates(tables)) if name in both]
    for task in main_tasks(tables, made.profile):
        if made.profile.tasks[task].one_shot or made.profile.seen(task, RULE) != (on == "home"):
            continue
        if against == "guessing":
            rival, name = measures.guessing(tables, made.profile.tasks[task]), "guessing"
        else:
            able = [model for model in models if task in tasks(tables, model)]
            found = [outcomes(tables, task, model, moment).correct[..., :moment].mean(-1) for model in able]
            rival, name = max(found, key=np.mean, default=None), LOOKS[against].words
        if rival is not None:
            own = outcomes(tables, task, RULE).correct[..., :moment].mean(-1)
            yield f"{ranking.title(task)}, {ranking.when(moment)}: VSML less {name}", own - rival


def unlike(made: Made, *, on: Literal["home", "elsewhere"], against: Literal[Rival, Simple], bound: float) -> Effects:
    """`bound` less the share of equal answers of VSML and a rival among examples about which both are wrong.

    Over whole episodes, on each set of meta-training (home) or each other one (elsewhere) that has more than two
    classes. Episodes in which they are never both wrong do not count.
    """
    tables = made.tables
    if not {against, against.removesuffix(PAPER)} & {*baselines(tables), *at_paper_rates(tables)}:
        return
    for task in main_tasks(tables, made.profile):
        one = made.profile.tasks[task]
        if one.one_shot or made.profile.seen(task, RULE) != (on == "home") or measures.classes(tables, one) < 3:
            continue
        if (shares := measures.agreement(tables, task, RULE, against)) is not None:
            equal = shares.equal_wrong[:, np.isfinite(shares.equal_wrong).all(0)]
            if equal.size:
                label = f"{ranking.title(task)}: {bound:g} less the share of errors equal to those of"
                yield f"{label} {LOOKS[against].words}", bound - equal


def over_fitting(
    made: Made, *, what: Literal["unseen", "gap"], against: Literal["meta_rnn", "fast_memory", "hebbian"]
) -> Effects:
    """VSML against another meta-learned method, a mean over the mixes of sets that both were meta-trained on.

    `unseen`: accuracy of VSML on unseen sets less the other's. `gap`: by how much the accuracy of the other falls
    more than VSML's from seen sets to unseen ones.
    """
    every = measures.by_method(made.profile.trained_on)
    if not {RULE, against} <= every.keys():
        return
    both = {method: every[method] for method in (RULE, against)}
    leads: dict[bool, list[Effect]] = {True: [], False: []}  # by whether meta-training saw the set
    for mix, task in measures.shared_cells(made.tables, both):
        mine, theirs = (outcomes(made.tables, task, of_mix[mix]).correct.mean(-1) for of_mix in both.values())
        leads[made.profile.seen(task, both[RULE][mix])].append(mine - theirs)
    name = LOOKS[against].name.lower()
    if what == "unseen" and leads[False]:
        yield f"Accuracy on unseen sets, VSML less {name}", np.mean(leads[False], axis=0)
    if what == "gap" and leads[False] and leads[True]:
        lead = np.mean(leads[False], axis=0) - np.mean(leads[True], axis=0)
        yield f"Gap between seen and unseen sets, {name} less VSML", lead


def changed_task(made: Made) -> Effects:
    """Accuracy on each changed task of figure 7 less that on the unchanged one of its set."""
    robust = measures.robust(made.tables)
    for base, of_setting in measures.changed_tasks(made.tables).items():
        values = {setting: outcomes(made.tables, task, robust).correct.mean(-1) for setting, task in of_setting.items()}
        reference = values.pop("unchanged")
        for setting, own in values.items():
            yield f"{ranking.title(base)}: {SETTINGS[setting]} less unchanged", own - reference


def second_exposure(made: Made, *, against: Rival | float) -> Effects:
    """Accuracy of VSML when it is asked about an image for the second time, less a rival's or less a number."""
    if RULE not in experiments(made.tables, "introspect"):
        return
    every = introspection.associations(made.tables, RULE)
    found = {name: values for name, metric, values in every if metric == "second_exposure_accuracy"}
    if isinstance(against, float):
        yield f"Right at the second exposure: VSML less {against:g}", found[RULE] - against
    elif against in found:
        yield f"Right at the second exposure: VSML less {LOOKS[against].words}", found[RULE] - found[against]


def association(made: Made, *, age: Literal["initial", "later"], against: Rival) -> Effects:
    """VSML's lead in what an exposure adds to the probability of the right class for the same image.

    Of that is taken what it adds to that class for an image of another one, which is no association. `age` is that of
    the state: initial, or after examples of the episode.
    """
    every = _of_learners(made)
    if against not in every:
        return
    own, other = (introspection.exposures(every[name]) for name in (RULE, against))
    for (metric, examples), gain in own.items():
        if metric == "gain_own" and (examples == 0) == (age == "initial"):
            label = f"One exposure {introspection.when(examples)}: VSML less {LOOKS[against].words}"
            yield label, gain - other[metric, examples]


def gradient_cosine(made: Made, *, against: Rival) -> Effects:
    """How much less a step of VSML points where a gradient step would than a step of the rival does."""
    every = _of_learners(made)
    if against not in every:
        return
    own, other = (np.stack([arrays["cosine"] for arrays in every[name]]) for name in (RULE, against))
    clear = np.isfinite(own).any(-1).all(0) & np.isfinite(other).any(-1).all(0)  # episodes in which all have moved
    if clear.any():
        lead = np.nanmean(other[:, clear], axis=-1) - np.nanmean(own[:, clear], axis=-1)
        yield f"Cosine with gradient steps: {LOOKS[against].words} less VSML", lead


def _of_learners(made: Made) -> dict[str, list[dict[str, Any]]]:
    """By learner, its arrays in each table of introspection; empty where there is none."""
    has = RULE in experiments(made.tables, "introspect")
    return dict(introspection.of_learners(made.tables, RULE)) if has else {}
