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
    section, bits = item.settings.recall.experiments[item.experiment], item.rule.learner["size"]
    training, horizons = section.training, item.rule.learner["horizons"]
    first, last = (item.rule.learner["loss"][end] for end in ("first", "last"))
    return Card(
        what="Two learned functions, one for neurons and one for synapses, that make a network remember the last "
        "snippets of a stream, online and locally. "
        f"{size(item.rule.theta) // len(horizons):,} numbers for each of the horizons {horizons}: a rule for each. A "
        "**reconstruction**: of the paper (Gregor 2020, arXiv 2003.03124) only the abstract is known to us. Equations, "
        "sizes, networks and the task are ours, and the numbers below say nothing of the paper's.",
        use=[
            "learner = rule.learner(features, classes)  # bits -1 and 1 of a cue, and of its answer",
            "predictions = rollout(learner, rule.theta, jax.random.key(0), episode)",
        ],
        made_by=f"Network: `{item.rule.learner['graph']}`; functions: `{item.rule.learner['rules']}`; optimiser: "
        f"`{plain(training.optimizer)}`. No data set: snippets of {bits} random bits are drawn from the "
        "meta-seed.",
        made=Table(
            (
                "meta-steps",
                "lives of a meta-step, for each horizon",
                "meta loss in bits, first and last twentieth",
            ),
            [
                [
                    str(training.steps),
                    f"{training.population} of {training.length} snippets, {training.questions} questions after each, "
                    f"gradient through {training.window}",
                    f"{first:.3f}, {last:.3f}",
                ]
            ],
        ).markdown("rlr"),
        fares=_results(item),
    )


def _results(item: Item) -> list[str]:
    tests, experiment = item.settings.recall.tests, item.experiment
    tables = figures.read(NEEDS)
    found, every = recall.recall(tables), list(by_seed(tables, "recall_test", experiment))
    others = [kind for kind in recall.FIXED if any(key.learner == kind for key in found)]
    rows = []
    own = zip(recall.horizons(tables, experiment), recall.last(tables, experiment), strict=True)
    for horizon, lives in own:
        this, seeds = summary(lives[[every.index(item.seed)]]), found[Key(recall.RECALL, experiment, "last", horizon)]
        fixed = (found.get(Key(recall.RECALL, kind, "last", horizon)) for kind in others)
        cells = [f"{entry['value']:.3f}" if entry else "" for entry in fixed]
        rows.append([str(horizon), plus_minus(this), plus_minus(seeds, "sd_seeds"), *cells])
    heads = ("last", "this rule", "all seeds", *(recall.FIXED[kind].words for kind in others))
    return [
        f"Share of the bits of the last snippets that are recalled right, {tests.lives} lives of {tests.length} random "
        f"snippets, from snippet {tests.settled} on; guessing has 0.5. Of this rule: mean ± standard deviation over "
        f"lives; of all seeds: mean ± standard deviation over seeds (n = {len(every)}). "
        + ("Fixed rules are tuned in hindsight." if others else ""),
        "",
        Table(heads, rows).markdown("r" * len(heads)),
    ]
