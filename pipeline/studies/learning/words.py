"""What the report's page and the README say of VSML and its rivals: verdicts in words, and tables."""

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup

from pipeline.run import paths
from pipeline.run.artifacts import read_rule
from pipeline.show.display import Cell, Table
from pipeline.show.looks import LOOKS, called, growing
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
GAINS = {
    "gain_same": "Same image",
    "gain_other": "Another image of the class",
    "gain_stranger": "Images of other classes",
    "gain_own": "Same less other classes",
    "told_apart": "Told from other classes",
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
    at_rates = verdict(results, ranking.AT_PAPER_RATES)
    hidden = any(key.learner.endswith(f"_hidden{PAPER}") for key in results)
    depths = "linear or with a hidden layer" if hidden else "linear"
    head = f"At the paper\u2019s fixed rates ({rates}; {depths}): " if at_rates else ""
    every = [verdict(results), head + at_rates]
    if simple := verdict(results, ranking.SIMPLE):
        every.append(f"Beside simple learners of constant memory: {simple}")
    every += [verdict_robust(results), verdict_varying(results)]
    return [words for words in every if words]


def verdict(results: Results, members_of: Mapping[str, tuple[str, ...]] = ranking.FAMILIES) -> str:
    """One plain sentence for each moment that any episode reaches: on which sets a rival of VSML wins."""
    sentences = []
    known = {key.learner for key in results}
    who = " or ".join(family for family, names in members_of.items() if family != "VSML" and known & {*names})
    for moment in ranking.moments(results):
        every = {task: ranking.best(results, task, moment, members_of) for task in ranking.tasks(results)}
        sets = {task: found for task, found in every.items() if len(found) > 1}
        lost = []
        for task, found in sets.items():
            ahead = ranking.winners(found)[0]  # of equals the first, which is VSML if it is one of them
            if ahead != "VSML":
                best, own = found[ahead]["value"], found["VSML"]["value"]
                lost.append(f"{title(task)} ({ahead} {best:.3f}, VSML {own:.3f})")
        if sets:
            number, which = (len(lost), f": {', '.join(lost)}") if lost else ("none", "")
            sentences.append(f"{when(moment).capitalize()}, {who} wins on {number} of {len(sets)} sets{which}.")
    return " ".join(sentences)


def verdict_robust(results: Results) -> str:
    """For each set, on how many changed tasks the rule does as on the unchanged one; then the paper's claim."""
    found = {key.subject: entry for key, entry in results.items() if key.metric == "difference"}
    experiment = next((key.learner for key in results if key.metric == "difference"), ROBUST)
    sentences = []
    for base, of_setting in settings(key.subject for key in results).items():
        reference = accuracy(results, of_setting["unchanged"], experiment, None)
        entries = {SETTINGS[key]: found[task] for key, task in of_setting.items() if task in found}
        if reference is None or not entries:
            continue
        far = [f"{name} ({signed(entry['value'], 3)})" for name, entry in entries.items() if not entry["within"]]
        sentences.append(
            f"{title(base)}: within {TOLERANCE} of the reference ({reference['value']:.3f}) on "
            f"{len(entries) - len(far)} of {len(entries)} settings" + (f"; not on {', '.join(far)}." if far else ".")
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
    parts = [
        f"{called(learner)} {value['seen']:.2f} and {value['unseen']:.2f} (gap {signed(value['gap'])})"
        for learner, value in values.items()
    ]
    head = "Mean cumulative accuracy at the end of the episode, on sets of meta-training and on others:"
    words = [f"{head} {', '.join(parts)}."]
    if UNTRAINED in values:
        words.append("SGD is meta-trained on nothing: its gap is what the sets differ in difficulty.")
    if {"vsml", "meta_rnn"} <= set(methods):
        largest, ahead = (max(methods, key=lambda method: values[method][what]) for what in ("gap", "unseen"))
        holds = "holds" if (largest, ahead) == ("meta_rnn", "vsml") else "does not hold"
        words.append(
            f"The largest gap is that of {called(largest)}, the best on other sets is {called(ahead)}: the "
            f"paper\u2019s claim, that the meta RNN over-fits most and VSML generalises best, {holds} here."
        )
    return " ".join(words)


def verdict_association(found: Results, task: str) -> str:
    """One sentence on the paper's claim of fast association, both ways: by what is tied to the image itself."""
    clauses = []
    for rival in RIVALS:
        whens: dict[str, list[str]] = {side: [] for side in SIDES}
        for age in _ages(found, task):
            lead = found[Key(task, RULE, f"gain_own_less_{rival}", age)]
            whens[_side(lead)].append(association.when(age))
        parts = [f"{side} {_listed(own)}" for side, own in whens.items() if own]
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


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def main_tables(found: Results, tables: Tables, profile: Profile, items: Items) -> list[Table]:
    """The tables of the section `Tables`: those that have rows."""
    methods = measures.by_method(profile.trained_on)
    mixed = [name for of_mix in methods.values() for name in of_mix.values()]

    # A table for each moment: a row for each task whose episodes are long enough, a column for each learner. The
    # experiments of figures 7 and 8 have tables of their own.
    made = []
    names = ranking.tasks(found)
    own = [name for name in items.experiments if name == RULE or name not in (*mixed, ROBUST)]
    learners = [
        name
        for name in (*own, *items.baselines, *at_paper_rates(tables))
        if any(accuracy(found, task, name, None) for task in names)
    ]
    for moment in ranking.moments(found):
        rows = []
        for task in names:
            entries = [accuracy(found, task, learner, moment) for learner in learners]
            if not any(entries):
                continue
            best = max(
                entry["value"]
                for learner, entry in zip(learners, entries, strict=True)
                if entry and not (learner in LOOKS and LOOKS[learner].grows)
            )
            length = f"{moment or ranking.length(found, task):,}"
            guess = f"{measures.guessing(tables, profile.tasks[task]):.2f}"
            row = [Cell(title(task), ranking.kinship(found, task)), length, guess]
            for learner, entry in zip(learners, entries, strict=True):
                cell = Cell(plus_minus(entry))
                if entry:
                    dial = LOOKS[learner].dial if learner in LOOKS else "rate"
                    rate = f"{dial} {entry['rate']:g}, " if "rate" in entry else ""
                    cell = cell._replace(note=f"{rate}n = {entry['n']}", mark="best" if entry["value"] == best else "")
                row.append(cell)
            rows.append(row)
        words = f"Cumulative accuracy {when(moment)}"
        heads = ["Data set", "Examples", "Guessing", *map(called, learners)]
        made.append(Table(heads, rows, words, words, growing(learners)))

    # Figure 7: a row for each set and setting.
    robust, early, rows = measures.robust(tables), ranking.early(found), []
    for base, of_setting in measures.changed_tasks(tables).items():
        for setting, task in of_setting.items():
            first, end = (accuracy(found, task, robust, moment) for moment in (early, None))
            less, within = "reference", ""
            if difference := found.get(Key(task, robust, "difference")):
                less, within = signed(difference["value"], 3), "yes" if difference["within"] else "no"
            last = Cell(plus_minus(end), f"n = {end['n']}" if end else "")
            rows.append([title(base), SETTINGS[setting], plus_minus(first), last, less, within])
    at = [f"Accuracy {when(early)}", "Accuracy at the end of the episode"]
    caption = "Robustness: tasks changed in ways that meta-training never used"
    made.append(Table(("Data set", "Task", *at, "Less the reference", "Within 0.05"), rows, "Robustness", caption))

    # Figure 8: a row for each experiment, a column for each task; then the means over seen and unseen sets.
    columns, rows = in_order((task for name in mixed for task in ranking.tasks(found, name)), ()), []
    for method, of_mix in methods.items():
        for mix, name in of_mix.items():
            entries = [accuracy(found, task, name, None) for task in columns]
            cells = [Cell(plus_minus(entry), mark="seen" if entry and entry["seen"] else "") for entry in entries]
            rows.append([called(method), ranking.mix_title(mix), *cells])
    caption = Markup(
        'Varying data sets: cumulative accuracy at the end of the episode; <span class="seen">tinted</span>: other '
        "examples of a set of meta-training"
    )
    made.append(Table(("Method", "Meta-trained on", *map(title, columns)), rows, "Varying data sets", caption))
    rows = []
    for learner in (*methods, UNTRAINED):
        seen, unseen, gap = (found.get(Key(VARYING, learner, what)) for what in measures.MEANS)
        if gap is not None:
            rows.append([called(learner), plus_minus(seen), plus_minus(unseen), signed(gap["value"])])
    caption = "The same, mean over all mixes and data sets; \u00b1 standard deviation over meta-seeds"
    note = (
        "SGD is meta-trained on nothing: its gap is what the data sets differ in difficulty. What a method\u2019s gap "
        "exceeds it by is over-fitting to the sets of meta-training."
    )
    heads = ("Method", "Sets of meta-training", "Other sets", "Gap")
    made.append(Table(heads, rows, "Seen and unseen sets", caption, note))

    shown = []
    for key in found:
        if key.metric == "one_shot":
            guess = f"{measures.guessing(tables, profile.tasks[key.subject]):.2f}"
            shown.append(([title(key.subject), called(key.learner), guess], [key]))
    heads = ("Task", "Learner", "Guessing", "Accuracy", "n")
    made.append(Table(heads, _rows(found, shown), "One shot", "One example of each class, then one question"))

    # Figure 9: a row for each learner and kind of exposure.
    shown = []
    for learner in (*items.introspect, *association.BASELINES):
        for kind, words in EXPOSURES.items():
            metrics = (f"{kind}_probability", f"{kind}_accuracy")
            shown.append(([called(learner), words], [Key(profile.introspected, learner, one) for one in metrics]))
    caption = (
        f"Fast association on unseen images of {title(profile.introspected)}: two images of each class, "
        "each shown twice in a row"
    )
    heads = ("Learner", "Exposure", "Probability of the right class", "Accuracy", "n")
    made.append(Table(heads, _rows(found, shown), "Association", caption))
    return [table for table in made if table.rows]


def _rows(found: Results, shown: list[tuple[list[str], list[Key]]]) -> list[list[str]]:
    """After the heads of a row its results, and over how many episodes they are. Rows without results are left out."""
    return [
        [*heads, *(plus_minus(found[key]) for key in keys), str(found[keys[0]]["n"])]
        for heads, keys in shown
        if keys[0] in found
    ]


def introspected(found: Results, profile: Profile, items: Items, gaps: int, length: int) -> dict[str, Any]:
    """The verdict on fast association, and its tables; gaps and length are those of the section `introspect`."""
    task, learners = profile.introspected, (*items.introspect, *association.BASELINES)
    of_exposure = (*GAINS, f"gain_same_after_{gaps}", "wrong_gained_same", "wrong_lost_same")
    exposures = [
        ([called(learner), str(age)], [Key(task, learner, metric, age) for metric in of_exposure])
        for age in sorted({age for learner in learners for age in _ages(found, task, learner)})
        for learner in learners
    ]
    cosines, channels = [], []
    for learner in learners:
        parts = [found.get(Key(task, learner, part)) for part in association.COSINES]
        if parts[0] is not None:
            clear, n = f"{100 * parts[0]['clear']:.0f} %", str(parts[0]["n"])
            cosines.append([called(learner), *map(plus_minus, parts), clear, n])
    for name in items.introspect:
        for group, words in GROUPS.items():
            metrics = ("intact_accuracy", f"lost_{group}_initial", f"lost_{group}_mean")
            channels.append(([words], [Key(task, name, metric) for metric in metrics]))
    later = (f"Same, {gaps} examples later", "Wrong class, once shown", "Right class, by a wrong label")
    quarters = ("Whole episode", "First quarter", "Last quarter")
    resets = ("Lost, reset to the initial state", "Lost, reset to the mean of the cells")
    tables = (
        Table(
            ("Learner", "Examples seen before", *GAINS.values(), *later, "n"),
            _rows(found, exposures),
            "One exposure",
            f"One exposure on unseen images of {title(task)}: what it adds to the probability of the right "
            "class, and what one wrong label does to the image\u2019s; told from other classes: share of episodes in "
            "which a wrong label, shown once, is then more probable for the image than for others (chance: 0.5)",
        ),
        Table(
            ("Learner", *quarters, "Steps large enough to have a direction", "n"),
            cosines,
            "Cosine with gradient steps",
            "Cosine between what a step changes in the logits of other images and what a gradient step of a linear "
            f"model with the same predictions would; episodes of {length} examples",
        ),
        Table(
            ("Channels", "Accuracy before", *resets, "n"),
            _rows(found, channels),
            "Channels of the state",
            "Where VSML\u2019s states store it: accuracy lost when channels of all cells are reset after "
            f"{length} examples",
        ),
    )
    return {
        "verdict": verdict_association(found, task) if RULE in items.introspect else None,
        "details": list(details_of_association(found, task)),
        "tables": [table for table in tables if table.rows],
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
    heads = ("Experiment", "Seed", "Meta-steps", "Skipped (non-finite)", "Numbers learned", "Final meta loss (nats)")
    return {"table": Table(heads, rows, "Meta-training", "Meta-training"), "rules": rules}


def size(theta: dict[str, Any]) -> int:
    """How many numbers there are in a rule."""
    return sum(size(part) if isinstance(part, dict) else part.size for part in theta.values())


def shipped(found: Results, profile: Profile) -> Table:
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
    heads = ("Learner", "Task", *(f"After {moment:,}" for moment in profile.horizons), "At the end", "Examples")
    caption = (
        "Cumulative accuracy of the shipped rules after so many examples, and of SGD and Adam with random features, "
        "mean \u00b1 standard deviation over episodes"
    )
    return Table(heads, rows, "Rules that ship", caption)
