"""The numbers of the card of a network that learns by feedback with local plasticity, or of a baseline by gradient."""

import math

from pipeline.run.artifacts import read_table
from pipeline.run.paths import feedback_curve
from pipeline.show import figures
from pipeline.show.measures import Key, summary
from pipeline.studies.cards import Card, Item, ends, plus_minus
from pipeline.studies.feedback.build import system
from pipeline.studies.feedback.measures import FEEDBACK, feedback, on, tested
from pipeline.studies.feedback.params import Drawings, Experiment, Glyphs, Sines

NEEDS = ("feedback_test/*.npz",)


def card(item: Item) -> Card:
    section = item.settings.feedback.experiments[item.experiment]
    curve = read_table(feedback_curve(item.experiment, item.seed)).arrays
    features, outputs = sizes(section)
    if isinstance(section.task, Drawings):
        data = f"It has seen drawings of {section.task.train_set} only."
    else:
        kind = "characters drawn by a rule" if isinstance(section.task, Glyphs) else "sine waves"
        data = f"No data set: {kind}, from random numbers."
    tables = figures.read(NEEDS)
    found, own = feedback(tables), tested(tables)[item.experiment]
    this = [list(own.seeds).index(item.seed)]
    fares = [
        [words, plus_minus(summary(own.worth(initial)[this]))]
        for words, initial in (("this rule", False), ("this rule, not meta-trained", True))
    ]
    for other in on(tables, own.task):
        entry = found[Key(FEEDBACK, other.experiment, other.metric)]
        fares.append([f"{other.name}, all seeds", plus_minus(entry, "sd_seeds")])
    defined = [
        f"{words}, all seeds: {plus_minus(found[key], 'sd_seeds')}. "
        for kind, words in (("forgetting", "Forgetting"), ("interference", "Interference of updates"))
        if (key := Key(FEEDBACK, item.experiment, kind)) in found
    ]
    numbers = {"section": section, "training": section.training, "tests": item.settings.feedback.tests, "own": own}
    numbers |= {"features": features, "outputs": outputs, "data": data, "fares": fares, "defined": defined}
    numbers |= {"skipped": curve["skipped"].sum(), "loss": ends(curve["loss"][~curve["skipped"]])}
    return Card("feedback", numbers | {"measure": "mean squared error" if own.regression else "accuracy"})


def form(section: Experiment) -> dict:
    """What theta does not say of the network: see `vsml.zoo.siblings.taught_by_feedback`."""
    trunk = system(section).trunk
    return {"classifies": trunk is not None, "trunk": trunk and trunk._asdict()}


def sizes(section: Experiment) -> tuple[int, int]:
    """Features and outputs."""
    task, trunk = section.task, system(section).trunk
    return math.prod(trunk.image) if trunk else task.parts + 1, 1 if isinstance(task, Sines) else task.outputs
