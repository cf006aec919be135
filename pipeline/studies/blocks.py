"""The tables of the studies' pages, as Markdown. Each is made from docs/*.json alone; readme.py puts it there.

Spreads: over meta-seeds where a table says so, else over episodes.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from pipeline.show.display import Table
from pipeline.show.looks import LOOKS
from pipeline.show.measures import Entry, Key, Results
from pipeline.studies.claims import MARKS, counts
from pipeline.studies.feedback.measures import LEARNERS, ON, SHUFFLED
from pipeline.studies.learning.ranking import plus_minus, title
from pipeline.studies.learning.tables import RULE
from pipeline.studies.recall.measures import FIXED, INVERSE
from pipeline.studies.recall.measures import LEARNERS as RECALLING
from pipeline.studies.unification.measures import PAIRS

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
    rows = []
    for name, study in STUDIES.items():
        own = [_words_of_counts(_claims_of(judged[profile], name)) for profile in study.profiles]
        larger = f"`{study.profiles[1]}`: {own[1]}" if len(own) > 1 else ""
        count = len(_claims_of(judged[""], name))
        link = f"[{name}](pipeline/studies/{name}/README.md)"
        rows.append([link, study.paper, study.question, str(count), own[0], larger])
    heads = ("Study", "Paper", "Question", "Claims", "Default profile", "Larger profile")
    return Table(heads, rows).markdown("llllll")


def claims(judged: Mapping[str, Judged], name: str) -> str:
    """The claims of a study, with the verdict of each profile that is evidence for it."""
    profiles = STUDIES[name].profiles
    heads = [f"`{profile}`" if profile else "default" for profile in profiles]
    rows = []
    verdicts = {profile: {claim["id"]: claim["verdict"] for claim in judged[profile]} for profile in profiles}
    for claim in _claims_of(judged[""], name):
        cells = [_marked(verdicts[profile].get(claim["id"], "not run")) for profile in profiles]
        rows.append([claim["says"], claim["where"], claim["sure"], *cells])
    return Table(("Claim", "where", "how surely known", *heads), rows).markdown("lll" + "l" * len(heads))


def association(results: Results) -> str:
    """What one exposure to an image is worth, to the learned rule and to SGD and Adam."""
    gains = sorted(key for key in results if key[1:3] == (RULE, "gain_own"))  # by age
    heads = [f"gain after {key.at} examples" for key in gains]
    rows = []
    for look in LOOKS.values():
        right = gains[0]._replace(learner=look.key, metric="second_sighting_accuracy", at=None)
        if right in results:
            keys = (right, *(key._replace(learner=look.key) for key in gains), right._replace(metric="cosine"))
            name = look.words if look.family else look.name
            rows.append([name, *(_cell(results.get(key)) for key in keys)])
    words = (
        f"Images of {title(gains[0].subject)}, mean ± standard deviation over episodes of all meta-seeds. Gain: by how "
        "much one exposure raises the probability of the right class for the same image, less the rise of that same "
        "class for images of other classes; after so many examples of the episode."
    )
    table = Table(("Learner", "right at the second exposure", *heads, "cosine with a gradient step"), rows)
    return "\n\n".join([table.markdown(), words])


def cloning(results: Results) -> str:
    """The clone beside SGD, by how much its updates miss, and what further meta-training makes of it."""
    clones = sorted(key for key in results if key.subject == "cloning" and key.metric == "clone")
    one, two = [], []
    for key in clones:
        name, _, sizes = key.learner.partition("-")

        def entries(*metrics: str, key: Key = key) -> list[Entry]:
            return [results[key._replace(metric=metric)] for metric in metrics]

        label, layers = f"{title(name)}, {sizes}", range(1, sizes.count("-") + 1)
        missed = [entries(*(f"layer_{n}_{term}" for n in layers)) for term in ("learned_weight", "below")]
        shares = (", ".join(f"{entry['value']:.0%}" for entry in of_layers) for of_layers in missed)
        learned = entries("clone", "sgd", "agreement")
        one.append([label, *(_cell(entry, digits=3) for entry in learned), *shares])
        improved = entries("clone_early", "sgd_early", "improved_early", "clone", "improved")
        two.append([label, *map(_cell, improved)])
    words = (
        f"Accuracy on unseen images after each of {results[clones[0]]['n']} episodes, mean ± standard deviation over "
        "episodes of all clones. Same answer: share of unseen images that clone and SGD, from equal initial weights, "
        "classify alike. Missed: norm of the difference to backpropagation's update over the norm of that update, at "
        "the end of the episodes, by layer from the input."
    )
    more = (
        "Clone, then improve: accuracy while learning, after the first 100 examples (early), and on unseen images at "
        "the end of the episodes."
    )
    at_end = ("Data set, network", "clone", "SGD", "same answer", "missed: weights", "missed: error passed down")
    improve = ("Data set, network", "clone, early", "SGD, early", "improved, early", "clone, end", "improved, end")
    return "\n\n".join([Table(at_end, one).markdown(), words, Table(improve, two).markdown(), more])


def unification(results: Results) -> str:
    """How nearly each algorithm and its instance of VSML are the same."""
    rows = []
    for name, pair in PAIRS.items():
        of = {key.metric: results[key]["value"] for key in results if key[:2] == ("unification", name)}
        both = (of[metric] / of["learning"] for metric in ("prediction_deviation", "control_deviation"))
        rows.append([pair.method, *(f"{value:.0e}" for value in both), pair.control])
    n = results[Key("unification", "sgd", "learning")]["n"]
    words = (
        f"Largest deviation of any prediction over {n} episodes, in float32, over how far learning has moved the "
        "predictions. The near relative is the control: a variant that must be told apart."
    )
    heads = ("Algorithm", "instance deviates by", "a near relative deviates by", "the near relative")
    return "\n\n".join([Table(heads, rows).markdown(), words])


def feedback(results: Results) -> str:
    """A table for each task: what is known at the end, what was forgotten, and where updates point."""
    found = {key.learner: key for key in results if key.subject == "feedback" and key.metric == "newborn"}
    tasks = sorted({name.partition(ON)[2].removesuffix(SHUFFLED) for name in found})
    seeds = max(results[key._replace(metric="cosine_layer_1")]["n"] for key in found.values())
    tables = []
    for task in tasks:
        on_task = [key for key in found.values() if key.learner.partition(ON)[2] == task]
        metric = "mse" if on_task[0]._replace(metric="mse") in results else "accuracy"
        words = {"mse": "mean squared error", "accuracy": "accuracy"}[metric]
        rows = []
        for look in LEARNERS.values():
            own = Key("feedback", f"{look.key}{ON}{task}", metric)
            if own.learner not in found:
                continue
            layers = sorted(key for key in results if key[:2] == own[:2] and key.metric.startswith("cosine_layer_"))
            hidden = [results[key]["value"] for key in layers[:-1]]
            around = (
                f"{min(hidden):.2f} to {max(hidden):.2f}" if len(hidden) > 1 else "".join(f"{z:.2f}" for z in hidden)
            )
            keys = (own, own._replace(learner=own.learner + SHUFFLED), own._replace(metric="forgetting"))
            rows.append([look.words, *(_cell(results.get(key), "sd_seeds", 3) for key in keys), around])
        heads = (f"{words}, in order", "shuffled", "forgotten", "cosine with the gradient, hidden layers")
        tables.append(Table((title(task), *heads), rows).markdown())
    spread = f"mean ± standard deviation over {seeds} meta-seeds" if seeds > 1 else "one meta-seed"
    words = (
        f"Means over episodes, {spread}. In order: the parts of an episode (functions or classes) come one after the "
        "other. Forgotten: by how much a part is known worse at the end of the episode than right after it was learned "
        "(below zero: better)."
    )
    return "\n\n".join([*tables, words])


def recall(results: Results) -> str:
    """What the rules recall, what disturbs them, and what they remember of images; a column for each horizon D."""
    horizons = sorted({key.at for key in results if key[:3] == ("recall", "direct", "last") and key.at is not None})

    def table(what: str, rows: Iterable[tuple[str, str, str, int | None]]) -> str:
        """A row for each name, experiment, metric and age, if there is one, that has results."""
        filled = []
        for name, experiment, metric, age in rows:
            where = [(horizon, None) if age is None else (age, horizon) for horizon in horizons]
            entries = [results.get(Key("recall", experiment, metric, *numbers)) for numbers in where]
            if any(entries):
                filled.append([name, *(_cell(entry, "sd_seeds", 3) for entry in entries)])
        return Table((what, *(f"D = {horizon}" for horizon in horizons)), filled).markdown()

    rules = {key: look.words for key, look in (RECALLING | FIXED).items()} | {INVERSE.key: INVERSE.name.capitalize()}
    one = table("Share of bits recalled of the last D", [(words, key, "last", None) for key, words in rules.items()])
    changed = {
        "noise_0.1": "10 % of the query's bits flipped",
        "noise_0.2": "20 % of the query's bits flipped",
        "correlation_0.3": "snippets correlated, 0.3",
        "correlation_0.6": "snippets correlated, 0.6",
        "size_4": "in a network of 4 bits",
        "size_16": "in a network of 16 bits",
        "transfer_recurrent": "in a recurrent network",
    }
    two = table(
        "The rules of the direct network", [(words, "direct", metric, None) for metric, words in changed.items()]
    )
    asked = (("first example", "gain_own", 0), ("after 10", "gain_own", 10), ("20 later", "gain_own_after_20", 10))
    every = [
        (f"{look.words}, {when}", key, metric, age) for key, look in RECALLING.items() for when, metric, age in asked
    ]
    three = table("Digits: gain by one exposure", every)
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


def _claims_of(judged: Judged, name: str) -> Judged:
    return [claim for claim in judged if re.match(STUDIES[name].table, claim["tables"][0])]


def _words_of_counts(judged: Judged) -> str:
    return ", ".join(f"{count} {verdict}" for verdict, count in counts(judged).items() if count)


def _marked(verdict: str) -> str:
    return f"{MARKS[verdict]} {verdict}".replace(" ", "\u00a0")


def _cell(entry: Entry | None, spread: str = "sd", digits: int = 2) -> str:
    return "" if entry is None else plus_minus(entry, spread, digits)


OF_RESULTS: dict[str, Callable[[Results], str]] = {
    "association": association,
    "cloning": cloning,
    "feedback": feedback,
    "recall": recall,
    "unification": unification,
}
