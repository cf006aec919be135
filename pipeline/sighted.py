"""A rule that learned to remember as a memory of images, in VSML's protocol of introspection. Reads tables only.

Gains are those of `pipeline.introspection`, of the image itself less those of images of other classes: what is tied to
the image, and not said of everything.
"""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float

from pipeline.artifacts import Table
from pipeline.comparison import plus_minus
from pipeline.introspection import PROBES, gains, when
from pipeline.results import Results, summary

SAME, STRANGER = PROBES.index("same"), PROBES.index("stranger")


def own_gains(tables: list[Table], index: int) -> Float[np.ndarray, "seed age life gap"]:
    """Of the rules for the horizon of that index."""
    gained = gains([table.arrays | {"belief": table.arrays["belief"][index]} for table in tables])
    return gained[..., SAME] - gained[..., STRANGER]


def sighted(tables: list[Table], prefix: str) -> Results:
    """`prefix/gain_own@AGE@D`, and `gain_own_after_GAP` for the last gap; sd over lives and over seeds."""
    found: Results = {}
    for index, horizon in enumerate(tables[0].arrays["horizon"].tolist()):
        gained = own_gains(tables, index)
        for at, age in enumerate(tables[0].arrays["age"].tolist()):
            found[f"{prefix}/gain_own@{age}@{horizon}"] = summary(gained[:, at, :, 0])
            found[f"{prefix}/gain_own_after_{gained.shape[-1] - 1}@{age}@{horizon}"] = summary(gained[:, at, :, -1])
    return found


def words(found: Results, prefix: str, rule: str) -> Iterator[str]:
    """A sentence for each age: the rules for all horizons, and VSML where `rule` names its gains."""
    ages = dict.fromkeys(key.split("@")[1] for key in found if key.startswith(f"{prefix}/gain_own@"))
    for age in ages:
        of_age = {key.split("@")[2]: found[key] for key in found if key.startswith(f"{prefix}/gain_own@{age}@")}
        said = ", ".join(f"{plus_minus(entry, 'sd_seeds')} (D = {horizon})" for horizon, entry in of_age.items())
        beside = found.get(f"{rule}/gain_own@{age}", {})
        vsml = f"; VSML {plus_minus(beside, 'sd_seeds')}" if "sd_seeds" in beside else ""  # of one seed nothing is said
        yield f"{when(int(age)).capitalize()}: {said}{vsml}."
