"""A profile whose tables are made up, with the shapes and about the values of real ones."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from pipeline import params, paths
from pipeline.artifacts import write_rule, write_table

CLASSES = {"digits": 10, "wine": 3, "breast_cancer": 2, "iris": 3, "random": 10, "sum_sign": 2}
LENGTHS = {"digits": 480, "wine": 178, "breast_cancer": 480, "iris": 150, "random": 480, "sum_sign": 480}
ENDS = {  # accuracy reached late in a life
    "vsml": {"digits": 0.88, "wine": 0.95, "breast_cancer": 0.94, "iris": 0.9, "random": 0.97, "sum_sign": 0.8},
    "sgd": {"digits": 0.85, "wine": 0.97, "breast_cancer": 0.95, "iris": 0.88, "random": 0.93, "sum_sign": 0.95},
    "adam": {"digits": 0.84, "wine": 0.96, "breast_cancer": 0.95, "iris": 0.86, "random": 0.9, "sum_sign": 0.9},
}
PACE = {"vsml": 25.0, "sgd": 60.0, "adam": 70.0}
LIVES = 16


def _correct(random, learner, dataset, lives, skill=1.0):
    kind = learner.removesuffix("_hidden")
    guess, end = 1 / CLASSES[dataset], ENDS[kind][dataset] * (0.98 if kind != learner else 1)
    chance = guess + (end - guess) * skill * (1 - np.exp(-np.arange(LENGTHS[dataset]) / PACE[kind]))
    chance = chance + 0.03 * random.standard_normal((lives, 1))
    return random.random((lives, LENGTHS[dataset])) < chance


def _fill(random):
    for name in ("digits", "wine", "breast_cancer", "iris"):
        y = np.arange(600) % CLASSES[name]
        x = np.zeros((600, 2), np.float32)
        split = {"x_train": x[:0], "y_train": y[:0], "x_test": x, "y_test": y}
        write_table(paths.data(name), split, {k: ("example", "feature")[: v.ndim] for k, v in split.items()})
    for seed in range(3):
        step = np.arange(400)
        loss = 1.4 * np.exp(-((step - 100 - 25 * seed).clip(0) / 60)) + 0.3 + 0.05 * random.standard_normal(400)
        loss = np.where(step >= 300, loss - 0.15, loss).astype(np.float32)
        curve = {"loss": loss, "grad_norm": loss, "skipped": step == 200, "phase": (step >= 300).astype(np.int32)}
        curve["loss"][200] = np.nan
        write_table(paths.curve("vsml", seed), curve, dict.fromkeys(curve, ("step",)))
        theta = {"cell": {"w": np.zeros((40, 60)), "b": np.zeros(16)}}
        provenance = {"experiment": "vsml", "seed": seed, "meta_steps": 400, "data": "digits", "params": "0" * 64}
        write_rule(paths.rule("vsml", seed), theta, {"hidden": 16, "message": 8, "ticks": 1}, provenance)
        table = {f"{name}/correct": _correct(random, "vsml", name, LIVES) for name in CLASSES}
        write_table(paths.meta_test("vsml", seed), table, dict.fromkeys(table, ("life", "time")))
        write_table(paths.introspect("vsml", seed), *_introspection(random, lives=8))
    for name in ("sgd", "adam", "sgd_hidden", "adam_hidden"):
        skills = (0.3, 1.0, 0.6)
        table = {f"{s}/correct": np.stack([_correct(random, name, s, LIVES, k) for k in skills]) for s in CLASSES}
        axes = dict.fromkeys(table, ("rate", "life", "time")) | {"rate": ("rate",)}
        write_table(paths.baseline(name), {**table, "rate": np.array([0.001, 0.003, 0.03], np.float32)}, axes)


def _introspection(random, lives):
    image = np.stack([np.repeat(random.permutation(20), 2) for _ in range(lives)]).astype(np.int32)
    label, time = image % 10, np.arange(40)
    logits = random.standard_normal((3, lives, 40, 10))
    gain = np.array([4.5, 1.0, 1.5])[:, None, None] * (0.15 + 0.85 * (time % 2))
    logits += gain[..., None] * np.eye(10)[label]
    probability = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    arrays = {
        "probability": probability.astype(np.float32),
        "label": label,
        "image": image,
        "learner": np.array(["vsml", "sgd", "adam"]),
        "rate": np.array([np.nan, 0.1, 0.01], np.float32),
    }
    axes = {"probability": ("learner", "life", "time", "class"), "label": ("life", "time"), "image": ("life", "time")}
    return arrays, axes | {"learner": ("learner",), "rate": ("learner",)}


@pytest.fixture(scope="session")
def filled(tmp_path_factory):
    folder = tmp_path_factory.mktemp("profile")
    shutil.copy(paths.ROOT / "params.yaml", folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        _fill(np.random.default_rng(0))
    return folder


@pytest.fixture
def profile(filled, monkeypatch) -> Path:
    """The folder of the profile, as current folder; only what a stage makes is written there."""
    monkeypatch.chdir(filled)
    return filled


@pytest.fixture
def items(profile):
    return params.read().items
