"""Effects of VSML as a learner: how well it does, beside whom, and what an exposure to an image does inside of it."""

from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np

from pipeline.show.looks import LOOKS
from pipeline.studies.claims import Effects
from pipeline.studies.learning import association as introspection
from pipeline.studies.learning import measures, ranking
from pipeline.studies.learning.measures import outcomes
from pipeline.studies.learning.tables import (
    PAPER,
    PAPER_RATES,
    RULE,
    SETTINGS,
    Profile,
    Tables,
    baselines,
    experiments,
    main_tasks,
    tasks,
)

Rival = Literal["sgd", "adam", "sgd_paper", "adam_paper"]
IMAGES = 784  # the inputs of 28x28 pixels, for which the paper's rates were made


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
    against: Literal[Rival, "constant"],
) -> Effects:
    """Cumulative accuracy of VSML less a rival's, on each set of meta-training (home) or each other one (elsewhere).

    The rival is the better, in hindsight, of its linear and its hidden model, or of all baselines of constant memory.
    By a step of SGD a logit moves by the rate times the sum of all squared inputs, by one of Adam by about the rate
    times the sum of all inputs. So the paper's rates, made for 784 inputs, are multiplied by 784 / inputs, and the
    nearest of the grid stands for them.
    """
    tables, moment = made.tables, made.early if when == "early" else None
    if when == "early" and moment is None:
        return
    base = against.removesuffix(PAPER)
    names = ranking.rivals(ranking.CONSTANT) if against == "constant" else (base, f"{base}_hidden")
    for task in _tasks(made, on):
        inputs = measures.inputs(tables, made.profile.tasks[task])
        found = []  # accuracies and words
        for name in [name for name in names if name in baselines(tables) and task in tasks(tables, name)]:
            correct, words = outcomes(tables, task, name, moment).correct, LOOKS[name].words
            if against == "constant":
                words = f"the best of constant memory, {words}"
            elif against == base:
                words = LOOKS[base].words
            else:
                arrays = tables[f"baseline/{name}.npz"].arrays
                nearest = int(np.abs(np.log(arrays["rate"] / (PAPER_RATES[base] * IMAGES / inputs))).argmin())
                correct = arrays[f"{task}/correct"][nearest][None]
                scaled = "" if inputs == IMAGES else f" for {inputs} inputs, {arrays['rate'][nearest]:g}"
                words = LOOKS[against].words + scaled
            found.append((correct[..., :moment].mean(-1), words))
        if found:
            rival, words = max(found, key=lambda one: one[0].mean())
            own = outcomes(tables, task, RULE).correct[..., :moment].mean(-1)
            yield f"{ranking.title(task)}, {ranking.when(moment)}: VSML less {words}", own - rival


def unlike(
    made: Made, *, on: Literal["home", "elsewhere"], against: Literal["sgd", "adam", "nearest_mean"], bound: float
) -> Effects:
    """`bound` less the share of equal answers of VSML and a rival among examples about which both are wrong.

    Over whole episodes, on each set of meta-training (home) or each other one (elsewhere) that has more than two
    classes. Episodes in which they are never both wrong do not count.
    """
    tables = made.tables
    for task in _tasks(made, on) if against in baselines(tables) else ():
        shares = measures.agreement(tables, task, RULE, against)
        if shares and shares.both_wrong.size and measures.classes(tables, made.profile.tasks[task]) > 2:
            label = f"{ranking.title(task)}: {bound:g} less the share of errors equal to those of"
            yield f"{label} {LOOKS[against].words}", bound - shares.both_wrong


def _tasks(made: Made, on: str) -> Iterator[str]:
    """The tasks with long episodes on sets that meta-training drew from (home), or on others."""
    for task in main_tasks(made.tables, made.profile):
        if not made.profile.tasks[task].one_shot and made.profile.seen(task, RULE) == (on == "home"):
            yield task


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
    both = measures.seen_and_unseen(made.tables, made.profile, {method: every[method] for method in (RULE, against)})
    leads = {}
    for side, own in both[RULE].items():
        pairs = zip(own, both[against][side], strict=True)
        leads[side] = np.mean([mine.mean(-1) - theirs.mean(-1) for mine, theirs in pairs], axis=0)
    name = LOOKS[against].name.lower()
    if what == "unseen" and "unseen" in leads:
        yield f"Accuracy on unseen sets, VSML less {name}", leads["unseen"]
    if what == "gap" and len(leads) == 2:
        yield f"Gap between seen and unseen sets, {name} less VSML", leads["unseen"] - leads["seen"]


def changed_task(made: Made) -> Effects:
    """By how much VSML does better on each changed task of figure 7 than on the unchanged one of its set.

    In accuracy beyond always answering the commonest class, as a share of what there is beyond it: with half of the
    classes, chance is twice as good.
    """
    robust = measures.robust(made.tables)
    for base, of_setting in measures.changed_tasks(made.tables).items():
        values = {}
        for setting, task in of_setting.items():
            guess = measures.guessing(made.tables, made.profile.tasks[task])
            values[setting] = (outcomes(made.tables, task, robust).correct.mean(-1) - guess) / (1 - guess)
        reference = values.pop("unchanged")
        for setting, own in values.items():
            yield f"{ranking.title(base)}, beyond chance: {SETTINGS[setting]} less unchanged", own - reference


def second_exposure(made: Made, *, against: Rival | float) -> Effects:
    """Accuracy of VSML when it is asked about an image for the second time, less a rival's or less a number."""
    every = introspection.associations(made.tables, RULE) if RULE in experiments(made.tables, "introspect") else ()
    found = {name: values for name, metric, values in every if metric == "second_exposure_accuracy"}
    if found and (isinstance(against, float) or against in _of_learners(made)):
        fixed = isinstance(against, float)
        other, words = (against, f"{against:g}") if fixed else (found[against], LOOKS[against].words)
        yield f"Right at the second exposure: VSML less {words}", found[RULE] - other


def association(
    made: Made, *, of: Literal["gain_own", "told_apart"], age: Literal["initial", "later"], against: Rival
) -> Effects:
    """VSML's lead in what an exposure ties to the image: `gain_own` or `told_apart` of association.py.

    `age` is that of the state: initial, or after examples of the episode.
    """
    every = _of_learners(made)
    if against in every:
        own, other = (introspection.exposures(every[name]) for name in (RULE, against))
        what = "One exposure" if of == "gain_own" else "An image told from others by a label shown once"
        for (metric, examples), values in own.items():
            if metric == of and (examples == 0) == (age == "initial"):
                label = f"{what} {introspection.when(examples)}: VSML less {LOOKS[against].words}"
                yield label, values - other[metric, examples]


def gradient_cosine(made: Made, *, against: Rival) -> Effects:
    """How much less a step of VSML points where a gradient step would than a step of the rival does."""
    every = _of_learners(made)
    if against in every:
        own, other = (np.stack([arrays["cosine"] for arrays in every[name]]) for name in (RULE, against))
        clear = np.isfinite(own).any(-1).all(0) & np.isfinite(other).any(-1).all(0)  # episodes in which all have moved
        if clear.any():
            lead = np.nanmean(other[:, clear], axis=-1) - np.nanmean(own[:, clear], axis=-1)
            yield f"Cosine with gradient steps: {LOOKS[against].words} less VSML", lead


def _of_learners(made: Made) -> dict[str, list[dict[str, Any]]]:
    """By learner, its arrays in each table of introspection; empty where there is none.

    Without those at the paper's rates where images are not of 28x28 pixels, for which these were made.
    """
    if RULE not in experiments(made.tables, "introspect"):
        return {}
    fits = made.tables[f"test_data/{made.profile.introspected}.npz"].arrays["x"].shape[-1] == IMAGES
    every = introspection.of_learners(made.tables, RULE)
    return {name: arrays for name, arrays in every if fits or not name.endswith(PAPER)}
