"""What stands in the blocks of the pages, as Markdown; readme.py puts it there. It is made from docs/ alone.

blocks.md has the words of each block, and a function here the numbers that they are filled in with.

Spreads: over meta-seeds where a table says so, else over episodes.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

from pipeline.show.display import Cell, Table
from pipeline.show.looks import LOOKS, called
from pipeline.show.measures import Entry, Key, Results, parsed
from pipeline.studies.cards import markdown
from pipeline.studies.claims import MARKS, counts
from pipeline.studies.cloning.measures import words as words_of_network
from pipeline.studies.feedback.measures import LEARNERS, ON, SHUFFLED
from pipeline.studies.learning import ranking
from pipeline.studies.learning.measures import FEATURES, MEANS, METHODS, UNTRAINED, VARYING
from pipeline.studies.learning.ranking import plus_minus, signed, title
from pipeline.studies.learning.tables import RULE, SETTINGS, settings
from pipeline.studies.recall.measures import FIXED, INVERSE
from pipeline.studies.recall.measures import LEARNERS as RECALLING
from pipeline.studies.unification.measures import PAIRS

NBSP = "\u00a0"
Judged = dict[str, Any]  # what the claims.json of a profile holds


AGAINST, FOR = ("not reproduced", "contrary"), ("reproduced", "consistent")  # what verdicts say of a claim
# How the names of the tables begin that a study's claims are judged by, and which profiles are evidence for it; "" is
# the default one. All others run it as small as the smoke profile does, which is evidence of nothing.
STUDIES = {
    "learning": (r"meta_test|introspect", ("", "mnist")),
    "cloning": ("clone_test", ("",)),
    "unification": ("unify", ("",)),
    "feedback": ("feedback_test", ("", "siblings")),
    "recall": ("recall_test", ("", "siblings")),
}
PROFILES = tuple(dict.fromkeys(profile for _, profiles in STUDIES.values() for profile in profiles))


def evidence(study: str, judged: Iterable[Judged]) -> Iterator[tuple[dict[str, Any], list[tuple[str, str]]]]:
    """Each claim of a study as the default profile states it, and what the profiles say that are evidence and ran it.

    That is a verdict; and in words, with the profile and the meta-seeds and episodes of the effect that has the fewest.
    The best evidence comes first: of a profile in which all of its tests ran, then of most meta-seeds and episodes.
    If none ran it, the default one says "not run". `judged` is what each of PROFILES holds.
    """
    table, profiles = STUDIES[study]
    every = {
        profile: {claim["id"]: claim for claim in of_profile["claims"]}
        for profile, of_profile in zip(PROFILES, judged, strict=True)
    }
    for name, claim in every[""].items():
        if not re.match(table, claim["tables"][0]):
            continue
        found = [(False, (0, 0), claim["verdict"], "")]
        for profile in profiles:
            one = every[profile].get(name, {"effects": []})
            if one["effects"]:
                size = min((effect["seeds"], effect["episodes"]) for effect in one["effects"])
                words = f" ({f'`{profile}`' if profile else 'default'}, {size[0]} \u00d7 {size[1]}"
                found.append((not one["because"], size, one["verdict"], f"{words})"))
        ran = sorted(found[1:], key=lambda one: one[:2], reverse=True) or found
        yield claim, [(verdict, f"{MARKS[verdict]} {verdict}".replace(" ", NBSP) + words) for *_, verdict, words in ran]


def studies(*judged: Judged) -> dict[str, Any]:
    """The overview: how many claims of each study have which verdict, and those with evidence against them."""
    tallies, against = {}, []
    for study in STUDIES:
        best = [(claim, said[0]) for claim, said in evidence(study, judged)]
        tally = counts([{"verdict": verdict} for _, (verdict, _) in best])
        tallies[study] = f"{len(best)} | " + ", ".join(
            f"{count} {verdict}" for verdict, count in tally.items() if count
        )
        against += [f"- {claim['says']} {words}" for claim, (verdict, words) in best if verdict in AGAINST]
    return {"tallies": tallies, "against": against}


def claims(names: Iterable[str], *judged: Judged) -> dict[str, Any]:
    """The claims of some studies: the verdict by the best evidence, and by others."""
    rows = []
    for claim, said in (one for name in names for one in evidence(name, judged)):
        (_, best), *others = said
        disagree = all(any(verdict in side for verdict, _ in said) for side in (FOR, AGAINST))
        of_others = Cell(", ".join(words for _, words in others), mark="best" if disagree else "")
        rows.append([claim["says"], claim["where"], claim["sure"], best, of_others])
    return {"rows": rows}


def accuracies(results: Results) -> dict[str, Any]:
    """VSML beside its rivals, a row for each set and moment."""
    constant = {f"best {name}" if name in ranking.PAPERS else name: names for name, names in ranking.CONSTANT.items()}
    growing = {name: names for name, names in ranking.EVERY.items() if name not in ranking.CONSTANT}
    families = constant | {f"{name} (keeps every example)": names for name, names in growing.items()}
    families |= {f"{name}, paper\u2019s rate": ranking.AT_PAPER_RATES[name] for name in ranking.PAPERS}
    families, rows = _known(results, families), []
    for task, _, (head, *cells) in _ranked(results, families, constant):
        rows.append([head and f"{head} ({ranking.kinship(results, task)})", *cells])
    ends = ranking.best(results, ranking.tasks(results)[0], None)
    return {
        "table": Table(("Data set", "examples", *families), rows).markdown(),
        "n": ", ".join(f"{entry['n']} for {family}" for family, entry in ends.items()),
    }


def features(results: Results) -> dict[str, Any]:
    """The shipped rules with and without random features, beside SGD and Adam: a row for each set and moment.

    In brackets, by how much a rule is ahead of SGD and Adam without random features, ± the standard error.
    """
    families: dict[str, tuple[str, ...]] = {}
    for widened in sorted({key.learner for key in results if re.fullmatch(rf"zoo_.*{FEATURES}", key.learner)}):
        alone = widened.removesuffix(FEATURES)
        rule = f"rule `{alone.removeprefix('zoo_')}`"
        families |= {rule: (alone,), f"{rule}, random features": (widened,)}
    families["SGD or Adam"] = ranking.FAMILIES["SGD"] + ranking.FAMILIES["Adam"]
    families["SGD or Adam, random features"] = ("sgd" + FEATURES, "adam" + FEATURES)
    families |= _known(results, {"nearest mean, ridge or naive Bayes": ranking.rivals(ranking.SIMPLE)})
    rows = []
    for task, examples, cells in _ranked(results, families, families, 3):
        for column, (first, *_) in enumerate(families.values(), start=2):
            lead = results.get(Key(task, first, "lead", examples))
            if lead is not None and lead["sd"] is not None:  # one episode has no standard error
                after = f" ({signed(lead['value'], 3)} ± {lead['sd'] / lead['n'] ** 0.5:.3f})"
                cells[column] = cells[column]._replace(after=after)
        rows.append(cells)
    return {"table": Table(("Data set", "examples", *families), rows).markdown()}


def _known(results: Results, families: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Those of whom any member has results."""
    learners = {key.learner for key in results if key.metric == "cumulative"}
    return {family: names for family, names in families.items() if learners & {*names}}


def _ranked(
    results: Results, families: dict[str, tuple[str, ...]], rivals: Collection[str], digits: int = 2
) -> Iterator[tuple[str, int, list[Any]]]:
    """Of each data set and moment: the set, examples, and a row with a cell for each family.

    The highest of `rivals` is bold; only the first row of a set has its title.
    """
    for task in ranking.tasks(results):
        head = title(task)
        for moment in ranking.moments(results):
            if found := ranking.best(results, task, moment, families):  # otherwise episodes are shorter
                ahead = ranking.winners({family: found[family] for family in found if family in rivals})
                cells = [
                    Cell(plus_minus(found.get(family), "sd", digits, "-"), mark="best" if family in ahead else "")
                    for family in families
                ]
                examples = moment or ranking.length(results, task)
                yield task, examples, [head, f"{examples:,}", *cells]
                head = None


def agreement(results: Results) -> dict[str, Any]:
    """How often the rule answers as each rival does, on the first set of the tests: a row for each rival."""
    task, rows = ranking.tasks(results)[0], []
    ends = [moment or ranking.length(results, task) for moment in ranking.moments(results)]
    for look in LOOKS.values():
        metrics = (f"same_as_{look.key}", f"same_wrong_as_{look.key}")
        entries = [results.get(Key(task, RULE, metric, end)) for metric in metrics for end in ends]
        if entries[len(ends) - 1]:
            rows.append([look.words, *_cells(entries)])
    heads = [f"{what}, {end:,}" for what in ("equal", "equal where both are wrong") for end in ends]
    n = results[Key(task, RULE, "same_as_nearest_mean", ends[-1])]["n"]
    return {"table": Table(("VSML and", *heads), rows).markdown(), "task": title(task), "n": n}


def generality(results: Results) -> dict[str, Any]:
    """The other meta-learned methods on sets seen and not seen, and the rule on changed tasks (figures 8 and 7)."""
    methods = [
        [called(name), *_cells(results.get(Key(VARYING, name, what)) for what in MEANS)]
        for name in (*METHODS, UNTRAINED)
        if Key(VARYING, name, "gap") in results
    ]
    changed = []
    for base, of_setting in settings(key.subject for key in results).items():
        ends = {name: ranking.accuracy(results, task, RULE, None) for name, task in of_setting.items()}
        changed.append([title(base), *_cells(map(ends.get, SETTINGS))])
    return {
        "methods": Table(("Meta-learned", "on the set of meta-training", "on other sets", "gap"), methods).markdown(),
        "changed": Table(("Data set", *SETTINGS.values()), changed).markdown(),
    }


def association(results: Results) -> dict[str, Any]:
    """What one exposure to an image is worth, to the learned rule and to SGD and Adam."""
    whats = {"gain_own": "gain", "told_apart": "told apart"}
    gains = sorted(key for key in results if key.learner == RULE and key.metric in whats)  # by what and age
    right = gains[0]._replace(metric="second_exposure_accuracy", at=None)
    rows = []
    for look in LOOKS.values():
        keys = [key._replace(learner=look.key) for key in (right, *gains, right._replace(metric="cosine"))]
        if keys[0] in results:
            rows.append([look.words if look.family else look.name, *_cells(map(results.get, keys))])
    ages = [f"{whats[key.metric]} after {key.at} examples" for key in gains]
    heads = ("Learner", "right at the second exposure", *ages, "cosine with a gradient step")
    return {"table": Table(heads, rows).markdown(), "set": title(right.subject)}


def cloning(results: Results) -> dict[str, Any]:
    """The clone beside SGD, by how much its updates miss, and what further meta-training makes of it."""
    tasks = sorted(key.learner for key in results if key.subject == "cloning" and key.metric == "clone")

    def missed(task: str, term: str) -> str:
        layers = [Key("cloning", task, f"layer_{layer}_{term}") for layer in range(1, task.count("-"))]
        return ", ".join(f"{results[layer]['value']:.0%}" for layer in layers)

    return {"tasks": {task: words_of_network(task) for task in tasks}, "missed": missed}


def unification(results: Results) -> dict[str, Any]:
    """How nearly each algorithm and its instance of VSML are the same."""

    def share(name: str, metric: str) -> str:
        deviation, learning = (results[Key("unification", name, one)]["value"] for one in (metric, "learning"))
        return f"{deviation / learning:.0e}"

    return {"pairs": PAIRS, "share": share}


def feedback(results: Results) -> dict[str, Any]:
    """A table for each task: what is known at the end, what was forgotten, and where updates point."""
    found = [key for key in results if key.subject == "feedback"]
    names, tasks = {key.learner for key in found}, []
    for task in sorted({name.partition(ON)[2].removesuffix(SHUFFLED) for name in names}):
        metrics = {key.metric for key in found if key.learner.partition(ON)[2] == task}
        metric, rows = "mse" if "mse" in metrics else "accuracy", []
        for look in LEARNERS.values():
            own = Key("feedback", f"{look.key}{ON}{task}", metric)
            if own.learner in names:
                keys = (own, own._replace(learner=own.learner + SHUFFLED), own._replace(metric="forgetting"))
                layers = sorted(key for key in found if key[:2] == own[:2] and key.metric.startswith("cosine_layer_"))
                hidden = [results[key]["value"] for key in layers[:-1]]
                ends = (min(hidden), max(hidden)) if len(hidden) > 1 else hidden
                cosines = " to ".join(plus_minus({"value": cosine}) for cosine in ends)
                rows.append([look.words, *_cells(map(results.get, keys), "sd_seeds", 3), cosines])
        measure = "mean squared error" if metric == "mse" else "accuracy"
        tasks.append({"title": title(task), "measure": measure, "rows": rows})
    return {"tasks": tasks, "seeds": max(results[Key("feedback", name, "cosine_layer_1")]["n"] for name in names)}


def recall(results: Results) -> dict[str, Any]:
    """What the rules recall, what disturbs them, and what they remember of images; a column for each horizon D."""
    horizons = sorted({key.at for key in results if key[:3] == ("recall", "direct", "last") and key.at is not None})

    def table(what: str, rows: Iterable[tuple[Any, ...]]) -> str:
        """A row for each name, experiment, metric and age, if one is given, that has results."""
        filled = []
        for name, experiment, metric, *age in rows:
            where = [[*age, horizon] for horizon in horizons]
            entries = [results.get(Key("recall", experiment, metric, *numbers)) for numbers in where]
            if any(entries):
                filled.append([name, *_cells(entries, "sd_seeds", 3)])
        return Table((what, *(f"D = {horizon}" for horizon in horizons)), filled).markdown()

    rules = [*(RECALLING | FIXED).values(), INVERSE._replace(longer=INVERSE.name.capitalize())]
    return {"table": table, "rules": [(look.words, look.key, "last") for look in rules], "learned": RECALLING.values()}


def _cells(entries: Iterable[Entry | None], spread: str = "sd", digits: int = 2) -> list[str]:
    return [plus_minus(entry, spread, digits, "") for entry in entries]


class Block(NamedTuple):
    """What a block is made from: docs/SOURCE.json of these profiles or, of none, of that which its marker names."""

    source: str
    profiles: tuple[str, ...]
    numbers: Callable[..., dict[str, Any]]  # of what these files hold


BLOCKS = {"studies": Block("claims", PROFILES, studies), "claims": Block("claims", PROFILES, partial(claims, STUDIES))}
BLOCKS |= {f"claims/{name}": Block("claims", PROFILES, partial(claims, [name])) for name in STUDIES}
BLOCKS |= {"results": Block("results", (), accuracies), "speeds": Block("bench", (), dict)}
OF_RESULTS = (features, agreement, generality, association, cloning, unification, feedback, recall)
BLOCKS |= {block.__name__: Block("results", (), block) for block in OF_RESULTS}


def text(name: str, *held: Any) -> str:
    """What stands in the block of this name, by what its files hold."""
    source, _, numbers = BLOCKS[name]
    held = tuple(map(parsed, held)) if source == "results" else held
    values = {"block": name.partition("/")[0], "results": held[0], **numbers(*held)}

    def cell(subject: str, learner: str, metric: str, digits: int = 2) -> str:
        return plus_minus(held[0].get(Key(subject, learner, metric)), "sd", digits, "")

    return markdown("blocks.md", **values, cell=cell).rstrip("\n")
