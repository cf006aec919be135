"""Cards of rules that ship, as Markdown: card.md has what all say, NAME/card.md what is said of the rules of a study.

A card is filled in with numbers from the profile's params and tables, which the study's card.py gives.
"""

from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
import numpy as np

from pipeline.run.artifacts import Rule
from pipeline.run.params import plain
from pipeline.show.display import lines
from pipeline.studies.learning import ranking
from pipeline.studies.learning.page import size
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
    """The study whose template says what a card says, and what that is filled in with."""

    study: str
    numbers: dict[str, Any]


def page(card: Card, item: Item, name: str, commit: str) -> str:
    """The card of a rule that ships as `name`."""
    profile = "the default profile" if item.settings.root == "." else f"the profile `{Path.cwd().name}`"
    numbers = card.numbers | {"item": item, "size": size(item.rule.theta), "profile": profile}
    return markdown(f"{card.study}/card.md", **numbers, name=name, commit=commit)


def markdown(template: str, **values: Any) -> str:
    """A Markdown template of this folder, filled in."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"lines": lines, "plain": plain, "title": ranking.title}
    return environment.get_template(template).render(values)


def ends(loss: np.ndarray) -> str:
    """The meta loss of the first and last tenth of some meta-steps."""
    tenth = max(1, len(loss) // 10)
    return f"{loss[:tenth].mean():.3f}, {loss[-tenth:].mean():.3f}"


plus_minus = partial(ranking.plus_minus, digits=3)
