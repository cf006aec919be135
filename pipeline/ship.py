"""`python -m pipeline ship EXPERIMENT SEED NAME` puts a rule that this profile has learned into vsml/zoo, with a card.

The rule goes as it is, byte for byte, so that its md5 is that of the profile's dvc.lock.
"""

import shutil
import sys
from pathlib import Path

import numpy as np

from pipeline import artifacts, comparison, figures, params, paths, provenance
from pipeline.params import Experiment, Lives, Params
from pipeline.results import Profile, Tables, by_seed, cumulative, in_order, sd

USAGE = "Usage: python -m pipeline ship EXPERIMENT SEED NAME"
NEEDS = ("meta_train/*/curve.npz", "meta_test/*.npz")


def main(words: list[str], root: Path = paths.ROOT) -> None:
    """Copy the rule and write its card, or say what is missing and exit with 1."""
    if len(words) != 3 or not words[1].isdecimal() or not words[2].isidentifier():
        sys.exit(f"{USAGE}, where SEED is a whole number and NAME a plain word, got {words}.")
    experiment, seed, name = words[0], int(words[1]), words[2]
    git = provenance.git()
    if git["tree"] != "clean":
        sys.exit(f"The tree is {git['tree']}: commit first, so that the card can say from which code the rule is.")
    settings = params.read()
    section = params.known_or_raise(settings.experiments, experiment, "experiments")
    zoo = root / "vsml/zoo"
    text = card(settings, section, experiment, seed, name, git["commit"])
    shutil.copyfile(paths.rule(experiment, seed), zoo / f"{name}.npz")
    artifacts.write_text(zoo / f"{name}.md", text)
    print(f"{zoo / name}.npz and its card are there.")


def card(settings: Params, section: Experiment, experiment: str, seed: int, name: str, commit: str) -> str:
    """What the rule is, what it was made from, how it fares; Markdown."""
    rule = artifacts.read_rule(paths.rule(experiment, seed))
    tables = figures.read(NEEDS, settings.items)
    curve = by_seed(tables, "meta_train", experiment)[seed].arrays
    profile = "the default profile" if settings.root == "." else f"the profile `{Path.cwd().name}`"
    digests = [f"- `{file}`, sha256 `{digest}`" for file, digest in rule.provenance["data"].items()]
    return "\n".join(
        [
            f"# {name}",
            "",
            f"A learned learning algorithm: {_size(rule.theta):,} numbers that every connection of a network shares "
            "(VSML, arXiv 2012.14905). A reproduction in kind: not the authors' rule, and not trained at their scale.",
            "",
            "```python",
            "import jax, vsml",
            "from vsml.core.rollout import rollout",
            "",
            f'rule = vsml.load("{name}")',
            "predictions = rollout(rule.learner(features, classes), rule.theta, jax.random.key(0), episode)",
            "```",
            "",
            "## How it was made",
            "",
            f"Experiment `{experiment}`, meta-seed {seed}, of {profile}, at commit `{commit}`: "
            f"`dvc repro meta_train@{experiment}-{seed}` makes it again. Settings: `{rule.learner}`. "
            f"Estimator: `{params.plain(section.estimator)}`; optimiser: `{params.plain(section.optimizer)}`.",
            "",
            *digests,
            f"- parameters, sha256 of their JSON: `{rule.provenance['params']}`",
            "",
            "| phase | meta-steps | lives of a meta-step | meta loss in nats, first and last tenth |",
            "|--:|--:|:--|--:|",
            *(_phase(number, curve, phase.lives) for number, phase in enumerate(section.curriculum)),
            "",
            "## How it fares",
            "",
            "Cumulative accuracy on test data, from random states: mean ± standard deviation over lives. It has seen "
            f"training data of {' and '.join(map(comparison.title, section.data.sets))} only.",
            "",
            *_results(settings, tables, experiment, seed),
            "",
        ]
    )


def _phase(number: int, curve: dict[str, np.ndarray], lives: tuple[Lives, ...]) -> str:
    loss = curve["loss"][(curve["phase"] == number) & ~curve["skipped"]]
    tenth = max(1, len(loss) // 10)
    kinds = "; ".join(
        f"{one.population} of {one.length} examples, {' or '.join(map(_words, one.inputs))} inputs, "
        f"{' or '.join(map(_words, one.classes))} classes, {' or '.join(one.views)}"
        for one in lives
    )
    return f"| {number + 1} | {len(loss)} | {kinds} | {loss[:tenth].mean():.3f}, {loss[-tenth:].mean():.3f} |"


def _results(settings: Params, tables: Tables, experiment: str, seed: int) -> list[str]:
    arrays = by_seed(tables, "meta_test", experiment)[seed].arrays
    profile = Profile.of(settings)
    found = [key.removesuffix("/correct") for key in arrays if key.endswith("/correct")]
    tasks = in_order(found, [task for task in found if profile.seen(task, experiment)])
    lines = ["| task | examples | accuracy | lives |", "|:--|--:|--:|--:|"]
    for task in tasks:
        accuracy = cumulative(arrays[f"{task}/correct"])
        length = accuracy.shape[-1]
        for moment in (*(horizon for horizon in profile.horizons if horizon < length), length):
            at = accuracy[:, moment - 1]
            lines.append(f"| {comparison.title(task)} | {moment} | {at.mean():.3f} ± {sd(at):.3f} | {len(at)} |")
    return lines


def _words(value: object) -> str:
    return "all" if value is None else str(value)


def _size(theta: dict) -> int:
    return sum(_size(part) if isinstance(part, dict) else part.size for part in theta.values())
