"""The tables of the report's page on VSML and its rivals."""

from collections.abc import Iterator
from typing import Any

from markupsafe import Markup

from pipeline.run import paths
from pipeline.run.artifacts import read_rule
from pipeline.show.display import Cell, Table
from pipeline.show.looks import called
from pipeline.show.measures import Entry, Key, Results
from pipeline.studies.learning import association as introspection
from pipeline.studies.learning import mixes as generality
from pipeline.studies.learning import ranking as comparison
from pipeline.studies.learning.measures import final_loss, guessing
from pipeline.studies.learning.ranking import plus_minus
from pipeline.studies.learning.tables import RULE, Profile, Tables, at_paper_rates, by_seed, in_order
from pipeline.studies.params import Items

SIGHTINGS = {
    "first_sighting": "First image of a class",
    "second_image": "Second image of a class",
    "second_sighting": "Same image again",
    "next_image": "Another image of the class, right after the first",
}
GAINS = {
    "gain_same": "Same image",
    "gain_other": "Another image of the class",
    "gain_stranger": "Images of other classes",
    "gain_own": "Same less other classes",
}
GROUPS = {
    "hidden": "All hidden",
    "memory": "All memory",
    "memory_born_random": "Memory that starts random",
    "memory_born_zero": "Memory that starts at zero",
}


def main_tables(found: Results, tables: Tables, profile: Profile, items: Items) -> Iterator[Table]:
    """The tables of the section `Tables`: those that have rows."""
    yield from accuracies(found, tables, profile, items)
    others = (
        robustness(found, tables),
        *varying_data(found, profile),
        one_shot(found, tables, profile),
        associations(found, profile, items),
    )
    yield from (table for table in others if table.rows)


def accuracies(found: Results, tables: Tables, profile: Profile, items: Items) -> Iterator[Table]:
    """One table for each moment: a row for each task whose episodes are long enough, a column for each learner.

    The experiments of figures 7 and 8 have tables of their own.
    """
    names = comparison.tasks(found)
    mixed = [name for of_mix in generality.by_method(profile.trained_on).values() for name in of_mix.values()]
    own = [name for name in items.experiments if name == RULE or name not in (*mixed, generality.ROBUST)]
    learners = [
        name
        for name in (*own, *items.baselines, *at_paper_rates(tables))
        if any(comparison.accuracy(found, task, name, None) for task in names)
    ]
    for moment in comparison.moments(found):
        rows = []
        for task in names:
            entries = [comparison.accuracy(found, task, learner, moment) for learner in learners]
            if any(entries):
                best = max(entry["value"] for entry in entries if entry is not None)
                length = f"{moment or comparison.length(found, task):,}"
                guess = f"{guessing(tables, profile.tasks[task]):.2f}"
                head = Cell(comparison.title(task), comparison.kinship(found, task))
                rows.append([head, length, guess, *(_accuracy(entry, best) for entry in entries)])
        if rows:
            words = f"Cumulative accuracy {comparison.when(moment)}"
            yield Table(["Data set", "Examples", "Guessing", *map(called, learners)], rows, words, words)


def _accuracy(entry: Entry | None, best: float) -> Cell:
    if entry is None:
        return Cell(plus_minus(None))
    rate = f"rate {entry['rate']:g}, " if "rate" in entry else ""
    return Cell(plus_minus(entry), f"{rate}n = {entry['n']}", "best" if entry["value"] == best else "")


def one_shot(found: Results, tables: Tables, profile: Profile) -> Table:
    rows = [
        [
            comparison.title(key.subject),
            called(key.learner),
            f"{guessing(tables, profile.tasks[key.subject]):.2f}",
            plus_minus(entry),
            str(entry["n"]),
        ]
        for key, entry in found.items()
        if key.metric == "one_shot"
    ]
    heads = ("Task", "Learner", "Guessing", "Accuracy", "n")
    return Table(heads, rows, "One shot", "One example of each class, then one question")


def robustness(found: Results, tables: Tables) -> Table:
    """A row for each set and setting of figure 7."""
    robust, early, rows = generality.robust(tables), comparison.early(found), []
    for base, of_setting in generality.changed_tasks(tables).items():
        for setting, task in of_setting.items():
            difference = found.get(Key(task, robust, "difference"))
            end = comparison.accuracy(found, task, robust, None)
            less, within = "reference", ""
            if difference is not None:
                less, within = generality.signed(difference["value"], 3), "yes" if difference["within"] else "no"
            first = plus_minus(comparison.accuracy(found, task, robust, early))
            last = Cell(plus_minus(end), f"n = {end['n']}" if end else "")
            rows.append([comparison.title(base), generality.CHANGES[setting], first, last, less, within])
    at = [f"Accuracy {comparison.when(early)}", "Accuracy at the end of the life"]
    caption = "Robustness: tasks changed in ways that meta-training never used"
    return Table(("Data set", "Task", *at, "Less the reference", "Within 0.05"), rows, "Robustness", caption)


def varying_data(found: Results, profile: Profile) -> tuple[Table, Table]:
    """A row for each experiment of figure 8, a column for each task; and the means over seen and unseen sets."""
    methods = generality.by_method(profile.trained_on)
    names = [name for of_mix in methods.values() for name in of_mix.values()]
    columns = in_order((task for name in names for task in comparison.tasks(found, name)), ())

    def cell(task: str, name: str) -> Cell:
        entry = comparison.accuracy(found, task, name, None)
        return Cell(plus_minus(entry), mark="seen" if entry and entry["seen"] else "")

    rows = [
        [called(method), generality.mix_title(mix), *(cell(task, name) for task in columns)]
        for method, of_mix in methods.items()
        for mix, name in of_mix.items()
    ]
    caption = Markup(
        'Varying data sets: cumulative accuracy at the end of the life; <span class="seen">tinted</span>: other '
        "examples of a set of meta-training"
    )
    heads = ("Method", "Meta-trained on", *map(comparison.title, columns))
    means = []
    for learner in (*methods, generality.UNTRAINED):
        seen, unseen, gap = (found.get(Key(generality.VARYING, learner, what)) for what in generality.MEANS)
        if gap is not None:
            means.append([called(learner), plus_minus(seen), plus_minus(unseen), generality.signed(gap["value"])])
    return Table(heads, rows, "Varying data sets", caption), Table(
        ("Method", "Sets of meta-training", "Other sets", "Gap"),
        means,
        "Seen and unseen sets",
        "The same, mean over all mixes and data sets; \u00b1 standard deviation over meta-seeds",
        "SGD is meta-trained on nothing: its gap is what the data sets differ in difficulty. What a method\u2019s gap "
        "exceeds it by is over-fitting to the sets of meta-training.",
    )


def associations(found: Results, profile: Profile, items: Items) -> Table:
    rows = []
    for learner in (*items.introspect, *introspection.BASELINES):
        for kind, words in SIGHTINGS.items():
            probability, accuracy = (
                found.get(Key(profile.introspected, learner, f"{kind}_{what}")) for what in ("probability", "accuracy")
            )
            if probability is not None:
                rows.append(
                    [called(learner), words, plus_minus(probability), plus_minus(accuracy), str(probability["n"])]
                )
    caption = (
        f"Fast association on unseen images of {comparison.title(profile.introspected)}: two images of each class, "
        "each shown twice in a row"
    )
    heads = ("Learner", "Exposure", "Probability of the right class", "Accuracy", "n")
    return Table(heads, rows, "Association", caption)


def introspected(found: Results, profile: Profile, items: Items, gaps: int, length: int) -> dict[str, Any]:
    """The verdict on fast association, and its tables; gaps and length are those of the section `introspect`."""
    task = profile.introspected
    learners, every = (*items.introspect, *introspection.BASELINES), set(found)
    sighting = []
    ages = {key.at for key in every if key.metric == "gain_own" and key.subject == task and key.at is not None}
    for age in sorted(ages):
        for learner in learners:
            own = {key.metric: found[key] for key in every if key[:2] == (task, learner) and key.at == age}
            if "gain_own" in own:
                whats = (*GAINS, f"gain_same_after_{gaps}", "wrong_believed_same", "wrong_lost_same")
                n = str(own["gain_same"]["n"])
                sighting.append([called(learner), str(age), *(plus_minus(own[what]) for what in whats), n])
    cosines = []
    for learner in learners:
        parts = [found.get(Key(task, learner, part)) for part in introspection.COSINES]
        if parts[0] is not None:
            clear, n = f"{100 * parts[0]['clear']:.0f} %", str(parts[0]["n"])
            cosines.append([called(learner), *map(plus_minus, parts), clear, n])
    channels = []
    for name in items.introspect:
        if intact := found.get(Key(task, name, "intact_accuracy")):
            for group, words in GROUPS.items():
                born, mean = (found[Key(task, name, f"lost_{group}_{way}")] for way in ("newborn", "mean"))
                channels.append([words, plus_minus(intact), plus_minus(born), plus_minus(mean), str(born["n"])])
    later = (f"Same, {gaps} examples later", "Wrong class, once shown", "Right class, by a wrong label")
    tables = (
        Table(
            ("Learner", "Examples seen before", *GAINS.values(), *later, "n"),
            sighting,
            "One exposure",
            f"One exposure on unseen images of {comparison.title(task)}: what it adds to the probability of the right "
            "class, and what one wrong label does to the image\u2019s",
        ),
        Table(
            (
                "Learner",
                "Whole episode",
                "First quarter",
                "Last quarter",
                "Steps large enough to have a direction",
                "n",
            ),
            cosines,
            "Cosine with gradient steps",
            "Cosine between what a step changes in the logits of other images and what a gradient step of a linear "
            f"model with the same predictions would; episodes of {length} examples",
        ),
        Table(
            (
                "Channels",
                "Accuracy before",
                "Lost, reset to the initial state",
                "Lost, reset to the mean of the cells",
                "n",
            ),
            channels,
            "Channels of the state",
            "Where VSML\u2019s states store it: accuracy lost when channels of all cells are reset after "
            f"{length} examples",
        ),
    )
    return {
        "verdict": introspection.verdict(found, profile) if RULE in items.introspect else None,
        "details": introspection.details(found, profile),
        "tables": [table for table in tables if table.rows],
    }


def learned(items: Items, tables: Tables) -> dict[str, Any]:
    """What meta-training made, from the rules themselves: a table, and the settings and provenance of each rule."""
    rows, rules = [], {}
    for experiment in items.experiments:
        for seed, curve in by_seed(tables, "meta_train", experiment).items():
            rule = read_rule(paths.rule(experiment, seed))
            steps, skipped = rule.provenance["meta_steps"], curve.arrays["skipped"].sum()
            numbers = (f"{size(rule.theta):,}", f"{final_loss(curve):.3f}")
            rows.append([experiment, str(seed), str(steps), str(skipped), *numbers])
            rules[f"{experiment}-{seed}"] = [*rule.learner.items(), *rule.provenance.items()]
    heads = ("Experiment", "Seed", "Meta-steps", "Skipped (non-finite)", "Numbers learned", "Final meta loss (nats)")
    return {"table": Table(heads, rows, "Meta-training", "Meta-training"), "rules": rules}


def size(theta: dict[str, Any]) -> int:
    """How many numbers there are in a rule."""
    return sum(size(part) if isinstance(part, dict) else part.size for part in theta.values())
