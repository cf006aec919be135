"""What VSML and its rivals do, in numbers: `results` of a profile's tables, each under a `Key`.

  TASK/LEARNER/cumulative@EXAMPLES       accuracy over so many examples; TASK/LEARNER/one_shot over all questions. rate:
                                         a baseline's, chosen in hindsight for this very number; seen: whether a rule's
                                         meta-training drew from the set of the task (other examples of it)
  TASK/zoo_RULE/cumulative, one_shot     the same of rules that ship, which with random features are zoo_RULE_features;
                                         sgd_features and adam_features have those, too
  TASK/zoo_RULE…/lead@EXAMPLES           by how much it is right more often than its rival in the same episodes: the
                                         best of SGD and Adam without random features; lead_constant: the best of all
                                         baselines whose memory is constant
  TASK/vsml/same_as_BASELINE@EXAMPLES    share of equal answers of the two, among so many examples; same_wrong_as: among
                                         those where both are wrong, which with two classes says nothing. The same of
                                         zoo_RULE
  TASK/vsml_after_STEP/…                 accuracies and agreement of the rule as it was after so many meta-steps
  TASK/EXPERIMENT/difference             accuracy on a changed task (figure 7) less that on the unchanged one of its
                                         set; within: whether it is at most 0.05 either way
  varying_data/METHOD/seen, unseen, gap  accuracy on sets that meta-training drew from, on all others (figure 8), and
                                         seen less unseen; cells: how many pairs of mix and task a mean is over
  meta_train/EXPERIMENT/final_loss       see `final_loss`

and those of association.py. Each is a mean, with sd and n over the episodes of all seeds (of figures 7 and 8 over the
seeds, whole episodes each); sd_seeds is that of the seeds' means. Seen and unseen sets differ in difficulty too: how
much, SGD tells, which is meta-trained on nothing. What a method's gap exceeds that of SGD by is over-fitting.

Axis letters: seed (of meta-training), rate (of learning), episode (an episode of a test), time, class.
"""

import itertools
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Integer

from pipeline.run.artifacts import Table
from pipeline.show.looks import LOOKS
from pipeline.show.measures import Entry, Key, Results, moments, summary
from pipeline.studies.learning import ranking
from pipeline.studies.learning.association import associations, introspection
from pipeline.studies.learning.tables import (
    PAPER,
    PAPER_RATES,
    RULE,
    SYNTHETIC,
    Profile,
    Tables,
    Task,
    at_paper_rates,
    baselines,
    by_seed,
    experiments,
    in_order,
    main_tasks,
    settings,
    tasks,
    without_settings,
)

SHIPPED = "zoo_test/"  # the folder of the tables of rules that ship
AFTER = "_after_"  # `vsml_after_250` is the rule as it was after 250 meta-steps
FEATURES = "_features"  # `sgd_features` is SGD that sees random features, too
ROBUST = "robust"  # the experiment of figure 7; where there is none, it is the main one
TOLERANCE = 0.05  # of accuracy: what still counts as comparable
VARYING = "varying_data"  # the subject of means over data sets
METHODS = (RULE, "meta_rnn", "fast_memory", "hebbian")  # the experiments of figure 8 are `<method>_on_<mix>`
UNTRAINED = "sgd"
MEANS = ("seen", "unseen", "gap")


def results(tables: Tables, profile: Profile) -> Results:
    """All numbers of VSML and its rivals that these tables have; see the top of the file."""
    found = accuracies(tables, profile)
    # Rules that ship, and those that see the same random features, each at its best rate for the very number.
    for rule in shipped_rules(tables):
        tests = shipped_tests(tables, rule)
        for task, learner in ((one, learner) for one in in_order(tests, ()) for learner in tests[one]):
            correct, baseline = tests[task][learner], tables.get(f"baseline/{learner.removesuffix(FEATURES)}.npz")
            for key, moment in _moments(profile, task, learner, correct.shape[-1]):
                accuracy = correct[..., :moment].mean(-1)
                best = int(accuracy.mean(1).argmax())
                found[key] = summary(accuracy[best][None])
                if baseline is not None:
                    found[key] |= {"rate": _short(baseline.arrays["rate"][best])}
                elif key.metric == "cumulative":
                    for metric, families in (("lead", ranking.FAMILIES), ("lead_constant", ranking.CONSTANT)):
                        keys = {name: key._replace(learner=name) for name in sorted(ranking.rivals(families))}
                        if values := {name: found[one]["value"] for name, one in keys.items() if one in found}:
                            rival = max(values, key=values.__getitem__)
                            theirs = outcomes(tables, task, rival, moment).correct[..., :moment].mean(-1)
                            found[key._replace(metric=metric)] = summary(accuracy[best][None] - theirs) | {
                                "rival": rival
                            }
    found |= agreements(tables, profile)
    for task, entry in differences(tables).items():
        found[Key(task, robust(tables), "difference")] = entry
    for learner, values in over_fitting(tables, profile).items():
        found |= {Key(VARYING, learner, metric): entry for metric, entry in values.items()}
    for experiment in experiments(tables, "meta_train"):
        losses = [[final_loss(curve)] for curve in by_seed(tables, "meta_train", experiment).values()]
        found[Key("meta_train", experiment, "final_loss")] = summary(np.array(losses))
    for experiment in experiments(tables, "introspect"):
        for learner, metric, values in associations(tables, experiment):
            found[Key(profile.introspected, learner, metric)] = summary(values)
    return found | introspection(tables, profile)


class Outcomes(NamedTuple):
    """How one learner fared on one task: a learned rule once per meta-seed, a baseline at its best rate or strength."""

    correct: Bool[np.ndarray, "seed episode time"]
    rate: float | None  # None of a rule, and of a baseline without such a number
    answer: Integer[np.ndarray, "seed episode time"] | None = None  # the class; None where a table has only `correct`


def outcomes(tables: Tables, task: str, learner: str, horizon: int | None = None) -> Outcomes:
    """The episodes of `learner` on `task`.

    The rate of a baseline is chosen in hindsight: the one with the highest mean accuracy over the first `horizon`
    examples (the whole if None) of these very episodes. That flatters the baselines. `sgd_paper` and `adam_paper`
    and those with a hidden layer have the fixed rate of the paper. `zoo_RULE` is a rule that ships, and
    `EXPERIMENT_after_STEP` a snapshot of meta-training.
    """
    if AFTER in learner:
        experiment, step = learner.split(AFTER)
        of_seeds = [table.arrays for table in by_seed(tables, "meta_test", experiment).values()]
        at = [arrays["snapshot"].tolist().index(int(step)) for arrays in of_seeds]
        correct, answer = (
            np.stack([arrays[f"snapshots/{task}/{kind}"][own] for arrays, own in zip(of_seeds, at, strict=True)])
            for kind in ("correct", "answer")
        )
        return Outcomes(correct, None, answer)
    baseline = learner.removesuffix(PAPER)
    if (path := f"baseline/{baseline}.npz") not in tables:
        shipped, name = learner.startswith("zoo_"), learner.removeprefix("zoo_")
        of_seeds = [tables[f"{SHIPPED}{name}.npz"]] if shipped else by_seed(tables, "meta_test", learner).values()
        answers = [table.arrays[key] for table in of_seeds if (key := f"{task}/answer") in table.arrays]
        correct = np.stack([table.arrays[f"{task}/correct"] for table in of_seeds])
        return Outcomes(correct, None, np.stack(answers) if len(answers) == len(correct) else None)
    arrays = tables[path].arrays
    correct, answer, rates = arrays[f"{task}/correct"], arrays.get(f"{task}/answer"), arrays["rate"]
    if learner == baseline:
        best = int(correct[:, :, :horizon].mean(axis=(1, 2)).argmax())
    else:
        best = int(np.isclose(rates, PAPER_RATES[baseline.removesuffix("_hidden")]).argmax())
    rate = None if np.isnan(rates[best]) else _short(rates[best])
    return Outcomes(correct[best][None], rate, None if answer is None else answer[best][None])


def _short(rate: float) -> float:
    """0.003, and not float32's."""
    return float(f"{rate:.6g}")


class Agreement(NamedTuple):
    """How often two learners give equal answers: among all examples, and among those where both are wrong.

    The latter is not a number in an episode in which they never both are.
    """

    equal: Float[np.ndarray, "seed episode"]
    equal_wrong: Float[np.ndarray, "seed episode"]

    @property
    def both_wrong(self) -> Float[np.ndarray, "seed episode"]:
        """`equal_wrong` of the episodes in which it is a number for all seeds."""
        return self.equal_wrong[:, np.isfinite(self.equal_wrong).all(0)]


def agreement(tables: Tables, task: str, one: str, other: str, horizon: int | None = None) -> Agreement | None:
    """That of two learners over the first `horizon` examples (the whole if None) of the same episodes.

    A learner and itself: that of each pair of its meta-seeds. None where answers were not kept, or of a lone seed.
    """
    a, b = outcomes(tables, task, one, horizon), outcomes(tables, task, other, horizon)
    if a.answer is None or b.answer is None:
        return None
    first, second = np.triu_indices(len(a.answer), 1) if one == other else (slice(None), slice(None))
    equal = (a.answer[first] == b.answer[second])[..., :horizon]
    wrong = ~(a.correct[first] | b.correct[second])[..., :horizon]
    if not len(equal):
        return None
    both, number = (equal & wrong).sum(-1), wrong.sum(-1)
    return Agreement(equal.mean(-1), np.divide(both, number, out=np.full(both.shape, np.nan), where=number > 0))


def snapshots(tables: Tables) -> tuple[str, list[int]]:
    """The task on which snapshots of the main rule were tested, and their meta-steps; none without such a test."""
    of_seeds = by_seed(tables, "meta_test", RULE) if RULE in experiments(tables) else {}
    arrays = next((table.arrays for table in of_seeds.values()), {})
    task = next((name.split("/")[1] for name in arrays if name.startswith("snapshots/")), "")
    return task, arrays["snapshot"].tolist() if task else []


def agreements(tables: Tables, profile: Profile) -> Results:
    """Of the main rule, its snapshots and the rules that ship with each baseline, at all moments."""
    found: Results = {}
    rules = {f"zoo_{name}": list(shipped_tests(tables, name)) for name in shipped_rules(tables)}
    rules |= {RULE: main_tasks(tables, profile)} if RULE in experiments(tables) else {}
    task, steps = snapshots(tables)
    rules |= {f"{RULE}{AFTER}{step}": [task] for step in steps}
    for rule, rival in itertools.product(rules, baselines(tables)):
        for task in (task for task in rules[rule] if task in tasks(tables, rival) and not profile.tasks[task].one_shot):
            for moment in moments(outcomes(tables, task, rival).correct.shape[-1], profile.horizons):
                if shares := agreement(tables, task, rule, rival, moment):
                    found[Key(task, rule, f"same_as_{rival}", moment)] = summary(shares.equal)
                    if shares.both_wrong.size and classes(tables, profile.tasks[task]) > 2:
                        found[Key(task, rule, f"same_wrong_as_{rival}", moment)] = summary(shares.both_wrong)
    return found


def accuracies(tables: Tables, profile: Profile) -> Results:
    """The part of `results` that is about accuracy on tasks, but for rules that ship."""
    found: Results = {}
    for learner in (*experiments(tables), *baselines(tables), *at_paper_rates(tables)):
        for task in tasks(tables, learner):
            for key, moment in _moments(profile, task, learner, outcomes(tables, task, learner).correct.shape[-1]):
                correct, rate, _ = outcomes(tables, task, learner, moment)
                more = {"seen": profile.seen(task, learner)} if learner in profile.trained_on else {}
                more |= {} if rate is None else {"rate": rate}
                found[key] = summary(correct[..., :moment].mean(axis=-1)) | more
    task, steps = snapshots(tables)
    for learner in (f"{RULE}{AFTER}{step}" for step in steps):
        correct = outcomes(tables, task, learner).correct
        for key, moment in _moments(profile, task, learner, correct.shape[-1]):
            found[key] = summary(correct[..., :moment].mean(axis=-1))
    return found


def _moments(profile: Profile, task: str, learner: str, length: int) -> list[tuple[Key, int]]:
    """What an accuracy is called, and after how many examples it is taken."""
    if profile.tasks[task].one_shot:
        return [(Key(task, learner, "one_shot"), length)]
    return [(Key(task, learner, "cumulative", moment), moment) for moment in moments(length, profile.horizons)]


def guessing(tables: Tables, task: Task) -> float:
    """The accuracy of always answering the commonest class of the test examples, which no learner knows."""
    if task.set in SYNTHETIC or isinstance(task.classes, int):
        return 1 / classes(tables, task)
    counts = np.bincount(tables[f"test_data/{task.set}.npz"].arrays["y"])
    if task.classes is not None:
        counts = counts[list(task.classes)]
    return float(counts.max() / counts.sum())


def inputs(tables: Tables, task: Task) -> int:
    """How many numbers an example of a task has; that of a set without a file says so itself."""
    return task.inputs or tables[f"test_data/{task.set}.npz"].arrays["x"].shape[-1]


def classes(tables: Tables, task: Task) -> int:
    """How many classes a task has."""
    if task.set in SYNTHETIC:
        return SYNTHETIC[task.set]
    if isinstance(task.classes, int):
        return task.classes
    return len(task.classes or np.unique(tables[f"test_data/{task.set}.npz"].arrays["y"]))


def final_loss(curve: Table) -> float:
    """The mean meta loss of the last twentieth of the meta-steps, in nats, without the skipped ones."""
    loss, skipped = curve.arrays["loss"], curve.arrays["skipped"]
    last = max(1, len(loss) // 20)
    kept = loss[-last:][~skipped[-last:]]
    if not len(kept):
        raise ValueError(f"All of the last {last} meta-steps were skipped: the run has no final loss; lower its rate.")
    return float(kept.mean(dtype=np.float64))


def shipped_rules(tables: Tables) -> list[str]:
    """The rules that ship and were tested, in the order of the profile's items."""
    return [path.removeprefix(SHIPPED).removesuffix(".npz") for path in tables if path.startswith(SHIPPED)]


def shipped_tests(tables: Tables, rule: str) -> dict[str, dict[str, Bool[np.ndarray, "rate episode time"]]]:
    """By task and learner, whether each prediction was correct; a rule has no rates but one.

    First the rule as it is, then all with random features beside those of each example: the rule, SGD and Adam.
    """
    own, found = tables[f"{SHIPPED}{rule}.npz"].arrays, {}
    every = {f"zoo_{rule}": own}
    every |= {name: tables[f"baseline/{name}.npz"].arrays for name in LOOKS if f"baseline/{name}.npz" in tables}
    for task in [name.removesuffix("/correct") for name in own if re.fullmatch("[^/]+/correct", name)]:
        widened = {learner + FEATURES: arrays.get(f"features/{task}/correct") for learner, arrays in every.items()}
        of_task = {f"zoo_{rule}": own[f"{task}/correct"]} | widened
        found[task] = {
            learner: correct if correct.ndim == 3 else correct[None]
            for learner, correct in of_task.items()
            if correct is not None
        }
    return found


def robust(tables: Tables) -> str:
    """The experiment of figure 7."""
    return ROBUST if ROBUST in experiments(tables) else RULE


def changed_tasks(tables: Tables) -> dict[str, dict[str, str]]:
    """By set and setting, the tasks of figure 7 that its experiment was tested on; none without that experiment."""
    experiment = robust(tables)
    return settings(tasks(tables, experiment)) if experiment in experiments(tables) else {}


def differences(tables: Tables, moment: int | None = None) -> dict[str, Entry]:
    """By changed task, how much better the rule of figure 7 does on it than on the unchanged one of its set.

    Over the first `moment` examples, or as many as the shorter of the two episodes has.
    """
    found = {}
    for of_setting in changed_tasks(tables).values():
        reference, *others = (outcomes(tables, task, robust(tables)).correct for task in of_setting.values())
        for task, changed in zip([*of_setting.values()][1:], others, strict=True):
            end = min(moment or changed.shape[-1], changed.shape[-1], reference.shape[-1])
            values = changed[..., :end].mean(axis=(1, 2)) - reference[..., :end].mean(axis=(1, 2))
            within = abs(float(values.mean())) <= TOLERANCE + 1e-9  # 0.85 - 0.8 is a little more than 0.05
            found[task] = summary(values[None]) | {"within": within}
    return found


def by_method(trained_on: Mapping[str, tuple[str, ...]]) -> dict[str, dict[str, str]]:
    """By method and mix, the names of the experiments of figure 8: single sets first, then all, then all but one.

    The main experiment is VSML on its set where no other is.
    """
    named = {name: name for name in trained_on if name.partition("_on_")[0] in METHODS and "_on_" in name}
    if named and len(sets := trained_on.get(RULE, ())) == 1:
        named.setdefault(f"{RULE}_on_{sets[0]}", RULE)
    found: dict[str, dict[str, str]] = {method: {} for method in METHODS}
    for name in sorted(named, key=lambda name: ("_on_all_but_" in name, name.endswith("_on_all"), name)):
        method, _, mix = name.partition("_on_")
        found[method][mix] = named[name]
    return {method: of_mix for method, of_mix in found.items() if of_mix}


Sides = dict[str, list[Bool[np.ndarray, "seed episode time"]]]  # "seen" and "unseen", as far as there are such sets


def seen_and_unseen(tables: Tables, profile: Profile, methods: Mapping[str, Mapping[str, str]]) -> dict[str, Sides]:
    """By method, the episodes of each pair of mix and task that all methods have; of UNTRAINED, too, if it has all."""
    shared = set.intersection(
        *(
            {(mix, task) for mix, name in of_mix.items() for task in without_settings(tasks(tables, name))}
            for of_mix in methods.values()
        )
    )
    first, names = next(iter(methods.values())), dict(methods)  # which sets are seen, the mixes of any method tell
    if UNTRAINED in baselines(tables) and {task for _, task in shared} <= set(tasks(tables, UNTRAINED)):
        names[UNTRAINED] = dict.fromkeys(first, UNTRAINED)
    found: dict[str, Sides] = {method: {} for method in names}
    for (mix, task), method in itertools.product(sorted(shared), names):
        side = "seen" if profile.seen(task, first[mix]) else "unseen"
        found[method].setdefault(side, []).append(outcomes(tables, task, names[method][mix]).correct)
    return found


def over_fitting(tables: Tables, profile: Profile) -> dict[str, dict[str, Entry]]:
    """By learner, its accuracy on seen and on unseen sets if there are any, and the gap between the two."""
    methods, found = by_method(profile.trained_on), {}
    for learner, sides in seen_and_unseen(tables, profile, methods).items() if methods else ():
        means = {what: np.mean([one.mean(axis=(1, 2)) for one in own], axis=0) for what, own in sides.items()}
        found[learner] = {what: summary(mean[None]) | {"cells": len(sides[what])} for what, mean in means.items()}
        if len(means) == 2:
            gap = summary((means["seen"] - means["unseen"])[None])
            found[learner]["gap"] = gap | {"cells": sum(map(len, sides.values()))}
    return found
