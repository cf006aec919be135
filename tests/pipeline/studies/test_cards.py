"""Cards of rules that ship: made-up rules and tables in, Markdown out."""

import shutil

import jax
import numpy as np
import pytest

from pipeline.run import artifacts, paths
from pipeline.run.params import plain
from pipeline.show import figures
from pipeline.studies import cards, params, ship
from pipeline.studies.feedback import measures as feedback
from pipeline.studies.recall import measures as recall
from vsml.recall.graphs import GRAPHS
from vsml.recall.rules import Rules

ORIGIN = {"experiment": "any", "seed": "1", "meta_steps": 5, "data": {}, "params": "c0ffee" * 10}
CURVE = {"loss": np.linspace(2, 1, 20, dtype=np.float32), "skipped": np.arange(20) == 19}


@pytest.fixture
def learned(profile, tmp_path, monkeypatch):
    """A profile with a rule of each system, every one of meta-seed 1."""
    shutil.copytree(profile, tmp_path / "profile")
    monkeypatch.chdir(tmp_path / "profile")
    own = params.read()
    section = own.recall.experiments["direct"]
    rules, graph = Rules(**plain(section.rules)), GRAPHS["direct"](8, 8, 0, 1.0)
    horizons = list(section.training.horizons)
    thetas = jax.vmap(lambda key: rules.init_theta(graph, key))(jax.random.split(jax.random.key(0), len(horizons)))
    settings = {"name": "recall", "size": 8, "horizons": horizons, "loss": {"first": 0.99, "last": 0.5}}
    settings |= {"graph": plain(section.graph), "rules": plain(section.rules)}
    artifacts.write_rule(paths.recall_train("direct", 1), thetas, settings, ORIGIN)
    theta = {
        "forward": {"0": {"w": np.zeros((6, 8)), "b": np.zeros(8)}, "1": {"w": np.zeros((8, 1)), "b": np.zeros(1)}}
    }
    feedback = plain(own.feedback.experiments["flp_on_sines"].learner)
    artifacts.write_rule(paths.feedback_rule("flp_on_sines", 1), theta, feedback, ORIGIN)
    artifacts.write_table(paths.feedback_curve("flp_on_sines", 1), CURVE, dict.fromkeys(CURVE, ("step",)))
    artifacts.write_rule(paths.rule("vsml", 1), {"cell": {"w": np.zeros((40, 60))}}, {"hidden": 16}, ORIGIN)
    phases = len(own.experiments["vsml"].curriculum)
    curve = {"loss": np.tile(CURVE["loss"], phases), "skipped": np.tile(CURVE["skipped"], phases)}
    curve["phase"] = np.repeat(np.arange(phases), 20)
    artifacts.write_table(paths.curve("vsml", 1), curve, dict.fromkeys(curve, ("step",)))
    return own


def _card(own, experiment):
    item, _ = ship.found(own, experiment, 1)
    return cards.page(ship.SYSTEMS[item.stage].card(item), item, "chosen", "abc123")


def _cells(card, row):
    (line,) = (line for line in card.splitlines() if line.startswith(f"| {row} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_a_card_of_vsml_has_its_phases_and_its_accuracy_on_each_task(learned):
    card = _card(learned, "vsml")
    assert "`dvc repro meta_train@vsml-1`" in card and "2,400 numbers that every connection" in card
    assert card.count("| 19 | ") == card.count("| 2.000, 1.053 |") == len(learned.experiments["vsml"].curriculum)
    correct = figures.read(("meta_test/vsml-1.npz",))["meta_test/vsml-1.npz"].arrays["iris/correct"]
    (line,) = (line for line in card.splitlines() if line.startswith("| Iris | 100 |"))
    accuracy = correct[:, :100].mean(1)
    assert line == f"| Iris | 100 | {accuracy.mean():.3f} ± {accuracy.std(ddof=1):.3f} | {len(accuracy)} |"


@pytest.mark.parametrize("experiment", ["direct", "flp_on_sines"])
def test_a_card_says_where_its_rule_is_from_and_how_to_load_it(learned, experiment):
    card = _card(learned, experiment)
    stage = "recall_train" if experiment == "direct" else "feedback_train"
    assert card.startswith("# chosen\n") and 'rule = vsml.load("chosen")' in card
    assert f"meta-seed 1, of the default profile, at commit `abc123`: `dvc repro {stage}@{experiment}-1`" in card
    assert ORIGIN["params"] in card and "No data set" in card


def test_a_card_recall_is_one_of_a_reconstruction_and_has_its_seed_beside_all(learned):
    card = _card(learned, "direct")
    assert "**reconstruction**" in card and "only the abstract is known" in card
    assert "| 0.990, 0.500 |" in card and "664 numbers for each of the horizons [2, 4, 8, 16]" in card
    tables = figures.read(("recall_test/*.npz",))
    episodes = recall.last(tables, "direct")[4]
    this, seeds, hebb, delta = _cells(card, "4")
    assert this == f"{episodes[1].mean():.3f} ± {episodes[1].std(ddof=1):.3f}"
    assert seeds == f"{episodes.mean():.3f} ± {episodes.mean(1).std(ddof=1):.3f}"
    assert (hebb, delta) == ("0.701", "0.951")
    assert "over seeds (n = 3)" in card


def test_a_card_feedback_has_its_seed_beside_its_newborn_and_the_other_learners(learned):
    card = _card(learned, "flp_on_sines")
    assert "features=6, classes=1" in card and "| 2500 | 1 | 1 | 2.000, 1.053 |" in card
    tables = figures.read(("feedback_test/*.npz",))
    episodes = feedback.tested(tables)["flp_on_sines"].worth()
    assert _cells(card, "this rule") == [f"{episodes[1].mean():.3f} ± {episodes[1].std(ddof=1):.3f}"]
    assert _cells(card, "this rule, not meta-trained")[0].startswith("5.0")
    assert _cells(card, "FLP, all seeds") == [f"{episodes.mean():.3f} ± {episodes.mean(1).std(ddof=1):.3f}"]
    assert _cells(card, "first-order gradient, all seeds")[0] > "1"


def test_what_a_profile_has_not_learned_or_is_too_large_is_refused_by_name(learned, monkeypatch):
    with pytest.raises(ValueError, match=r"'direkt' is none of the experiments of the profile \["):
        ship.found(learned, "direkt", 1)
    with pytest.raises(ValueError, match=r"'recall_test/direct-7.npz' is none of the tests of the profile \['rec"):
        ship.found(learned, "direct", 7)
    with pytest.raises(FileNotFoundError, match=r"recall_train/direct-0.npz is missing"):
        ship.found(learned, "direct", 0)
    items = learned.items.model_copy(update={"feedback": ("direct",)})
    with pytest.raises(ValueError, match="'direct' is an experiment of recall_train and of feedback_train"):
        ship.found(learned.model_copy(update={"items": items}), "direct", 1)
    theta = {"forward": {"0": {"w": np.zeros((6, 10_000)), "b": np.zeros(10_000)}}}
    artifacts.write_rule(paths.feedback_rule("flp_on_sines", 2), theta, {"name": "descent"}, ORIGIN)
    with pytest.raises(ValueError, match=r"feedback_train/flp_on_sines-2/rule.npz has \d+,\d+ bytes, and rules that"):
        ship.found(learned, "flp_on_sines", 2)
