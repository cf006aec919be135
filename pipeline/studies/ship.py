"""`python -m pipeline ship EXPERIMENT SEED NAME` puts a rule that this profile has learned into vsml/zoo, with a card.

The rule goes as it is, byte for byte, so that its md5 is that of the profile's dvc.lock. It may be of VSML, of rules
that remember or of networks that learn by feedback: whatever this profile has an experiment of that name for. Clones
have the name of their stage, `clone` or `improve`.
"""

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pipeline.run import artifacts, paths
from pipeline.run import job as provenance
from pipeline.run.flow import Flow
from pipeline.run.params import known_or_raise
from pipeline.show import figures
from pipeline.studies import cards, params
from pipeline.studies.cards import Card, Item
from pipeline.studies.cloning import card as cloning
from pipeline.studies.feedback import card as feedback
from pipeline.studies.learning import card as vsml
from pipeline.studies.learning.measures import FEATURES
from pipeline.studies.params import Params
from pipeline.studies.recall import card as recall

LARGEST = 200_000  # bytes; a wheel should not grow by more for one rule


class System(NamedTuple):
    """The items of a profile that are its experiments, the stage that tests its rules, and who writes their cards."""

    items: str
    tests: str
    card: Callable[[Item], Card]


SYSTEMS = {  # by the stage that learns; clones have no experiments but their stage
    "meta_train": System("experiments", "meta_test", vsml.card),
    "recall_train": System("recall", "recall_test", recall.card),
    "feedback_train": System("feedback", "feedback_test", feedback.card),
    "clone": System("learned_clones", "clone_test", cloning.card),
    "improve": System("learned_clones", "clone_test", cloning.card),
}


def main(experiment: str, seed: int, name: str, root: Path = paths.ROOT) -> None:
    """Copy the rule and write its card.

    Raises:
      ValueError: the name will not do, or the profile has no such rule.
      FileNotFoundError: it was not made yet.
    """
    if name.endswith(FEATURES):
        raise ValueError(f"NAME (={name}) must not end in {FEATURES}, by which results name random features.")
    git = provenance.git()
    if git["tree"] != "clean":
        sys.exit(f"The tree is {git['tree']}: commit first, so that the card can say from which code the rule is.")
    zoo = root / "vsml/zoo"
    item, path = found(params.read(), experiment, seed)
    card = cards.page(SYSTEMS[item.stage].card(item), item, name, git["commit"])
    shutil.copyfile(path, zoo / f"{name}.npz")
    artifacts.write_text(zoo / f"{name}.md", card)
    if item.stage == "feedback_train":
        section = item.settings.feedback.experiments[item.experiment]
        artifacts.write_json(zoo / f"{name}.json", feedback.form(section))
    print(f"{zoo / name}.npz and its card are there.")


def found(settings: Params, experiment: str, seed: int) -> tuple[Item, Path]:
    """What the profile has learned from this experiment and seed, and where it lies.

    Raises:
      ValueError: the profile has no such item, or of several systems; or the rule is too large to ship.
      FileNotFoundError: it was not made yet.
    """
    every = {stage: getattr(settings.items, system.items) for stage, system in SYSTEMS.items()}
    every |= {stage: (stage,) for stage in ("clone", "improve") if every[stage]}
    known_or_raise([name for names in every.values() for name in names], experiment, "experiments of the profile")
    stage, *others = (stage for stage, names in every.items() if experiment in names)
    if others:
        raise ValueError(f"{experiment!r} is an experiment of {stage} and of {others[0]}: give one another name.")
    words = (str(seed),) if experiment == stage else (experiment, str(seed))
    made, test = (Flow().item(one, words).outs[0] for one in (stage, SYSTEMS[stage].tests))
    tests = figures.needed((f"{SYSTEMS[stage].tests}/*",))
    known_or_raise(tests, Path(test).relative_to(paths.ARTIFACTS).as_posix(), "tests of the profile")
    path = Path(made)
    rule = artifacts.read_rule(path)
    if (size := path.stat().st_size) > LARGEST:
        wrong = f"{path} has {size:,} bytes, and rules that ship have at most {LARGEST:,}"
        raise ValueError(f"{wrong}: ship a smaller one.")
    return Item(settings, stage, experiment, seed, rule), path
