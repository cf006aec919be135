"""The numbers of the card of rules that learned to remember, one for each horizon."""

from pipeline.show import figures
from pipeline.show.display import Table
from pipeline.show.measures import Key, summary
from pipeline.studies.cards import Card, Item, plus_minus
from pipeline.studies.learning.tables import by_seed
from pipeline.studies.recall import measures as recall

NEEDS = ("recall_test/*.npz",)


def card(item: Item) -> Card:
    own, tables = item.settings.recall, figures.read(NEEDS)
    found, every = recall.recall(tables), list(by_seed(tables, "recall_test", item.experiment))
    fixed = [look for kind, look in recall.FIXED.items() if any(key.learner == kind for key in found)]
    rows = []
    for horizon, accuracies in recall.last(tables, item.experiment).items():
        this = plus_minus(summary(accuracies[[every.index(item.seed)]]))
        learners = (item.experiment, *(look.key for look in fixed))
        seeds, *others = (found.get(Key(recall.RECALL, learner, "last", horizon)) for learner in learners)
        cells = [plus_minus(entry, "", nothing="") for entry in others]
        rows.append([str(horizon), this, plus_minus(seeds, "sd_seeds"), *cells])
    heads = ("last", "this rule", "all seeds", *(look.words for look in fixed))
    numbers = {"settings": item.rule.learner, "tests": own.tests, "seeds": len(every), "fixed": fixed}
    training, table = own.experiments[item.experiment].training, Table(heads, rows).markdown("r" * len(heads))
    return Card("recall", numbers | {"training": training, "table": table})
