"""Effects of VSML as a learner: how well it does, beside whom, and what an exposure to an image does inside of it."""

from typing import Any, Literal, NamedTuple

import numpy as np

from pipeline.studies.claims import Effect, Effects
from pipeline.studies.learning import association as introspection
from pipeline.studies.learning import mixes as generality
from pipeline.studies.learning import ranking as comparison
from pipeline.studies.learning.measures import associations, guessing, lives
from pipeline.studies.learning.tables import (
    RULE,
    Profile,
    Tables,
    at_paper_rates,
    baselines,
    experiments,
    main_tasks,
    settings,
    tasks,
    without_settings,
)

Rival = Literal["sgd", "adam", "sgd_paper", "adam_paper"]
RIVALS = {
    "sgd": "SGD at its best rate",
    "adam": "Adam at its best rate",
    "sgd_paper": "SGD at the paper\u2019s rate",
    "adam_paper": "Adam at the paper\u2019s rate",
}


class Made(NamedTuple):
    """What a profile made: its tables, when an episode is still young, and the set on which clones were improved."""

    tables: Tables
    profile: Profile
    early: int | None  # after so many examples; None where episodes are too short for that
    improved_on: str


def accuracy(
    made: Made, *, on: Literal["home", "elsewhere"], when: Literal["early", "end"], against: Literal[Rival, "guessing"]
) -> Effects:
    """Cumulative accuracy of VSML less a rival's, on each set of meta-training (home) or each other one (elsewhere)."""
    moment = made.early if when == "early" else None
    if when == "early" and moment is None:
        return
    for task in main_tasks(made.tables, made.profile):
        if made.profile.tasks[task].one_shot or made.profile.seen(task, RULE) != (on == "home"):
            continue
        if against == "guessing":
            rival, name = guessing(made.tables, made.profile.tasks[task]), "guessing"
        else:
            rival, name = _better_of_depths(made, task, moment, against), RIVALS[against]
        if rival is not None:
            own = lives(made.tables, task, RULE).correct[..., :moment].mean(-1)
            yield f"{comparison.title(task)}, {comparison.when(moment)}: VSML less {name}", own - rival


def _better_of_depths(made: Made, task: str, moment: int | None, rival: str) -> Any:
    """Accuracies of a baseline, [1, episode]: of its linear and its hidden model, those of the better in hindsight.

    None where it was not tested on the task.
    """
    models = (*baselines(made.tables), *at_paper_rates(made.tables))
    known = [name for name in models if name in (rival, f"{rival}_hidden") and task in tasks(made.tables, name)]
    found = [lives(made.tables, task, name, moment).correct[..., :moment].mean(-1) for name in known]
    return max(found, key=np.mean, default=None)


def over_fitting(
    made: Made, *, what: Literal["unseen", "gap"], against: Literal["meta_rnn", "fast_memory", "hebbian"]
) -> Effects:
    """VSML against another meta-learned method, a mean over the mixes of sets that both were meta-trained on.

    `unseen`: accuracy of VSML on unseen sets less the other's. `gap`: by how much the accuracy of the other falls
    more than VSML's from seen sets to unseen ones.
    """
    methods = generality.by_method(made.profile.trained_on)
    if RULE not in methods or against not in methods:
        return
    own, other = methods[RULE], methods[against]
    leads: dict[bool, list[Effect]] = {True: [], False: []}  # by whether meta-training saw the set
    for mix in sorted(own.keys() & other.keys()):
        names = (own[mix], other[mix])
        first, second = (set(without_settings(tasks(made.tables, name))) for name in names)
        for task in sorted(first & second):
            mine, theirs = (lives(made.tables, task, name).correct.mean(-1) for name in names)
            leads[made.profile.seen(task, own[mix])].append(mine - theirs)
    name = comparison.NAMES[against].lower()
    if what == "unseen" and leads[False]:
        yield f"Accuracy on unseen sets, VSML less {name}", np.mean(leads[False], axis=0)
    if what == "gap" and leads[False] and leads[True]:
        lead = np.mean(leads[False], axis=0) - np.mean(leads[True], axis=0)
        yield f"Gap between seen and unseen sets, {name} less VSML", lead


def changed_task(made: Made) -> Effects:
    """Accuracy on each changed task of figure 7 less that on the unchanged one of its set."""
    robust = generality.robust(made.tables)
    if robust not in experiments(made.tables):
        return
    for base, of_setting in settings(tasks(made.tables, robust)).items():
        first, *others = of_setting.items()
        reference = lives(made.tables, first[1], robust).correct.mean(-1)
        for setting, task in others:
            own = lives(made.tables, task, robust).correct.mean(-1)
            yield f"{comparison.title(base)}: {generality.CHANGES[setting]} less unchanged", own - reference


def second_exposure(made: Made, *, against: Rival | float) -> Effects:
    """Accuracy of VSML when it is asked about an image for the second time, less a rival's or less a number."""
    if RULE not in experiments(made.tables, "introspect"):
        return
    every = associations(made.tables, RULE)
    found = {name: values for name, metric, values in every if metric == "second_sighting_accuracy"}
    if isinstance(against, float):
        yield f"Right at the second sighting: VSML less {against:g}", found[RULE] - against
    elif against in found:
        yield f"Right at the second sighting: VSML less {RIVALS[against]}", found[RULE] - found[against]


def association(made: Made, *, age: Literal["initial", "later"], against: Rival) -> Effects:
    """VSML's lead in what an exposure adds to the probability of the right class for the same image.

    Of that is taken what it adds to that class for an image of another one, which is no association. `age` is that of
    the state: initial, or after examples of the episode.
    """
    every = _of_learners(made)
    if against not in every:
        return
    own, other = (introspection.gains(every[name]) for name in (RULE, against))
    same, stranger = (introspection.PROBES.index(name) for name in ("same", "stranger"))
    for a, examples in enumerate(every[RULE][0]["age"].tolist()):
        if (examples == 0) == (age == "initial"):
            lead = own[:, a, :, 0, same] - own[:, a, :, 0, stranger]
            lead = lead - (other[:, a, :, 0, same] - other[:, a, :, 0, stranger])
            yield f"One sighting {introspection.when(examples)}: VSML less {RIVALS[against]}", lead


def gradient_cosine(made: Made, *, against: Rival) -> Effects:
    """How much less a step of VSML points where a gradient step would than a step of the rival does."""
    every = _of_learners(made)
    if against not in every:
        return
    own, other = (np.stack([arrays["cosine"] for arrays in every[name]]) for name in (RULE, against))
    clear = np.isfinite(own).any(-1).all(0) & np.isfinite(other).any(-1).all(0)  # episodes in which all have moved
    if clear.any():
        lead = np.nanmean(other[:, clear], axis=-1) - np.nanmean(own[:, clear], axis=-1)
        yield f"Cosine with gradient steps: {RIVALS[against]} less VSML", lead


def _of_learners(made: Made) -> dict[str, list[dict[str, Any]]]:
    """By learner, its arrays in each table of introspection; empty where there is none."""
    has = RULE in experiments(made.tables, "introspect")
    return dict(introspection.of_learners(made.tables, RULE)) if has else {}
