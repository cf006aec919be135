"""The card of rules that learned to remember, one for each horizon."""

from pipeline.run.params import plain
from pipeline.show import figures
from pipeline.show.display import Table
from pipeline.show.measures import Key, summary
from pipeline.studies.cards import Card, Item, plus_minus
from pipeline.studies.learning.tables import by_seed
from pipeline.studies.learning.words import size
from pipeline.studies.recall import measures as recall

NEEDS = ("recall_test/*.npz",)


def card(item: Item) -> Card:
    section, settings = item.settings.recall.experiments[item.experiment], item.rule.learner
    training, tests = section.training, item.settings.recall.tests
    tables = figures.read(NEEDS)
    found, every = recall.recall(tables), list(by_seed(tables, "recall_test", item.experiment))
    fixed = [kind for kind in recall.FIXED if any(key.learner == kind for key in found)]
    rows = []
    for horizon, accuracies in recall.last(tables, item.experiment).items():
        this = plus_minus(summary(accuracies[[every.index(item.seed)]]))
        own, *others = (found.get(Key(recall.RECALL, name, "last", horizon)) for name in (item.experiment, *fixed))
        cells = (f"{entry['value']:.3f}" if entry else "" for entry in others)
        rows.append([str(horizon), this, plus_minus(own, "sd_seeds"), *cells])
    heads = ("last", "this rule", "all seeds", *(recall.FIXED[kind].words for kind in fixed))
    return Card(
        what="Two learned functions, one for neurons and one for synapses, that make a network remember the last "
        "snippets of a stream, online and locally. "
        f"{size(item.rule.theta) // len(settings['horizons']):,} numbers for each of the horizons "
        f"{settings['horizons']}: a rule for each. A **reconstruction**: of the paper (Gregor 2020, arXiv 2003.03124) "
        "only the abstract is known to us. Equations, sizes, networks and the task are ours, and the numbers below say "
        "nothing of the paper's.",
        use=[
            "learner = rule.learner(features, classes)  # bits -1 and 1 of a cue, and of its answer",
            "predictions = rollout(learner, rule.theta, jax.random.key(0), episode)",
        ],
        made_by=f"Network: `{settings['graph']}`; functions: `{settings['rules']}`; optimiser: "
        f"`{plain(training.optimizer)}`. No data set: snippets of {settings['size']} random bits are drawn from the "
        "meta-seed.",
        made=Table(
            ("meta-steps", "episodes of a meta-step, for each horizon", "meta loss in bits, first and last twentieth"),
            [
                [
                    str(training.steps),
                    f"{training.population} of {training.length} snippets, {training.queries} questions after each, "
                    f"gradient through {training.window}",
                    ", ".join(f"{settings['loss'][end]:.3f}" for end in ("first", "last")),
                ]
            ],
        ).markdown("rlr"),
        fares=[
            f"Share of the bits of the last snippets that are recalled right, {tests.episodes} episodes of "
            f"{tests.length} random snippets, from snippet {tests.settled} on; guessing has 0.5. Of this rule: mean ± "
            f"standard deviation over episodes; of all seeds: mean ± standard deviation over seeds (n = {len(every)}). "
            + ("Fixed rules are tuned in hindsight." if fixed else ""),
            "",
            Table(heads, rows).markdown("r" * len(heads)),
        ],
    )
