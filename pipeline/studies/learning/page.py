"""The tables of VSML and its rivals on the report's page."""

from typing import Any

from pipeline.run import paths
from pipeline.run.artifacts import read_rule
from pipeline.show.display import Cell
from pipeline.show.looks import LOOKS, Look, called, growing
from pipeline.show.measures import Entry, Key, Results
from pipeline.studies.learning import association, measures, ranking
from pipeline.studies.learning.measures import FEATURES, ROBUST, UNTRAINED, VARYING
from pipeline.studies.learning.ranking import accuracy, plus_minus, signed, title, when
from pipeline.studies.learning.tables import (
    RULE,
    SETTINGS,
    Profile,
    Tables,
    at_paper_rates,
    by_seed,
    in_order,
)
from pipeline.studies.params import Items

EXPOSURES = {
    "first_exposure": "First image of a class",
    "second_image": "Second image of a class",
    "second_exposure": "Same image again",
    "next_image": "Another image of the class, right after the first",
}
GROUPS = {
    "hidden": "All hidden",
    "memory": "All memory",
    "memory_starts_random": "Memory that starts random",
    "memory_starts_zero": "Memory that starts at zero",
}


def main_tables(found: Results, tables: Tables, profile: Profile, items: Items) -> dict[str, Any]:
    """The rows of the tables of the section `Tables`, by their names in tables.html; nothing of those without rows."""
    methods = measures.by_method(profile.trained_on)
    mixed = [name for of_mix in methods.values() for name in of_mix.values()]
    made: dict[str, Any] = {"accuracy": {}}

    # A table for each moment: a row for each task whose episodes are long enough, a column for each learner. The
    # experiments of figures 7 and 8 have tables of their own.
    names = ranking.tasks(found)
    own = [name for name in items.experiments if name == RULE or name not in (*mixed, ROBUST)]
    learners = (*own, *items.baselines, *at_paper_rates(tables))
    learners = [name for name in learners if any(accuracy(found, task, name, None) for task in names)]
    looks = [LOOKS.get(name, Look(name, name)) for name in learners]
    for moment in ranking.moments(found):
        rows = []
        for task in names:
            every = [(look, accuracy(found, task, look.key, moment)) for look in looks]
            if not any(entry for _, entry in every):
                continue
            best = max(entry["value"] for look, entry in every if entry and not look.grows)
            length = f"{moment or ranking.length(found, task):,}"
            row = [Cell(title(task), ranking.kinship(found, task)), length, _guess(tables, profile, task)]
            for look, entry in every:
                rate = f"{look.dial} {entry['rate']:g}, " if entry and "rate" in entry else ""
                note = f"{rate}n = {entry['n']}" if entry else ""
                row.append(Cell(plus_minus(entry), note, "best" if entry and entry["value"] == best else ""))
            rows.append(row)
        made["accuracy"] |= {when(moment): rows} if rows else {}

    # Figure 7: a row for each set and setting.
    robust, early, made["robust"] = measures.robust(tables), ranking.early(found), []
    for base, of_setting in measures.changed_tasks(tables).items():
        for setting, task in of_setting.items():
            first, end = (accuracy(found, task, robust, moment) for moment in (early, None))
            less, within = "reference", ""
            if difference := found.get(Key(task, robust, "difference")):
                less, within = signed(difference["value"], 3), "yes" if difference["within"] else "no"
            last = Cell(plus_minus(end), f"n = {end['n']}" if end else "")
            made["robust"].append([title(base), SETTINGS[setting], plus_minus(first), last, less, within])

    # Figure 8: a row for each experiment, a column for each task; then the means over seen and unseen sets.
    columns = in_order((task for name in mixed for task in ranking.tasks(found, name)), ())
    made |= {"varying": [], "means": []}
    for method, of_mix in methods.items():
        for mix, name in of_mix.items():
            entries = [accuracy(found, task, name, None) for task in columns]
            cells = [Cell(plus_minus(entry), mark="seen" if entry and entry["seen"] else "") for entry in entries]
            made["varying"].append([called(method), ranking.mix_title(mix), *cells])
    for learner in (*methods, UNTRAINED):
        seen, unseen, gap = (found.get(Key(VARYING, learner, what)) for what in measures.MEANS)
        if gap is not None:
            made["means"].append([called(learner), plus_minus(seen), plus_minus(unseen), signed(gap["value"])])

    shown = {key: (title(key.subject), called(key.learner)) for key in found if key.metric == "one_shot"}
    rows = [([*names, _guess(tables, profile, key.subject)], [key]) for key, names in shown.items()]
    made["one_shot"] = _rows(found, rows)

    # Figure 9: a row for each learner and kind of exposure.
    task = profile.introspected
    rows = [
        ([called(learner), words], [Key(task, learner, f"{kind}_{what}") for what in ("probability", "accuracy")])
        for learner in (*items.introspect, *association.BASELINES)
        for kind, words in EXPOSURES.items()
    ]
    made["association"] = _rows(found, rows)
    made = {name: rows for name, rows in made.items() if rows}
    names = {"learners": [look.name for look in looks], "growing": growing(learners), "set": title(task)}
    return made and made | names | {"sets": [*map(title, columns)], "early": when(early)}


def _guess(tables: Tables, profile: Profile, task: str) -> str:
    return f"{measures.guessing(tables, profile.tasks[task]):.2f}"


def _rows(found: Results, shown: list[tuple[list[str], list[Key]]]) -> list[list[str]]:
    """After the heads of a row its results, and over how many episodes they are. Rows without results are left out."""
    return [
        [*heads, *(plus_minus(found.get(key)) for key in keys), str(found[keys[0]]["n"])]
        for heads, keys in shown
        if keys[0] in found
    ]


def introspected(found: Results, profile: Profile, items: Items, gaps: int) -> dict[str, Any]:
    """The rows of the tables of introspection; `gaps` is that of the section `introspect`."""
    task, learners = profile.introspected, (*items.introspect, *association.BASELINES)
    gains = ("gain_same", "gain_other", "gain_stranger", "gain_own", "told_apart", f"gain_same_after_{gaps}")
    exposures = [
        (
            [called(name), str(age)],
            [Key(task, name, one, age) for one in (*gains, "wrong_gained_same", "wrong_lost_same")],
        )
        for age in sorted(
            {key.at for key in found if key.subject == task and key.metric == "gain_own" and key.at is not None}
        )
        for name in learners
    ]
    parts = [([called(name)], [Key(task, name, part) for part in association.COSINES]) for name in learners]
    cosines = _rows(found, parts)
    clear = [found[keys[0]]["clear"] for _, keys in parts if keys[0] in found]
    for row, share in zip(cosines, clear, strict=True):
        row.insert(-1, f"{100 * share:.0f} %")
    resets = ("intact_accuracy", "lost_{}_initial", "lost_{}_mean")
    channels = [
        ([words], [Key(task, name, metric.format(group)) for metric in resets])
        for name in items.introspect
        for group, words in GROUPS.items()
    ]
    return {
        "set": title(task),
        "exposures": _rows(found, exposures),
        "cosines": cosines,
        "channels": _rows(found, channels),
    }


def learned(items: Items, tables: Tables) -> dict[str, Any]:
    """What meta-training made, from the rules themselves: a table, and the settings and provenance of each rule."""
    rows, rules = [], {}
    for experiment in items.experiments:
        for seed, curve in by_seed(tables, "meta_train", experiment).items():
            rule = read_rule(paths.rule(experiment, seed))
            steps, skipped = rule.provenance["meta_steps"], curve.arrays["skipped"].sum()
            numbers = (f"{size(rule.theta):,}", f"{measures.final_loss(curve):.3f}")
            rows.append([experiment, str(seed), str(steps), str(skipped), *numbers])
            rules[f"{experiment}-{seed}"] = [*rule.learner.items(), *rule.provenance.items()]
    return {"rows": rows, "rules": rules}


def size(theta: dict[str, Any]) -> int:
    """How many numbers there are in a rule."""
    return sum(size(part) if isinstance(part, dict) else part.size for part in theta.values())


def shipped(found: Results, profile: Profile) -> dict[str, Any]:
    """A row for each task and learner with a shipped rule, a column for each horizon, and the end of the episodes."""
    by_learner: dict[tuple[str, str], dict[int | None, Entry]] = {}
    for key, entry in found.items():
        ships = key.learner.startswith("zoo_") or key.learner.endswith(FEATURES)
        if ships and key.metric in ("cumulative", "one_shot"):
            by_learner.setdefault((key.subject, key.learner), {})[key.at] = entry
    rows = []
    for (task, learner), entries in by_learner.items():
        own, end = learner.removesuffix(FEATURES), next(reversed(entries))  # None of a one-shot task
        name = f"rule {own.removeprefix('zoo_')}" if own.startswith("zoo_") else called(own)
        name += ", with random features" if learner != own else ""
        cells = [plus_minus(entries.get(moment)) for moment in (*profile.horizons, end)]
        rows.append([name, title(task), *cells, f"{end:,}" if end else "one shot"])
    return {"horizons": [f"After {moment:,}" for moment in profile.horizons], "rows": rows}
