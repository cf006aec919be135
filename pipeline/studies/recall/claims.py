"""Effects of update rules that learned to remember."""

from typing import Annotated

from pydantic import Field, PositiveInt

from pipeline.studies.claims import Effect, Effects
from pipeline.studies.learning.claims import Made
from pipeline.studies.recall import measures as recall


def recall_accuracy(
    made: Made, *, of: str, against: str | Annotated[float, Field(ge=0, le=1)], up_to: PositiveInt
) -> Effects:
    """Share of bits recalled of the last D snippets by rules trained to remember D, less others' in the same streams.

    For each such D of at most `up_to`. `against` is an experiment, where it was trained for D as well, or `fixed` for
    the best rule of a grid, or a number.
    """
    every = recall.in_order(made.tables)
    if of not in every or (isinstance(against, str) and against not in ("fixed", *every)):
        return
    for horizon, own in _by_horizon(made, of).items():
        rival = _rival(made, of, against, horizon) if horizon <= up_to else None
        if rival is not None:
            other, words = rival
            yield f"Last {horizon}: {recall.name(of)} less {words}", own - other


def _rival(made: Made, of: str, against: str | float, horizon: int) -> tuple[Effect | float, str] | None:
    """Accuracies, and a name for them; of fixed rules the best on these very streams, in hindsight."""
    if not isinstance(against, str):
        return against, f"{against:g}"
    if against != "fixed":
        found = _by_horizon(made, against)
        return (found[horizon], recall.name(against)) if horizon in found else None
    if of not in recall.thorough(made.tables):
        return None
    shares = recall.summed(recall.tests(made.tables, of)[0], "fixed")[..., :horizon].mean(-1)
    return shares[shares.mean(1).argmax()][None], "the best fixed rule"


def _by_horizon(made: Made, experiment: str) -> dict[int, Effect]:
    trained = recall.horizons(made.tables, experiment)
    return dict(zip(trained, recall.last(made.tables, experiment), strict=True))
