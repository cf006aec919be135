"""Effects of update rules that learned to remember."""

import itertools
from typing import Annotated, Any

from pydantic import Field, PositiveInt

from pipeline.studies.claims import Effects
from pipeline.studies.learning.claims import Made
from pipeline.studies.recall import measures as recall


def recall_accuracy(
    made: Made, *, of: str, against: str | Annotated[float, Field(ge=0, le=1)], up_to: PositiveInt
) -> Effects:
    """Share of bits recalled of the last D snippets by rules trained to remember D, less others' in the same streams.

    For each such D of at most `up_to`. `against` is an experiment, where it was trained for D as well, or `fixed` for
    the best rule of a grid, in hindsight, or a number. All experiments have the same streams, and the fixed rules ran
    on these beside one of them.
    """
    tables, every = made.tables, recall.in_order(made.tables)
    if of not in every or (isinstance(against, str) and against not in ("fixed", *every)):
        return
    own = recall.last(tables, of)
    rivals: dict[int, Any] = {}  # by horizon, accuracies in the same episodes or a number
    if not isinstance(against, str):
        rivals, words = dict.fromkeys(own, against), f"{against:g}"
    elif against != "fixed":
        rivals, words = recall.last(tables, against), recall.name(against)
    else:
        words = "the best fixed rule"
        for beside, horizon in itertools.product(recall.thorough(tables)[:1], own):
            shares = recall.share(recall.tests(tables, beside)[0], "fixed")[..., :horizon].mean(-1)
            rivals[horizon] = shares[shares.mean(1).argmax()]
    for horizon, accuracy in own.items():
        if horizon in rivals and horizon <= up_to:
            yield f"Last {horizon}: {recall.name(of)} less {words}", accuracy - rivals[horizon]
