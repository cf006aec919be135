"""Effects of VSML as a learner: how well it does, where, and beside whom."""

from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from pipeline import comparison, generality
from pipeline.effects import RIVALS, Effect, Expected, Made, Rival
from pipeline.results import guessing, lives
from pipeline.tables import RULE, at_paper_rates, baselines, experiments, main_tasks, settings, tasks, without_settings


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
