"""The card of a network that learns by feedback with local plasticity, or of a baseline of it by gradient."""

import math

from pipeline.run.artifacts import read_table
from pipeline.run.params import plain
from pipeline.run.paths import feedback_curve
from pipeline.show import figures
from pipeline.show.display import Table
from pipeline.show.measures import Key, Results, summary
from pipeline.studies.cards import Card, Item, ends, plus_minus
from pipeline.studies.feedback import measures as feedback
from pipeline.studies.feedback.build import system
from pipeline.studies.feedback.params import Drawings, Experiment, Glyphs, Sines
from pipeline.studies.learning.tables import by_seed
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
    return Card(
        what=WHAT[section.learner.name].format(numbers=size(item.rule.theta)) + " Unlike other rules it has one size.",
        use=[
            f"learner = rule.learner(features={features}, classes={outputs})  # the one size that it has",
            "predictions = rollout(learner, rule.theta, jax.random.key(0), episode)",
        ],
        made_by=f"Task: `{plain(section.task)}`; network: `{plain(section.network)}`; learner: `{item.rule.learner}`; "
        f"learning rates: `{plain(training)['rates']}`. {_data(section)}",
        made=Table(
            ("meta-steps", "lives in each", "skipped", "meta loss, first and last tenth"),
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


def _data(section: Experiment) -> str:
    if isinstance(section.task, Drawings):
        return f"It has seen drawings of {section.task.train_set} only."
    kind = "characters drawn by a rule" if isinstance(section.task, Glyphs) else "sine waves"
    return f"No data set: {kind}, from random numbers."


def _results(item: Item) -> list[str]:
    tables = figures.read(NEEDS)
    found, tests, experiment = feedback.feedback(tables), item.settings.feedback.tests, item.experiment
    regression, task = feedback.is_regression(tables, experiment), feedback.task(experiment)
    every, new = list(by_seed(tables, "feedback_test", experiment)), "functions" if regression else "characters"
    measure = "mean squared error" if regression else "accuracy"
    rows = []
    for words, newborn in (("this rule", False), ("this rule, not meta-trained", True)):
        own = feedback.worth(tables, experiment, newborn)[[every.index(item.seed)]]
        rows.append([words, plus_minus(summary(own))])
    for other in feedback.on(tables, task):
        entry = found[Key(feedback.FEEDBACK, other, feedback.metric(tables, other))]
        rows.append([f"{feedback.name(other)}, all seeds", plus_minus(entry, "sd_seeds")])
    return [
        f"{measure.capitalize()} at the end of {tests.lives} lives on new {new}, "
        f"{tests.questions} questions on each part. Of this rule: mean ± standard deviation over lives; of all "
        f"seeds: over seeds (n = {len(every)}).",
        "",
        Table((f"learner, on {feedback.title(task)}", measure), rows).markdown(),
        "",
        _interference(found, experiment),
    ]


def _interference(found: Results, experiment: str) -> str:
    kinds = {"forgetting": "Forgetting", "interference": "Interference of updates"}
    own = {words: found.get(Key(feedback.FEEDBACK, experiment, kind)) for kind, words in kinds.items()}
    words = [f"{kind}, all seeds: {plus_minus(entry, 'sd_seeds')}." for kind, entry in own.items() if entry]
    return " ".join([*words, "Both are defined by us: the paper's definitions are unknown."])
