"""Effects of unification: whether an instance of VSML is the algorithm that it was set to be."""

from typing import Literal

import numpy as np

from pipeline.run.params import known_or_raise
from pipeline.studies.claims import Effects
from pipeline.studies.learning.claims import Made
from pipeline.studies.unification import measures as unification


def deviation(made: Made, *, of: Literal["instance", "control"], method: str) -> Effects:
    """How far an instance gets from its algorithm in an episode, in units of what learning moves.

    `control`: how much further a near relative of the algorithm gets from it. If that were nothing, the measure would
    be blind. Instances are built and not trained, so episodes are the seeds: [episode, 1].
    """
    if unification.TABLE not in made.tables:
        return
    arrays = made.tables[unification.TABLE].arrays
    pairs = arrays["pair"].tolist()
    row = pairs.index(known_or_raise(pairs, method, f"pairs of {unification.TABLE}"))
    pair = unification.PAIRS[method]
    of_learning = arrays["learning"][row].astype(np.float64)
    off = np.maximum(
        arrays["prediction_deviation"][row] / of_learning, arrays["state_deviation"][row] / arrays["state_size"][row]
    )
    if of == "instance":
        yield f"{pair.method}: relative deviation of the instance", off[:, None]
    else:
        further = arrays["control_deviation"][row] / of_learning - off
        yield f"{pair.method}: near relative ({pair.control}) less instance", further[:, None]
