"""The tables of the studies' pages, as Markdown. Each is made from docs/*.json alone; pipeline/readme.py puts it there.

Results are read through `_entry` and `_names` only. Spreads: over meta-seeds where a table says so, else over episodes.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pipeline import recall as recalling
from pipeline.claims import MARKS, counts
from pipeline.comparison import NAMES, plus_minus, title
from pipeline.feedback import METHODS, SHUFFLED
from pipeline.results import Results
from pipeline.unification import CONTROLS
from pipeline.unification import METHODS as UNIFIED

Judged = list[dict[str, Any]]  # the claims of a profile, as claims.json has them


class Study(NamedTuple):
    """A study: what it asks, of which paper, and which profiles are evidence for it.

    All other profiles run it as small as the smoke profile does, which is evidence of nothing. "" is the default one.
    """

    paper: str
    question: str
    table: str  # how the names of the tables begin that its claims are judged by
    profiles: tuple[str, ...]


VSML = "VSML, arXiv 2012.14905"
STUDIES = {
    "learning": Study(
        VSML,
        "Can one rule, shared by all connections, learn new data sets by running forward only?",
        r"meta_test|introspect",
        ("", "mnist"),
    ),
    "cloning": Study(VSML, "Can the same rule be trained to be backpropagation?", "clone_test", ("", "clones")),
    "unification": Study(VSML, "Are other learning algorithms special cases of VSML?", "unify", ("",)),
    "feedback": Study(
        "Feedback and local plasticity, arXiv 2006.09549",
        "Can learned feedback and local plasticity replace gradients?",
        "feedback_test",
        ("", "siblings"),
    ),
    "recall": Study(
        "Learning to remember, arXiv 2003.03124",
        "Can shared local rules learn to remember? A reconstruction from the abstract.",
        "recall_test",
        ("", "siblings"),
    ),
}


def studies(judged: Mapping[str, Judged]) -> str:
    """The overview: a row for each study, with how many of its claims have which verdict. Links are from README.md."""
    lines = _head("Study", "Paper", "Question", "Claims", "Default profile", "Larger profile", words=5)
    for name, study in STUDIES.items():
        own = [_words_of_counts(_claims_of(judged[profile], name)) for profile in study.profiles]
        larger = f"`{study.profiles[1]}`: {own[1]}" if len(own) > 1 else ""
        count = len(_claims_of(judged[""], name))
        link = f"[{name}](pipeline/studies/{name}/README.md)"
        lines.append(_row(link, study.paper, study.question, count, own[0], larger))
    return "\n".join(lines)


def claims(judged: Mapping[str, Judged], name: str) -> str:
    """The claims of a study, with the verdict of each profile that is evidence for it."""
    profiles = STUDIES[name].profiles
    heads = [f"`{profile}`" if profile else "default" for profile in profiles]
    lines = _head("Claim", "where", "how surely known", *heads, words=2 + len(heads))
    verdicts = {profile: {claim["id"]: claim["verdict"] for claim in judged[profile]} for profile in profiles}
    for claim in _claims_of(judged[""], name):
        cells = [_marked(verdicts[profile].get(claim["id"], "not run")) for profile in profiles]
        lines.append(_row(claim["says"], claim["where"], claim["sure"], *cells))
    return "\n".join(lines)


def association(results: Results) -> str:
    """What one exposure to an image is worth, to the learned rule and to SGD and Adam."""
    (task,) = {name.split("/")[0] for name in _names(results, r".+/vsml/gain_own@\d+")}
    ages = sorted({int(name.partition("@")[2]) for name in _names(results, rf"{task}/vsml/gain_own@\d+")})
    heads = [f"gain after {age} examples" for age in ages]
    lines = _head("Learner", "right at the second exposure", *heads, "cosine with a gradient step")
    for learner in [name for name in NAMES if _entry(results, task, name, "second_sighting_accuracy")]:
        cells = [_entry(results, task, learner, f"gain_own@{age}") for age in ages]
        cells = [_entry(results, task, learner, "second_sighting_accuracy"), *cells]
        shown = [*(_cell(cell) for cell in cells), _cell(_entry(results, task, learner, "cosine"))]
        best = {"sgd": " at its best rate", "adam": " at its best rate"}.get(learner, "")
        lines.append(_row(f"{NAMES[learner]}{best}", *shown))
    words = (
        f"Images of {title(task)}, mean ± standard deviation over episodes of all meta-seeds. Gain: by how much one "
        "exposure raises the probability of the right class for the same image, less the rise of that same class for "
        "images of other classes; after so many examples of the episode."
    )
    return "\n\n".join(["\n".join(lines), words])


def cloning(results: Results) -> str:
    """The clone beside SGD, by how much its updates miss, and what further meta-training makes of it."""
    tasks = sorted({name.split("/")[1] for name in _names(results, r"cloning/.+/clone")})
    one = _head("Data set, network", "clone", "SGD", "same answer", "missed: weights", "missed: error passed down")
    two = _head("Data set, network", "clone, early", "SGD, early", "improved, early", "clone, end", "improved, end")
    early = ("clone_early", "sgd_early", "improved_early")
    for task in tasks:
        name, _, sizes = task.partition("-")
        label, layers = f"{title(name)}, {sizes}", range(1, sizes.count("-") + 1)
        missed = [
            [_entry(results, "cloning", task, f"layer_{layer}_{term}") for layer in layers]
            for term in ("learned_weight", "below")
        ]
        shares = (", ".join(f"{entry['value']:.0%}" for entry in entries) for entries in missed)
        learned = (_entry(results, "cloning", task, metric) for metric in ("clone", "sgd", "agreement"))
        one.append(_row(label, *(_cell(entry, digits=3) for entry in learned), *shares))
        improved = (_entry(results, "cloning", task, metric) for metric in (*early, "clone", "improved"))
        two.append(_row(label, *map(_cell, improved)))
    episodes = _entry(results, "cloning", tasks[0], "clone")["n"]
    words = (
        f"Accuracy on unseen images after each of {episodes} episodes, mean ± standard deviation over episodes of all "
        "clones. Same answer: share of unseen images that clone and SGD, from equal initial weights, classify alike. "
        "Missed: norm of the difference to backpropagation's update over the norm of that update, at the end of the "
        "episodes, by layer from the input."
    )
    more = (
        "Clone, then improve: accuracy while learning, after the first 100 examples (early), and on unseen images at "
        "the end of the episodes."
    )
    return "\n\n".join(["\n".join(one), words, "\n".join(two), more])


def unification(results: Results) -> str:
    """How nearly each algorithm and its instance of VSML are the same."""
    lines = _head("Algorithm", "instance deviates by", "a near relative deviates by", "the near relative")
    for pair in UNIFIED:
        moved = _entry(results, "unification", pair, "learning")["value"]
        both = [_entry(results, "unification", pair, f"{of}_deviation")["value"] for of in ("prediction", "control")]
        lines.append(_row(UNIFIED[pair], *(f"{value / moved:.0e}" for value in both), CONTROLS[pair]))
    n = _entry(results, "unification", "sgd", "learning")["n"]
    words = (
        f"Largest deviation of any prediction over {n} episodes, in float32, over how far learning has moved the "
        "predictions. The near relative is the control: a variant that must be told apart."
    )
    return "\n\n".join(["\n".join(lines), words])


def feedback(results: Results) -> str:
    """A table for each task: what is known at the end, what was forgotten, and where updates point."""
    found = {name.split("/")[1] for name in _names(results, r"feedback/.+/newborn")}
    tasks = sorted({name.partition("_on_")[2].removesuffix(SHUFFLED) for name in found})
    seeds = max(_entry(results, "feedback", name, "cosine_layer_1")["n"] for name in found)
    tables = []
    for task in tasks:
        metric = "mse" if any(_names(results, rf"feedback/.+_on_{task}/mse")) else "accuracy"
        words = {"mse": "mean squared error", "accuracy": "accuracy"}[metric]
        heads = [f"{words}, in order", "shuffled", "forgotten", "cosine with the gradient, hidden layers"]
        lines = _head(title(task), *heads)
        for method in METHODS:
            own = f"{method}_on_{task}"
            if own not in found:
                continue
            layers = _names(results, rf"feedback/{own}/cosine_layer_\d+")
            hidden = [_entry(results, *layer.split("/"))["value"] for layer in sorted(layers)[:-1]]
            around = (
                f"{min(hidden):.2f} to {max(hidden):.2f}" if len(hidden) > 1 else "".join(f"{z:.2f}" for z in hidden)
            )
            cells = [
                _cell(_entry(results, "feedback", name, of), "sd_seeds", 3)
                for name, of in ((own, metric), (own + SHUFFLED, metric), (own, "forgetting"))
            ]
            lines.append(_row(METHODS[method], *cells, around))
        tables.append("\n".join(lines))
    spread = f"mean ± standard deviation over {seeds} meta-seeds" if seeds > 1 else "one meta-seed"
    words = (
        f"Means over episodes, {spread}. In order: the parts of an episode (functions or classes) come one after the "
        "other. Forgotten: by how much a part is known worse at the end of the episode than right after it was learned "
        "(below zero: better)."
    )
    return "\n\n".join([*tables, words])


def recall(results: Results) -> str:
    """What the rules recall, what disturbs them, and what they remember of images; a column for each horizon D."""
    horizons = sorted({int(name.partition("@")[2]) for name in _names(results, r"recall/direct/last@\d+")})
    rows = recalling.NAMES | recalling.FIXED | {"pseudo_inverse": "Pseudo-inverse, not online"}
    one = _by_horizon(
        results, horizons, "Share of bits recalled of the last D", {name: (name, "last@{}") for name in rows}, rows
    )
    changed = {
        "noise_0.1@{}": "10 % of the query's bits flipped",
        "noise_0.2@{}": "20 % of the query's bits flipped",
        "correlation_0.3@{}": "snippets correlated, 0.3",
        "correlation_0.6@{}": "snippets correlated, 0.6",
        "size_4@{}": "in a network of 4 bits",
        "size_16@{}": "in a network of 16 bits",
        "transfer_recurrent@{}": "in a recurrent network",
    }
    two = _by_horizon(
        results, horizons, "The rules of the direct network", {key: ("direct", key) for key in changed}, changed
    )
    asked = {"gain_own@0@{}": "first example", "gain_own@10@{}": "after 10", "gain_own_after_20@10@{}": "20 later"}
    every = {f"{name} {key}": (name, key) for name in recalling.NAMES for key in asked}
    labels = {label: f"{recalling.NAMES[name]}, {asked[key]}" for label, (name, key) in every.items()}
    three = _by_horizon(results, horizons, "Digits: gain by one exposure", every, labels)
    words = (
        "Mean ± standard deviation over meta-seeds. Hebb with decay, the delta rule and the pseudo-inverse run in the "
        "direct network on the same streams, the first two at the best of a grid in hindsight."
    )
    more = (
        "Gain: the rise of the right class's probability for the same image, less its rise for images of other classes "
        "(as in the study *learning*); at once for the first example of an episode, at once after 10 examples, and for "
        "the latter again 20 examples later."
    )
    return "\n\n".join([one, words, two, three, more])


def _by_horizon(
    results: Results, horizons: list[int], what: str, keys: Mapping[str, tuple[str, str]], labels: Mapping[str, str]
) -> str:
    """A row for each of `keys` that has results: the experiment, and the metric with a place for the horizon."""
    lines = _head(what, *(f"D = {horizon}" for horizon in horizons))
    for key, (experiment, metric) in keys.items():
        cells = [_entry(results, "recall", experiment, metric.format(horizon)) for horizon in horizons]
        if any(cells):
            lines.append(_row(labels[key], *(_cell(cell, "sd_seeds", 3) for cell in cells)))
    return "\n".join(lines)


def _claims_of(judged: Judged, name: str) -> Judged:
    return [claim for claim in judged if re.match(STUDIES[name].table, claim["tables"][0])]


def _words_of_counts(judged: Judged) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in counts(judged).items() if count)


def _marked(verdict: str) -> str:
    return f"{MARKS[verdict]} {verdict}".replace(" ", "\u00a0")


def _names(results: Results, pattern: str) -> list[str]:
    """The names of all results that match."""
    return [name for name in results if re.fullmatch(pattern, name)]


def _entry(results: Results, *name: str) -> dict[str, Any] | None:
    """A result, or None if this profile has none of that name."""
    return results.get("/".join(name))


def _cell(entry: dict | None, spread: str = "sd", digits: int = 2) -> str:
    return "" if entry is None else plus_minus(entry, spread, digits)


def _head(first: str, *others: str, words: int = 0) -> list[str]:
    """The head of a table, whose first column and the `words` after it hold words, and all others numbers."""
    return [_row(first, *others), _row(":--", *[":--"] * words, *["--:"] * (len(others) - words))]


def _row(*cells: Any) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


OF_RESULTS: dict[str, Callable[[Results], str]] = {
    "association": association,
    "cloning": cloning,
    "feedback": feedback,
    "recall": recall,
    "unification": unification,
}
