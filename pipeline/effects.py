"""What the tests of claims.yaml measure: effects per meta-seed and life, positive where the claim says so.

A test is an entry of claims.yaml, checked; its `effects` reads tables, runs no model, and says [seed, life] by label.
It says nothing if this profile has no such tasks or learners. Learners live the very same lives, so that an effect is a
difference within a life.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field, PositiveFloat, PositiveInt

from pipeline import cloning, comparison, generality, introspection, unification
from pipeline.results import (
    RULE,
    Profile,
    Tables,
    associations,
    at_paper_rates,
    baselines,
    experiments,
    guessing,
    lives,
    main_tasks,
    settings,
    tasks,
    without_settings,
)
from pipeline.sections.base import Section

Effect = Float[np.ndarray, "seed life"]
Rival = Literal["sgd", "adam", "sgd_paper", "adam_paper"]
RIVALS = {
    "sgd": "SGD at its best rate",
    "adam": "Adam at its best rate",
    "sgd_paper": "SGD at the paper\u2019s rate",
    "adam_paper": "Adam at the paper\u2019s rate",
}


class Made(NamedTuple):
    """What a profile made: its tables, when a learner is young, and the set on which clones were improved."""

    tables: Tables
    profile: Profile
    early: int | None
    improved_on: str


class Expected(Section):
    """What an effect should be: more than nothing, nothing, or no less than nothing; `margin` is what would matter."""

    expect: Literal["superior", "equivalent", "not_worse"]
    margin: PositiveFloat


class Accuracy(Expected):
    """Cumulative accuracy of VSML less a rival's, on sets of meta-training (home) or on each other one."""

    quantity: Literal["accuracy"]
    on: Literal["home", "elsewhere"]
    when: Literal["early", "end"]
    against: Rival | Literal["guessing"]

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        moment = made.early if self.when == "early" else None
        if self.when == "early" and moment is None:
            return
        for task in main_tasks(made.tables, made.profile):
            seen, one_shot = made.profile.seen(task, RULE), made.profile.tasks[task].one_shot
            rival = None if one_shot or seen != (self.on == "home") else self._rival(made, task, moment)
            if rival is not None:
                own = lives(made.tables, task, RULE).correct[..., :moment].mean(-1)
                words = "guessing" if self.against == "guessing" else RIVALS[self.against]
                yield f"{comparison.title(task)}, {comparison.when(moment)}: VSML less {words}", own - rival

    def _rival(self, made: Made, task: str, moment: int | None) -> Any:
        """Its accuracies, [1, life]; of a best rate, by the better of a linear and a hidden model in hindsight."""
        if self.against == "guessing":
            return guessing(made.tables, made.profile.tasks[task])
        members = [self.against, f"{self.against}_hidden"]
        known = [name for name in (*baselines(made.tables), *at_paper_rates(made.tables)) if name in members]
        found = [lives(made.tables, task, name, moment).correct for name in known if task in tasks(made.tables, name)]
        return max((correct[..., :moment].mean(-1) for correct in found), key=np.mean, default=None)


class OverFitting(Expected):
    """VSML against another meta-learned method, over mixes of sets: who does better on unseen sets, or has less gap."""

    quantity: Literal["over_fitting"]
    what: Literal["unseen", "gap"]
    against: Literal["meta_rnn", "fast_memory", "hebbian"]

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        methods = generality.by_method(made.profile.trained_on)
        if RULE not in methods or self.against not in methods:
            return
        own, other = ({*self._cells(made, methods[name])} for name in (RULE, self.against))
        cells = sorted(own & other)
        unseen, seen = (
            [self._lead(made, methods, *cell) for cell in cells if self._seen(made, methods, *cell) is is_it]
            for is_it in (False, True)
        )
        if not unseen or (self.what == "gap" and not seen):
            return
        lead = np.mean(unseen, axis=0) - (np.mean(seen, axis=0) if self.what == "gap" else 0.0)
        words = {
            "unseen": "accuracy on unseen sets, VSML less {}",
            "gap": "gap between seen and unseen sets, {} less VSML",
        }
        yield words[self.what].format(comparison.NAMES[self.against]).capitalize().replace("vsml", "VSML"), lead

    def _cells(self, made: Made, of_mix: dict[str, str]) -> Iterator[tuple[str, str]]:
        for mix, name in of_mix.items():
            yield from ((mix, task) for task in without_settings(tasks(made.tables, name)))

    def _seen(self, made: Made, methods: dict[str, dict[str, str]], mix: str, task: str) -> bool:
        return made.profile.seen(task, methods[RULE][mix])

    def _lead(self, made: Made, methods: dict[str, dict[str, str]], mix: str, task: str) -> Effect:
        own, other = (lives(made.tables, task, methods[name][mix]).correct.mean(-1) for name in (RULE, self.against))
        return own - other


class ChangedTask(Expected):
    """Accuracy on a changed task of figure 7 less that on the unchanged one of its set."""

    quantity: Literal["changed_task"]

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        robust = generality.robust(made.tables)
        if robust not in experiments(made.tables):
            return
        for base, of_setting in settings(tasks(made.tables, robust)).items():
            first, *others = of_setting.items()
            reference = lives(made.tables, first[1], robust).correct.mean(-1)
            for setting, task in others:
                own = lives(made.tables, task, robust).correct.mean(-1)
                yield f"{comparison.title(base)}: {generality.CHANGES[setting]} less unchanged", own - reference


class SecondSighting(Expected):
    """Accuracy of VSML at the second sighting of an image, less a rival's or less a number."""

    quantity: Literal["second_sighting"]
    against: Rival | float

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        if RULE not in experiments(made.tables, "introspect"):
            return
        found = {
            name: values for name, what, values in associations(made.tables, RULE) if what == "second_sighting_accuracy"
        }
        if isinstance(self.against, float):
            yield f"Right at the second sighting: VSML less {self.against:g}", found[RULE] - self.against
        elif self.against in found:
            words = RIVALS[self.against]
            yield f"Right at the second sighting: VSML less {words}", found[RULE] - found[self.against]


class Association(Expected):
    """VSML's lead in what a sighting adds to the class of its image, less what it adds there to images of others."""

    quantity: Literal["association"]
    age: Literal["newborn", "later"]
    against: Rival

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        every = _learners(made)
        if self.against not in every:
            return
        own, other = (introspection.gains(every[name]) for name in (RULE, self.against))
        same, stranger = (introspection.PROBES.index(name) for name in ("same", "stranger"))
        for a, age in enumerate(every[RULE][0]["age"].tolist()):
            if (age == 0) == (self.age == "newborn"):
                lead = own[:, a, :, 0, same] - own[:, a, :, 0, stranger]
                lead = lead - (other[:, a, :, 0, same] - other[:, a, :, 0, stranger])
                yield f"One sighting {introspection.when(age)}: VSML less {RIVALS[self.against]}", lead


class GradientCosine(Expected):
    """How much less a step of VSML points where a gradient step would than a step of the rival does."""

    quantity: Literal["gradient_cosine"]
    against: Rival

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        every = _learners(made)
        if self.against not in every:
            return
        own, other = (np.stack([arrays["cosine"] for arrays in every[name]]) for name in (RULE, self.against))
        clear = np.isfinite(own).any(-1).all(0) & np.isfinite(other).any(-1).all(0)  # lives in which all have moved
        if clear.any():
            lead = np.nanmean(other[:, clear], axis=-1) - np.nanmean(own[:, clear], axis=-1)
            yield f"Cosine with gradient steps: {RIVALS[self.against]} less VSML", lead


class Deviation(Expected):
    """How far an instance is from its algorithm in a lifetime, in units of what learning moves; or its control is."""

    quantity: Literal["deviation"]
    of: Literal["instance", "control"]
    methods: Annotated[tuple[str, ...], Field(min_length=1)]

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        if unification.TABLE not in made.tables:
            return
        arrays = made.tables[unification.TABLE].arrays
        for method in self.methods:
            row = arrays["pair"].tolist().index(method)
            of_learning = arrays["learning"][row].astype(np.float64)
            off = np.maximum(
                arrays["prediction_deviation"][row] / of_learning,
                arrays["state_deviation"][row] / arrays["state_size"][row],
            )
            words = unification.METHODS[method]
            if self.of == "control":  # a control that does no worse would say that the measure is blind
                near = unification.CONTROLS[method]
                yield (
                    f"{words}: near relative ({near}) less instance",
                    (arrays["control_deviation"][row] / of_learning - off)[:, None],
                )
            else:
                yield f"{words}: relative deviation of the instance", off[:, None]


class Cloned(Expected):
    """A clone, or one improved by meta-training, against SGD or the plain clone, by networks of so many layers."""

    quantity: Literal["clone"]
    of: Literal["clone", "improved"]
    against: Literal["clone", "sgd"]
    score: Literal["early", "held_out"]
    on: Literal["home", "elsewhere"]
    layers: PositiveInt

    def effects(self, made: Made) -> Iterator[tuple[str, Effect]]:
        tables, names = made.tables, {"clone": "clone", "improved": "improved clone", "sgd": "SGD"}
        for task in cloning.tasks(tables) if cloning.tests(tables) else ():
            name, _, sizes = task.partition("-")
            if sizes.count("-") == self.layers and (name == made.improved_on) == (self.on == "home"):
                own, other = (self._score(tables, task, learner) for learner in (self.of, self.against))
                words = "first examples" if self.score == "early" else "test images at the end"
                yield f"{cloning.words(task)}, {words}: {names[self.of]} less {names[self.against]}", own - other

    def _score(self, tables: Tables, task: str, learner: str) -> Effect:
        if self.score == "held_out":
            return cloning.of_clones(tables, f"{task}/held_out")[:, :, -1, cloning.LEARNERS.index(learner)]
        online = cloning.cumulative(tables, task, learner)
        return online[:, :, min(cloning.LOOKED_AT, online.shape[-1]) - 1]


def _learners(made: Made) -> dict[str, list[dict[str, Any]]]:
    has = RULE in experiments(made.tables, "introspect")
    return dict(introspection.of_learners(made.tables, RULE)) if has else {}
