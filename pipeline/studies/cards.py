"""Cards of rules that ship: what each system says of its own, from the profile's params and tables, as Markdown."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.run.artifacts import Rule
from pipeline.studies.learning import ranking as comparison
from pipeline.studies.params import Params


class Item(NamedTuple):
    """What `stage` has learned from `experiment` and `seed`, in the profile of the current folder."""

    settings: Params
    stage: str
    experiment: str
    seed: int
    rule: Rule

    @property
    def name(self) -> str:
        """As DVC has it."""
        words = [self.seed] if self.experiment == self.stage else [self.experiment, self.seed]
        return f"{self.stage}@{'-'.join(map(str, words))}"


class Card(NamedTuple):
    """The part of a card that differs between systems; lines of Markdown, but for the first."""

    what: str  # it is, and how it stands to the paper
    use: list[str]  # code, after `rule = vsml.load(…)`
    made_by: str  # settings, estimator and optimiser
    made: str  # table of the meta-training
    fares: list[str]


def page(card: Card, item: Item, name: str, commit: str) -> str:
    """The card of a rule that ships as `name`."""
    origin = item.rule.provenance
    profile = "the default profile" if item.settings.root == "." else f"the profile `{Path.cwd().name}`"
    digests = "".join(f"- `{file}`, sha256 `{sha256}`\n" for file, sha256 in origin["data"].items())
    use, fares = "\n".join(card.use), "\n".join(card.fares)
    return f"""\
# {name}

{card.what}

```python
import jax, vsml
from vsml.core.rollout import rollout

rule = vsml.load("{name}")
{use}
```

## How it was made

Experiment `{item.experiment}`, meta-seed {item.seed}, of {profile}, at commit `{commit}`: \
`dvc repro {item.name}` makes it again. {card.made_by}

{digests}- parameters, sha256 of their JSON: `{origin["params"]}`

{card.made}

## How it fares

{fares}
"""


def ends(loss: np.ndarray) -> str:
    """The meta loss of the first and last tenth of some meta-steps."""
    tenth = max(1, len(loss) // 10)
    return f"{loss[:tenth].mean():.3f}, {loss[-tenth:].mean():.3f}"


plus_minus = partial(comparison.plus_minus, digits=3)
