"""A rule that learned to remember as a memory of images, in VSML's protocol of introspection. Reads tables only.

Gains are those of `pipeline.introspection`, of the image itself less those of images of other classes: what is tied to
the image, and not said of everything.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from pipeline.run.artifacts import Table
from pipeline.show.measures import Key, Results, summary
from pipeline.studies.learning.association import PROBES, gains, when
from pipeline.studies.learning.ranking import plus_minus
from pipeline.studies.learning.tables import RULE

SAME, STRANGER = PROBES.index("same"), PROBES.index("stranger")


def own_gains(tables: list[Table], index: int) -> Float[np.ndarray, "seed age life gap"]:
    """Of the rules for the horizon of that index."""
    gained = gains([table.arrays | {"belief": table.arrays["belief"][index]} for table in tables])
    return gained[..., SAME] - gained[..., STRANGER]


def sighted(tables: list[Table], experiment: str) -> Results:
    """`gain_own` of each age and horizon, and `gain_own_after_GAP` for the last gap; none if no image was shown."""
    found: Results = {}
    for index, horizon in enumerate(tables[0].arrays["horizon"].tolist() if "belief" in tables[0].arrays else ()):
        gained = own_gains(tables, index)
        last = gained.shape[-1] - 1
        for at, age in enumerate(tables[0].arrays["age"].tolist()):
            for metric, gap in (("gain_own", 0), (f"gain_own_after_{last}", last)):
                found[Key("recall", experiment, metric, age, horizon)] = summary(gained[:, at, :, gap])
    return found


def words(found: Results, experiment: str, images: str) -> Iterator[str]:
    """A sentence for each age: the rules for all horizons, and VSML where its gains on that set of images are known."""
    own = [key for key in found if key[:3] == ("recall", experiment, "gain_own")]
    for age in dict.fromkeys(key.at for key in own if key.at is not None):
        said = ", ".join(f"{plus_minus(found[key], 'sd_seeds')} (D = {key.horizon})" for key in own if key.at == age)
        beside = found.get(Key(images, RULE, "gain_own", age), {})
        vsml = f"; VSML {plus_minus(beside, 'sd_seeds')}" if "sd_seeds" in beside else ""  # of one seed nothing is said
        yield f"{when(age).capitalize()}: {said}{vsml}."
