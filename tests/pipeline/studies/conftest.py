"""Profiles of the repository, whose tables are made up with the shapes and about the values of real ones.

`default` is small and has no robustness and no mixes; `mnist` has both, in few; `paper` has all mixes of figure 8;
`tasks` has rules that were meta-trained on few or many tasks.
"""

import contextlib
import itertools
import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from ruamel.yaml import YAML

from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.artifacts import write_rule, write_table
from pipeline.studies import params
from pipeline.studies.learning.measures import METHODS
from pipeline.studies.learning.params import Task
from pipeline.studies.learning.tables import SYNTHETIC
from pipeline.studies.params import Params
from pipeline.studies.unification.measures import PAIRS
from vsml.tasks.datasets import SETS

CLASSES = {name: facts.classes for name, facts in SETS.items()} | SYNTHETIC
ENDS = {  # accuracy of VSML late in an episode; 0.9 on other sets
    "digits": 0.88,
    "wine": 0.95,
    "breast_cancer": 0.94,
    "mnist": 0.87,
    "fashion_mnist": 0.76,
    "kmnist": 0.6,
    "emnist": 0.5,
    "cifar10": 0.25,
    "random": 0.97,
    "sum_sign": 0.8,
}
SKILL = {  # share of that which others reach, on sets that meta-training has seen and on others
    "vsml": (1.0, 0.97),
    "meta_rnn": (1.02, 0.25),
    "fast_memory": (0.9, 0.5),
    "hebbian": (0.85, 0.65),
    "sgd": (0.97, 0.97),
    "adam": (0.96, 0.96),
    **dict.fromkeys(("nearest_mean", "ridge", "naive_bayes"), (0.9, 0.9)),
}
PACE = {"sgd": 60.0, "adam": 70.0}  # examples; everybody else's is 25


def must_be_legible(drawn: Figure) -> None:
    """No words of a figure overlap, and none are cut off."""
    FigureCanvasAgg(drawn).draw()
    found = [text for text in drawn.findobj(Text) if text.get_text().strip() and text.get_visible()]
    boxes = [(text.get_text(), text.get_window_extent()) for text in found]
    for words, box in boxes:
        assert box.x0 > -1 and box.y0 > -1, words
        assert box.x1 < drawn.bbox.x1 + 1 and box.y1 < drawn.bbox.y1 + 1, words
    for (words, a), (others, b) in itertools.combinations(boxes, 2):
        shared = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)  # pixels, 100 an inch
        assert min(shared) < 2, f"{words!r} is over {others!r}"


def _folder(name: str) -> Path:
    return paths.ROOT if name == "default" else paths.ROOT / "profiles" / name


def _write_params(name: str) -> None:
    """The params.yaml of a profile, with little that takes long and more of what is seldom run."""
    tree = YAML(typ="safe", pure=True).load(_folder(name) / "params.yaml")
    items = tree["items"]
    if name == "default":
        more = {name: {"graph": {"name": name, "hidden": 16, "density": 1.0}} for name in ("hidden", "recurrent")}
        tree["recall"]["experiments"] = {"direct": {}} | more | tree["recall"]["experiments"]
        tree["recall"]["tests"]["thorough"] += list(more)
        items |= {
            "recall": list(tree["recall"]["experiments"]),
            "clones": [0],
            "shipped_clones": [0],
            "feedback_seeds": [0, 1, 2],
        }
        items["figures"]["recall"].append("recall_ablations")
        items["figures"]["learning"].append("variants")
    if name == "mnist":
        mix = {"data": {"sets": ["fashion_mnist", "kmnist", "random"]}}
        tree["experiments"] |= {f"{method}_on_all_but_mnist": mix for method in METHODS}
        items |= {"experiments": list(tree["experiments"]), "seeds": [0, 1, 2, 3]}
        items["train_sets"] += ["fashion_mnist", "kmnist"]
    if name == "paper":
        tree["tests"] |= {"episodes": 4, "length": 600}
        items |= {"feedback": [], "feedback_seeds": []}
        items["figures"]["feedback"] = []
    Path("params.yaml").write_text(json.dumps(tree))  # JSON is YAML


def _correct(learner: str, task: str, found: Params, *key: int, skill: float = 1.0) -> np.ndarray:
    """[lifetime, time]: right or wrong, at chances that rise with the examples seen."""
    random = np.random.default_rng([zlib.crc32(f"{learner} {task}".encode()), *key])
    kind, base = learner.partition("_on_")[0].removesuffix("_hidden"), _tasks(found, found.tests.suites)[task].set
    seen = learner not in found.experiments or base in found.experiments[learner].data.sets
    guess = 1 / CLASSES[base]
    length = min(found.tests.length, {"wine": 178, "iris": 150}.get(base, 10**6))
    gain = (ENDS.get(base, 0.9) - guess) * SKILL.get(kind, SKILL["vsml"])[0 if seen else 1] * skill
    if task.endswith(("_21px", "_shuffled")):
        gain *= 0.9 if task.endswith("_21px") else 0.97
    chance = guess + gain * (1 - np.exp(-np.arange(length) / PACE.get(kind, 25.0)))
    chance = chance + 0.02 * random.standard_normal((found.tests.episodes, 1))
    return random.random((found.tests.episodes, length)) < chance


def _tasks(found: Params, suites: Iterable[str]) -> dict[str, Task]:
    return {name: task for suite in suites for name, task in found.tests.suites[suite].items()}


def _answer(correct: np.ndarray, task: str, found: Params) -> np.ndarray:
    """[..., episode, time]: whoever is wrong on an example answers one of two wrong classes, the first more often."""
    classes = CLASSES[_tasks(found, found.tests.suites)[task].set]
    label = np.random.default_rng(zlib.crc32(task.encode())).integers(classes, size=correct.shape[-2:])
    other = np.random.default_rng(int(correct.sum())).random(correct.shape) < 0.3
    return ((label + ~correct * (1 + other)) % classes).astype(np.uint8)


Columns = dict[str, tuple[Any, str]]  # arrays, each with the names of its axes


def _write(path: Path, columns: Columns) -> None:
    arrays = {name: array for name, (array, _) in columns.items()}
    write_table(path, arrays, {name: axes.split() for name, (_, axes) in columns.items()})


def _fill(found: Params) -> None:
    items = found.items
    for name in items.test_sets:
        y = (np.arange(620) % CLASSES[name]).astype(np.int32)
        x = np.zeros((620, SETS[name].features), np.uint8)
        _write(paths.test_data(name), {"x": (x, "example feature"), "y": (y, "example")})
    for experiment, seed in itertools.product(items.experiments, items.seeds):
        _fill_rule(found, experiment, seed)
        tasks = _tasks(found, found.experiments[experiment].suites)
        columns: Columns = {}
        for task in tasks:
            correct = _correct(experiment, task, found, seed)
            columns[f"{task}/correct"] = correct, "lifetime time"
            columns[f"{task}/answer"] = _answer(correct, task, found), "lifetime time"
        if steps := found.experiments[experiment].snapshots:
            first = next(iter(tasks))
            correct = np.stack([_correct(experiment, first, found, seed, step, skill=0.5) for step in steps])
            columns["snapshot"] = np.array(steps), "snapshot"
            columns[f"snapshots/{first}/correct"] = correct, "snapshot lifetime time"
            columns[f"snapshots/{first}/answer"] = _answer(correct, first, found), "snapshot lifetime time"
        _write(paths.meta_test(experiment, seed), columns)
    for experiment, seed in itertools.product(items.introspect, items.seeds):
        random = np.random.default_rng(seed)
        _write(paths.introspect(experiment, seed), _introspection(random, 8) | _interventions(random, found, 8))
    if found.has("unify"):
        _write(paths.unify(), _unification(np.random.default_rng(0), found.unify.seeds))
    for name in items.zoo:
        columns = {}
        for task in _tasks(found, found.defaults.suites):
            columns[f"{task}/correct"] = _correct("zoo", task, found), "lifetime time"
            columns[f"features/{task}/correct"] = _correct("zoo", task, found, 1, skill=1.1), "lifetime time"
        _write(paths.zoo_test(name), columns)
    for name in items.baselines:
        tuned = len(found.baselines[name].grid) > 1
        rates, skills = ((0.001, 0.003, 0.01, 0.03), (0.3, 0.7, 0.9, 1.0)) if tuned else ((np.nan,), (0.97,))
        columns = {"rate": (np.array(rates, np.float32), "rate")}
        for task in _tasks(found, found.baselines[name].suites):
            correct = np.stack([_correct(name, task, found, i, skill=k) for i, k in enumerate(skills)])
            columns[f"{task}/correct"] = correct, "rate lifetime time"
            columns[f"{task}/answer"] = _answer(correct, task, found), "rate lifetime time"
            if found.features_of(name):
                correct = np.stack([_correct(name, task, found, 9, i, skill=k) for i, k in enumerate(skills)])
                columns[f"features/{task}/correct"] = correct, "rate lifetime time"
        _write(paths.baseline(name), columns)
    for seed in items.clones:
        _write(paths.clone_test(seed), _cloning(np.random.default_rng(seed), found))
    for experiment, seed in itertools.product(items.recall, items.recall_seeds):
        _write(paths.recall_test(experiment, seed), _recall(found, experiment, seed))
    for name, seed in itertools.product(items.feedback, items.feedback_seeds):
        _write(paths.feedback_test(name, seed), _feedback(np.random.default_rng(seed), found, name))


def _fill_rule(found: Params, experiment: str, seed: int) -> None:
    random, step = np.random.default_rng(seed), np.arange(400)
    loss = 1.4 * np.exp(-((step - 100 - 25 * seed).clip(0) / 60)) + 0.3 + 0.05 * random.standard_normal(400)
    loss = np.where(step >= 300, loss - 0.15, loss).astype(np.float32)
    loss[200] = np.nan
    curve = {"loss": loss, "grad_norm": loss, "skipped": step == 200, "phase": (step >= 300).astype(np.int32)}
    _write(paths.curve(experiment, seed), {name: (array, "step") for name, array in curve.items()})
    theta = {"cell": {"w": np.zeros((40, 60)), "b": np.zeros(16)}}
    provenance = {"experiment": experiment, "seed": seed, "meta_steps": 400, "params": "0" * 64}
    write_rule(paths.rule(experiment, seed), theta, {"hidden": 16, "message": 8, "ticks": 1}, provenance)


def _introspection(random: np.random.Generator, episodes: int) -> Columns:
    image = np.stack([np.repeat(random.permutation(20), 2) for _ in range(episodes)]).astype(np.int32)
    label, time = image % 10, np.arange(40)
    logits = random.standard_normal((5, episodes, 40, 10))
    gain = np.array([4.5, 1.0, 1.5, 0.3, 0.2])[:, None, None] * (0.15 + 0.85 * (time % 2))
    logits += gain[..., None] * np.eye(10)[label]
    probability = (np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)).astype(np.float32)
    pixels = 8 * image[:2, :, None, None, None] + np.arange(64).reshape(8, 8, 1)
    return {
        "learner": (np.array(["vsml", "sgd", "adam", "sgd_paper", "adam_paper"]), "learner"),
        "rate": (np.array([np.nan, 0.1, 0.01, 0.01, 0.001], np.float32), "learner"),
        "probability": (probability, "learner lifetime time class"),
        "label": (label, "lifetime time"),
        "image": (image, "lifetime time"),
        "pixels": (pixels.astype(np.uint8), "shown time height width colour"),
        "next_probability": (probability, "learner lifetime time class"),
        "next_label": (label, "lifetime time"),
        "next_image": (np.tile(time, (episodes, 1)).astype(np.int32), "lifetime time"),
        "next_pixels": (random.integers(0, 256, (2, 40, 8, 8, 1), np.uint8), "shown time height width colour"),
    }


def _interventions(random: np.random.Generator, found: Params, episodes: int) -> Columns:
    """SGD gains most on the image, and nearly as much on strangers."""
    section = found.introspect
    moments, moved = (
        section.length // section.every,
        np.zeros((5, len(section.ages), episodes, 3, section.gaps + 1, 3, 2)),
    )
    fading = np.exp(-np.arange(section.gaps + 1) / 10)
    for p, gains in enumerate(GAIN.values()):
        for told in (1, 2):  # the right label, or the wrong one
            moved[:, :, :, told, :, p, told - 1] = np.array(gains)[:, None, None, None] * fading
    resets = [f"{kind}_{channel}" for kind in ("hidden", "memory") for channel in range(16)]
    resets += ["hidden", "memory", "memory_starts_random", "memory_starts_zero"]
    cosine = np.array([0.3, 1.0, 0.4, 1.0, 0.4])[:, None, None] + 0.02 * random.standard_normal((5, episodes, moments))
    cosine[1, :, 0] = np.nan
    query_probability = (0.1 + moved + 0.01 * random.random(moved.shape)).astype(np.float32)
    reset = (0.85 - 0.5 * random.random((episodes, 2, len(resets)))).astype(np.float32)
    return {
        "age": (np.array(section.ages, np.int32), "age"),
        "label_shown": (np.array(["nothing", "right", "wrong"]), "label_shown"),
        "query": (np.array(list(GAIN)), "query"),
        "query_probability": (query_probability, "learner age lifetime told gap probe class"),
        "moment": (section.every * np.arange(moments, dtype=np.int32), "moment"),
        "cosine": (cosine.astype(np.float32), "learner lifetime moment"),
        "change": (np.ones(cosine.shape, np.float32), "learner lifetime moment"),
        "reset": (np.array(resets), "reset"),
        "way": (np.array(["initial", "mean"]), "way"),
        "followed": (np.array(["input", "error", "product"]), "followed"),
        "intact_accuracy": (np.full(episodes, 0.85, np.float32), "episode"),
        "reset_accuracy": (reset, "lifetime way reset"),
        "follows": (random.random((episodes, 3, 2, 16)).astype(np.float32), "lifetime followed kind channel"),
    }


def _unification(random: np.random.Generator, seeds: tuple[int, ...]) -> Columns:
    sizes = {"prediction_deviation": 1e-6, "state_deviation": 1e-6, "control_deviation": 0.5}
    sizes |= {"prediction_size": 5.0, "state_size": 1.0, "learning": 3.0}
    shape = (len(PAIRS), len(seeds))
    columns: Columns = {"pair": (np.array(list(PAIRS)), "pair")}
    for name, size in sizes.items():
        columns[name] = (size * 3 ** random.standard_normal(shape)).astype(np.float32), "pair seed"
    for what, count in {"entries": 144, "nonzero": 90, "distinct": 27, "parameters": 18}.items():
        columns[f"matrix/{what}"] = np.array(count, np.int32), ""
    return columns | {"cases": (random.integers(4, size=(4, 4)).astype(np.int32), "source target")}


def _cloning(random: np.random.Generator, found: Params) -> Columns:
    """A clone that is as good as SGD, and whose updates miss more in the layer above."""
    section = found.clone_test
    columns: Columns = {"learner": (np.array(["clone", "improved", "sgd"]), "learner")}
    columns["term"] = np.array(TERMS), "term"
    for name, hidden_layers in itertools.product(section.sets, section.networks):
        task = f"{name}-784-" + "".join(f"{units}-" for units in hidden_layers) + "10"
        shape, layers = (section.episodes, section.stretches), len(hidden_layers) + 1
        rise = 0.9 - 0.4 / np.arange(1, section.stretches + 1)
        wanted = np.ones((*shape, layers, len(TERMS)))
        missed = np.stack([wanted * 0.01 * np.arange(1, layers + 1)[:, None], wanted], -1).astype(np.float32)
        correct = random.random((*shape, 3, section.length)) < np.array([0.6, 0.8, 0.6])[:, None]
        held_out = (rise[:, None] + 0.01 * random.random((*shape, 3))).astype(np.float32)
        columns |= {
            f"{task}/correct": (correct, "lifetime stretch learner time"),
            f"{task}/held_out": (held_out, "lifetime stretch learner"),
            f"{task}/agree": (np.full(shape, 0.97, np.float32), "lifetime stretch"),
            f"{task}/missed": (missed, "lifetime stretch layer term square"),
        }
    return columns


def _recall(found: Params, experiment: str, seed: int) -> Columns:
    """A rule that forgets slowly what it was to remember, better than Hebb and worse than the delta rule."""
    random = np.random.default_rng([zlib.crc32(experiment.encode()), seed])
    section, bits = found.recall.tests, found.recall.size
    horizons = np.array(found.recall.experiments[experiment].training.horizons, np.int32)
    episodes, exams = 4, section.length - section.settled
    chance = 0.5 + 0.45 * np.exp(-np.arange(section.lags) / horizons[:, None] / 2)
    chance = chance if experiment != "frozen" else 0 * chance + 0.5
    kept = np.broadcast_to(chance[:, None, None], (len(horizons), episodes, section.length, section.lags))
    late = np.broadcast_to(chance[:, None], (len(horizons), episodes, section.lags))
    right = random.binomial(bits, kept).astype(np.int8)
    right[..., np.arange(section.length)[:, None] < np.arange(section.lags)] = -1
    columns: Columns = {"right": (right, "horizon lifetime time lag"), "horizon": (horizons, "horizon")}
    columns["loss"] = np.array([1.0, 0.3]), "end"
    numbers = {"bits": bits, "settled": section.settled, "moments": exams, "synapses": 64, "numbers": 500}
    columns |= {name: (np.array(number, np.int32), "") for name, number in numbers.items()}
    if experiment not in section.thorough:
        return columns
    columns["rule"] = np.array(["hebb", "delta"]), "rule"
    columns["rate"] = np.array([0, 0.5], np.float32), "rule"
    columns["decay"] = np.array([0.9, 1.0]), "rule"
    fixed = np.array([0.7, 0.95])[:, None, None] * np.ones((2, episodes, section.lags)) * bits * exams
    for kind in ("noise", "correlation"):
        levels = np.array(getattr(section, kind), np.float32)
        columns[kind] = levels, kind
        for name, values, axis in (("right", late * bits * exams, "horizon"), ("fixed", fixed, "rule")):
            worse = np.rint([(1 - level) * values for level in levels]).astype(np.int32)
            columns[f"{kind}/{name}"] = worse, f"{kind} {axis} lifetime lag"
    summed = {"fixed": (fixed, "rule"), "pseudo_inverse": (late * bits * exams, "horizon")}
    for size in section.sizes:
        summed |= {f"size_{size}/right": (late * size * exams, "horizon")}
        summed |= {f"size_{size}/fixed": (fixed * size / bits, "rule")}
    summed |= {f"transfer_{network.name}/right": (0.6 * late * bits * exams, "horizon") for network in section.transfer}
    for name, (values, axis) in summed.items():
        columns[name] = np.rint(values).astype(np.int32), f"{axis} lifetime lag"
    ages, gaps = found.introspect.ages, found.introspect.gaps
    query_probability = np.full((len(horizons), len(ages), episodes, 3, gaps + 1, 3, 2), 0.1)
    # One exposure is remembered for as long as it is to be.
    lasts = np.arange(gaps + 1) < horizons[:, None]
    query_probability[:, :, :, 1, :, 0, 0] += 0.6 * lasts[:, None, None] * (1 + 0.1 * random.random((episodes, 1)))
    query_probability[:, :, :, 1, :, 2, 0] += 0.1
    columns["query_probability"] = query_probability.astype(np.float32), "horizon age lifetime told gap probe class"
    columns["age"] = np.array(ages, np.int32), "age"
    if experiment == "direct":
        ends = np.linspace(-1.5, 1.5, 13, dtype=np.float32)
        columns["ends"] = ends, "pre"
        for name, held in (("fresh", 0.0), ("stored", 1.0)):  # it learns by the delta rule
            change = ends[:, None] * (ends[None, :] - held * ends[:, None])
            columns[f"{name}/change"] = np.stack([change] * len(horizons)).astype(np.float32), "horizon pre post"
            columns[f"{name}/held"] = np.full(len(horizons), held, np.float32), "horizon"
    return columns


def _feedback(random: np.random.Generator, found: Params, name: str) -> Columns:
    """FLP learns well and forgets nothing, second-order descent better and as little, first-order badly."""
    section = found.feedback.experiments[name]
    parts, layers, episodes = section.task.parts, section.learner.plastic, 6
    method = name.partition("_on_")[0]
    level = {"flp": 0.03, "second_order": 0.005, "first_order": 1.0}[method]
    fade = {"flp": 0.0, "second_order": 0.01, "first_order": 0.5}[method]
    age = np.arange(1, parts + 1)[:, None] - np.arange(1, parts + 1)[None]  # parts since then; negative: not yet
    loss = np.concatenate([np.full((1, parts), 5.0), np.where(age < 0, 5.0, level + fade * age.clip(0))])
    loss = loss * (1 + 0.1 * random.random((2, episodes, 1, 1)))
    correct = np.where(loss < 5, 1 - 0.1 * loss, 1 / parts).astype(np.float32)
    loss[1] = 5.0
    effect = np.where(np.eye(parts, dtype=bool), -0.1, {"flp": -0.004}.get(method, 0.003)).astype(np.float32)
    effect = np.broadcast_to(effect, (2, episodes, parts, parts, parts))
    cosine = np.linspace(*((0.02, 0.2) if method == "flp" else (0.9, 0.6)), layers)
    return {
        "loss": (loss.astype(np.float32), "theta lifetime moment part"),
        "correct": (correct, "theta lifetime moment part"),
        "cosine": ((cosine + 0.01 * random.random((2, episodes, layers))).astype(np.float32), "theta lifetime layer"),
        "effect": (effect, "theta lifetime stretch part other"),
        "task": (np.array(section.task.name), ""),
        "in_order": (np.array(section.task.in_order), ""),
        "theta": (np.array(["learned", "initial"]), "theta"),
    }


TERMS = ("products", "bias", "kept weight", "kept bias", "learned weight", "learned bias", "below")
GAIN = {  # of VSML, SGD, Adam, and those two at the paper's rates
    "same": (0.4, 0.9, 0.1, 0.06, 0.01),
    "other": (0.15, 0.8, 0.08, 0.03, 0.01),
    "stranger": (0, 0.7, 0.05, 0.02, 0),
}


class Folders(dict[str, Path]):
    """The folders of the profiles; each is filled when it is first asked for, and only stages write there then."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def __missing__(self, name: str) -> Path:
        self[name] = folder = self.root / name
        folder.mkdir()
        with contextlib.chdir(folder):
            _write_params(name)
            Path("dvc.yaml").symlink_to(_folder(name) / "dvc.yaml")
            _fill(params.read())
            provenance.write_plans()
        return folder


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> Folders:
    return Folders(tmp_path_factory.mktemp("profiles"))


@pytest.fixture
def enter(folders, monkeypatch) -> Callable[[str], Params]:
    """Go into the folder of a profile, and get its parameters."""

    def go(name: str) -> Params:
        monkeypatch.chdir(folders[name])
        return params.read()

    return go


@pytest.fixture
def profile(enter, folders) -> Path:
    """The folder of the default profile, as current folder."""
    enter("default")
    return folders["default"]


@pytest.fixture
def items(profile):
    return params.read().items
