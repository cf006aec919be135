"""What the report's page and the README say of VSML and its rivals: verdicts in words, and tables."""

from collections.abc import Iterator
from typing import Any

from pipeline.run import paths
from pipeline.run.artifacts import read_rule
from pipeline.show.display import Cell
from pipeline.show.looks import LOOKS, Look, called, growing
from pipeline.show.measures import Entry, Key, Results
from pipeline.studies.learning import association, measures, ranking
from pipeline.studies.learning.measures import FEATURES, METHODS, ROBUST, TOLERANCE, UNTRAINED, VARYING
from pipeline.studies.learning.ranking import accuracy, plus_minus, signed, title, when
from pipeline.studies.learning.tables import (
    PAPER,
    PAPER_RATES,
    RULE,
    SETTINGS,
    Profile,
    Tables,
    at_paper_rates,
    by_seed,
    in_order,
    settings,
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
RIVALS = ("sgd", "sgd_paper")  # whose gains the verdict on fast association compares
SIDES = ("larger", "smaller", "not clearly different")  # of a gain of VSML beside that of a rival
CLEAR = 2.0  # standard errors


def verdicts(results: Results) -> list[str]:
    """All that the numbers of accuracy say in words, a paragraph each."""
    rates = ", ".join(f"{called(name)} {rate:g}" for name, rate in PAPER_RATES.items())
    hidden = any(key.learner.endswith(f"_hidden{PAPER}") for key in results)
    depths = "linear or with a hidden layer" if hidden else "linear"
    every = {
        "": verdict(results),
        f"At the paper\u2019s fixed rates ({rates}; {depths}): ": verdict(results, ranking.AT_PAPER_RATES),
        "Beside simple learners of constant memory: ": verdict(results, ranking.SIMPLE),
    }
    said = [head + words for head, words in every.items() if words]
    return said + [words for words in (verdict_robust(results), verdict_varying(results)) if words]


def verdict(results: Results, members_of: ranking.Families = ranking.FAMILIES) -> str:
    """One plain sentence for each moment that any episode reaches: on which sets a rival of VSML wins."""
    sentences = []
    known = {key.learner for key in results}
    who = " or ".join(family for family, names in members_of.items() if family != "VSML" and known & {*names})
    for moment in ranking.moments(results):
        number, lost = 0, []
        for task in ranking.tasks(results):
            found = ranking.best(results, task, moment, members_of)
            if len(found) > 1:
                number += 1
                ahead = ranking.winners(found)[0]  # of equals the first, which is VSML if it is one of them
                if ahead != "VSML":
                    best, own = found[ahead]["value"], found["VSML"]["value"]
                    lost.append(f"{title(task)} ({ahead} {best:.3f}, VSML {own:.3f})")
        if number:
            which = f"{len(lost)} of {number} sets: {', '.join(lost)}" if lost else f"none of {number} sets"
            sentences.append(f"{when(moment).capitalize()}, {who} wins on {which}.")
    return " ".join(sentences)


def verdict_robust(results: Results) -> str:
    """For each set, on how many changed tasks the rule does as on the unchanged one; then the paper's claim."""
    found = {key: entry for key, entry in results.items() if key.metric == "difference"}
    sentences = []
    for base, of_setting in settings(key.subject for key in results).items():
        own = {key: found[key] for key in found if key.subject in of_setting.values()}
        reference = [accuracy(results, of_setting["unchanged"], key.learner, None) for key in own]
        if reference and reference[0]:
            names = {task: SETTINGS[setting] for setting, task in of_setting.items()}
            far = {key: entry for key, entry in own.items() if not entry["within"]}
            which = ", ".join(f"{names[key.subject]} ({signed(entry['value'], 3)})" for key, entry in far.items())
            sentences.append(
                f"{title(base)}: within {TOLERANCE} of the reference ({reference[0]['value']:.3f}) on "
                f"{len(own) - len(far)} of {len(own)} settings{f'; not on {which}' if far else ''}."
            )
    if not sentences:
        return ""
    if all(entry["within"] for entry in found.values()):
        claim = "is reproduced here."
    elif all(entry["within"] or entry["value"] > 0 for entry in found.values()):
        claim = "is reproduced here in that none is worse by more."
    else:
        claim = "is not reproduced here."
    head = "Changed tasks, at the end of the episode:"
    return " ".join([head, *sentences, f"The paper\u2019s claim, that all changed tasks fare comparably, {claim}"])


def verdict_varying(results: Results) -> str:
    """What each method reaches on seen and on unseen sets; then the paper's claim about who over-fits."""
    values = {
        learner: {what: results[Key(VARYING, learner, what)]["value"] for what in measures.MEANS}
        for learner in (*METHODS, UNTRAINED)
        if Key(VARYING, learner, "gap") in results
    }
    methods = [learner for learner in values if learner != UNTRAINED]
    if not methods:
        return ""
    parts = ", ".join(
        f"{called(learner)} {value['seen']:.2f} and {value['unseen']:.2f} (gap {signed(value['gap'])})"
        for learner, value in values.items()
    )
    words = f"Mean cumulative accuracy at the end of the episode, on sets of meta-training and on others: {parts}."
    if UNTRAINED in values:
        words += " SGD is meta-trained on nothing: its gap is what the sets differ in difficulty."
    if {"vsml", "meta_rnn"} <= set(methods):
        largest, ahead = (max(methods, key=lambda method: values[method][what]) for what in ("gap", "unseen"))
        holds = "holds" if (largest, ahead) == ("meta_rnn", "vsml") else "does not hold"
        words += (
            f" The largest gap is that of {called(largest)}, the best on other sets is {called(ahead)}: the "
            f"paper\u2019s claim, that the meta RNN over-fits most and VSML generalises best, {holds} here."
        )
    return words


def verdict_association(found: Results, task: str) -> str:
    """One sentence on the paper's claim of fast association, both ways: by what is tied to the image itself."""
    clauses = []
    for rival in RIVALS:
        leads = {age: found[Key(task, RULE, f"gain_own_less_{rival}", age)] for age in _ages(found, task)}
        parts = []
        for side in SIDES:
            if whens := [association.when(age) for age, lead in leads.items() if _side(lead) == side]:
                parts.append(f"{side} {' and '.join(filter(None, (', '.join(whens[:-1]), whens[-1])))}")
        clauses.append(f"that of {LOOKS[rival].words} it is {', '.join(parts)}")
    return (
        "What one exposure adds to the right class of that image, less what it adds there to images of other "
        f"classes, is VSML\u2019s fast association. Against {'; against '.join(clauses)}."
    )


def details_of_association(found: Results, task: str) -> Iterator[str]:
    """The numbers behind the verdict, two sentences for each age."""
    for age in _ages(found, task):
        clauses = []
        for what in ("gain_same", "gain_own"):
            gains = [f"{plus_minus(found[Key(task, name, what, age)])} ({called(name)})" for name in (RULE, *RIVALS)]
            leads = []
            for rival in RIVALS:
                lead = found[Key(task, RULE, f"{what}_less_{rival}", age)]
                side, far = _side(lead), f"by {abs(lead['value']):.2f}"
                if lead["sd"]:  # over episodes, of the difference in the very same one
                    far += f", {abs(lead['value']) / lead['sd']:.1f} sd"
                than = "from" if side == SIDES[2] else "than"
                leads.append(f"{side} {than} that of {LOOKS[rival].words} ({far})")
            clauses.append(f"{', '.join(gains)}; VSML\u2019s is {' and '.join(leads)}")
        yield (
            f"{association.when(age).capitalize()}, one exposure adds to the probability of the right class of that "
            f"image {clauses[0]}. Less what it adds to images of other classes: {clauses[1]}."
        )


def _ages(found: Results, task: str, learner: str = RULE) -> list[int]:
    """How many examples a learner had seen before it was looked at."""
    return [key.at for key in found if key[:3] == (task, learner, "gain_own") and key.at is not None]


def _side(lead: Entry) -> str:
    """Not clearly different: within so many standard errors, or of one episode.

    Seeds share the episodes of the baselines, so an episode counts once, whatever the number of seeds.
    """
    clear = lead["episodes"] > 1 and abs(lead["value"]) > CLEAR * lead["sd"] / lead["episodes"] ** 0.5
    return SIDES[2] if not clear else SIDES[0] if lead["value"] > 0 else SIDES[1]


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
    """The verdict on fast association, and the rows of its tables; `gaps` is that of the section `introspect`."""
    task, learners = profile.introspected, (*items.introspect, *association.BASELINES)
    gains = ("gain_same", "gain_other", "gain_stranger", "gain_own", "told_apart", f"gain_same_after_{gaps}")
    exposures = [
        (
            [called(name), str(age)],
            [Key(task, name, one, age) for one in (*gains, "wrong_gained_same", "wrong_lost_same")],
        )
        for age in sorted({age for name in learners for age in _ages(found, task, name)})
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
        "verdict": verdict_association(found, task) if RULE in items.introspect else None,
        "details": list(details_of_association(found, task)),
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
