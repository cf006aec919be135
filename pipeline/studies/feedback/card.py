"""The card of a network that learns by feedback with local plasticity, or of a baseline of it by gradient."""

import math

from pipeline.run.artifacts import read_table
from pipeline.run.params import plain
from pipeline.run.paths import feedback_curve
from pipeline.show import figures
from pipeline.show.display import Table
from pipeline.show.measures import Key, summary
from pipeline.studies.cards import Card, Item, ends, plus_minus
from pipeline.studies.feedback.build import system
from pipeline.studies.feedback.measures import FEEDBACK, feedback, on, tested
from pipeline.studies.feedback.params import Drawings, Experiment, Glyphs, Sines
from pipeline.studies.learning.ranking import title
from pipeline.studies.learning.words import size

NEEDS = ("feedback_test/*.npz",)
WHAT = {
    "local_plasticity": "A network that learns without gradients: what should be done comes back through learned "
    "feedback weights, and synapses follow it by a local rule. First weights, feedback weights and plasticities are "
    "meta-trained: {numbers:,} numbers. The rule is that of the code released with arXiv 2006.09549 (Lindsey & "
    "Litwin-Kumar 2020); sizes and meta-training are ours, and the numbers below say nothing of the paper's.",
    "descent": "A network that learns by gradient descent from a meta-learned start, {numbers:,} numbers: a baseline "
    "of feedback with local plasticity (arXiv 2006.09549). Sizes and meta-training are ours.",
    "pretrained": "A network of {numbers:,} numbers that was trained on all parts at once, and then learns by gradient "
    "descent: a reference for feedback with local plasticity (arXiv 2006.09549). Sizes and training are ours.",
}


def card(item: Item) -> Card:
    section = item.settings.feedback.experiments[item.experiment]
    curve = read_table(feedback_curve(item.experiment, item.seed)).arrays
    kept, training = curve["loss"][~curve["skipped"]], section.training
    features, outputs = sizes(section)
    if isinstance(section.task, Drawings):
        data = f"It has seen drawings of {section.task.train_set} only."
    else:
        kind = "characters drawn by a rule" if isinstance(section.task, Glyphs) else "sine waves"
        data = f"No data set: {kind}, from random numbers."
    return Card(
        what=WHAT[section.learner.name].format(numbers=size(item.rule.theta)) + " Unlike other rules it has one size.",
        use=[
            f"learner = rule.learner(features={features}, classes={outputs})  # the one size that it has",
            "predictions = rollout(learner, rule.theta, jax.random.key(0), episode)",
        ],
        made_by=f"Task: `{plain(section.task)}`; network: `{plain(section.network)}`; learner: `{item.rule.learner}`; "
        f"learning rates: `{plain(training)['rates']}`. {data}",
        made=Table(
            ("meta-steps", "episodes in each", "skipped", "meta loss, first and last tenth"),
            [[str(training.steps), str(training.population), str(curve["skipped"].sum()), ends(kept)]],
        ).markdown("rrrr"),
        fares=_results(item),
    )


def form(section: Experiment) -> dict:
    """What theta does not say of the network: see `vsml.zoo.siblings.taught_by_feedback`."""
    trunk = system(section).trunk
    return {"classifies": trunk is not None, "trunk": trunk and trunk._asdict()}


def sizes(section: Experiment) -> tuple[int, int]:
    """Features and outputs."""
    task, trunk = section.task, system(section).trunk
    return math.prod(trunk.image) if trunk else task.parts + 1, 1 if isinstance(task, Sines) else task.outputs


def _results(item: Item) -> list[str]:
    tables, tests = figures.read(NEEDS), item.settings.feedback.tests
    found, own = feedback(tables), tested(tables)[item.experiment]
    every = list(own.seeds)
    measure, new = ("mean squared error", "functions") if own.regression else ("accuracy", "characters")
    rows = [
        [words, plus_minus(summary(own.worth(initial)[[every.index(item.seed)]]))]
        for words, initial in (("this rule", False), ("this rule, not meta-trained", True))
    ]
    for other in on(tables, own.task):
        entry = found[Key(FEEDBACK, other.experiment, other.metric)]
        rows.append([f"{other.name}, all seeds", plus_minus(entry, "sd_seeds")])
    defined = [
        f"{words}, all seeds: {plus_minus(found[key], 'sd_seeds')}."
        for kind, words in (("forgetting", "Forgetting"), ("interference", "Interference of updates"))
        if (key := Key(FEEDBACK, item.experiment, kind)) in found
    ]
    return [
        f"{measure.capitalize()} at the end of {tests.episodes} episodes on new {new}, "
        f"{tests.queries} questions on each part. Of this rule: mean ± standard deviation over episodes; of all "
        f"seeds: over seeds (n = {len(every)}).",
        "",
        Table((f"learner, on {title(own.task)}", measure), rows).markdown(),
        "",
        " ".join([*defined, "Both are defined by us: the paper's definitions are unknown."]),
    ]
