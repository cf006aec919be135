"""Three profiles whose tables are made up, with the shapes and about the values of real ones.

`default` is small and has no robustness and no mixes; `mnist` has both, in few; `paper` has all 44 mixes of figure 8.
"""

import json
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.run import job as provenance
from pipeline.run import paths
from pipeline.run.artifacts import write_rule, write_table
from pipeline.studies import params
from pipeline.studies.learning.mixes import METHODS
from pipeline.studies.learning.params import Task
from pipeline.studies.params import Figures, Params
from pipeline.studies.stages import figure_module
from pipeline.studies.unification.measures import METHODS as METHODS_UNIFIED

CLASSES = {"digits": 10, "wine": 3, "breast_cancer": 2, "iris": 3, "random": 10, "sum_sign": 2, "emnist": 62}
ENDS = {  # accuracy of VSML late in a life
    "digits": 0.88,
    "wine": 0.95,
    "breast_cancer": 0.94,
    "iris": 0.9,
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
}
PACE = {"sgd": 60.0, "adam": 70.0}  # examples; everybody else's is 25
RATES = (0.001, 0.003, 0.01, 0.03)
FIGURES = ("meta_training", "online_learning", "generalisation", "association", "introspection", "channels")
FEEDBACK = ("feedback_sines", "feedback_few_shot", "feedback_updates")
BASELINES = ("sgd", "adam", "sgd_hidden", "adam_hidden")
RECALL = ("recall_horizons", "recall_forgetting", "recall_rule", "recall_ablations", "recall_association")
DRAWN = {  # what the items.figures of each profile are
    "default": (*FIGURES, "random_features", "unification", "cloning", "improvement", *RECALL, *FEEDBACK),
    "mnist": (*FIGURES, "random_features", "robustness", "varying_data"),
    "paper": (*FIGURES, "robustness", "varying_data", "cloning"),
}


def by_study(names: Iterable[str]) -> dict[str, list[str]]:
    """Some figures as the `items.figures` of a profile has them."""
    found: dict[str, list[str]] = {study: [] for study in Figures.model_fields}
    for name in names:
        found[figure_module(name).split(".")[2]].append(name)
    return found


def _suite(*names: str) -> dict:
    return {name: {"set": name} for name in names}


ROBUSTNESS = {
    f"{base}_{key}": {"set": base} | changed
    for base in ("mnist", "fashion_mnist")
    for key, changed in {
        "unchanged": {},
        "classes": {"classes": [5, 8, 1, 4, 2]},
        "48px": {"inputs": 48},
        "21px": {"inputs": 21},
        "projected": {"view": "projected"},
        "shuffled": {"view": "shuffled"},
    }.items()
}
FIVE = ("mnist", "fashion_mnist", "random", "emnist", "kmnist")
ALL_MIXES = {name: (name,) for name in FIVE} | {"all": FIVE}
ALL_MIXES |= {f"all_but_{name}": tuple(other for other in FIVE if other != name) for name in FIVE}


def _mixed(mixes: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {f"{method}_on_{mix}": sets for method in METHODS for mix, sets in mixes.items()}


SHAPES = {
    "default": {
        "trained_on": {"vsml": ("digits",)},
        "changed": None,
        "suites": {"generalisation": _suite("digits", "wine", "breast_cancer", "iris", "random", "sum_sign")},
        "seeds": (0, 1, 2),
        "tests": (16, 480),
        "horizons": (50, 100),
    },
    "mnist": {
        "trained_on": {"vsml": ("mnist",)}
        | {
            name: sets
            for name, sets in _mixed(
                {"mnist": ("mnist",), "all_but_mnist": ("fashion_mnist", "kmnist", "random")}
            ).items()
            if name != "vsml_on_mnist"  # which is vsml itself
        },
        "changed": "vsml",
        "suites": {
            "generalisation": _suite("mnist", "fashion_mnist", "kmnist", "random", "sum_sign"),
            "robustness": ROBUSTNESS,
        },
        "seeds": (0, 1, 2, 3),
        "tests": (8, 2000),
        "horizons": (100, 300, 1000),
    },
    "paper": {
        "trained_on": {"vsml": ("mnist",), "robust": ("mnist",)} | _mixed(ALL_MIXES),
        "changed": "robust",
        "suites": {"generalisation": _suite(*FIVE, "sum_sign", "cifar10"), "robustness": ROBUSTNESS},
        "seeds": (0,),
        "tests": (4, 600),
        "horizons": (100, 300),
    },
}


def _write_params(name: str) -> None:
    """The params.yaml of a made-up profile: the sections of the default one, under other items."""
    shape = SHAPES[name]
    tree = YAML(typ="safe", pure=True).load(paths.ROOT / "params.yaml")
    more = {name: {"graph": {"name": name, "hidden": 16, "density": 1.0}} for name in ("hidden", "recurrent")}
    tree["recall"]["experiments"] = {"direct": {}} | more | tree["recall"]["experiments"]
    tree["recall"]["tests"]["thorough"] += list(more)
    data = {exp: tree["defaults"]["data"] | {"sets": list(sets)} for exp, sets in shape["trained_on"].items()}
    drawn_from = {sets for sets in sum(shape["trained_on"].values(), ()) if sets != "random"}
    tested_on = {task["set"] for suite in shape["suites"].values() for task in suite.values()}
    lives, length = shape["tests"]
    home = shape["trained_on"]["vsml"][0]
    tree |= {
        "root": "." if name == "default" else "../..",
        "items": {
            "train_sets": sorted(drawn_from),
            "test_sets": sorted(tested_on - {"random", "sum_sign"}),
            "experiments": list(shape["trained_on"]),
            "introspect": ["vsml"],
            "seeds": list(shape["seeds"]),
            "clones": [] if name == "mnist" else [0],
            "zoo": ["mnist", "digits"] if name == "default" else ["mnist"],
            "baselines": list(BASELINES),
            "figures": by_study(DRAWN[name]),
            "recall": list(tree["recall"]["experiments"]) if name == "default" else ["direct"],
            "recall_seeds": [0, 1, 2] if name == "default" else [0],
            "feedback": tree["items"]["feedback"],
            "feedback_seeds": list(shape["seeds"]),
        },
        "tests": {"lives": lives, "length": length, "seed": 1000, "suites": shape["suites"]},
        "results": {"horizons": list(shape["horizons"])},
        "experiments": {
            exp: {
                "data": data[exp],
                "suites": ["generalisation"] * (exp != "robust") + ["robustness"] * (exp == shape["changed"]),
            }
            for exp in data
        },
        "introspect": tree["introspect"] | {"set": home},
        "clone": tree["clone"] | {"shadow": tree["clone"]["shadow"] | {"set": home}},
        "improve": tree["improve"] | {"set": home},
        "clone_test": tree["clone_test"] | {"sets": [home]},
    }
    Path("params.yaml").write_text(json.dumps(tree))  # JSON is YAML


def _correct(learner: str, task: str, found: Params, *key: int, skill: float = 1.0) -> np.ndarray:
    """[life, time]: right or wrong, at chances that rise with the examples seen."""
    random = np.random.default_rng([zlib.crc32(f"{learner} {task}".encode()), *key])
    kind, base = learner.partition("_on_")[0].removesuffix("_hidden"), _tasks(found, found.tests.suites)[task].set
    seen = learner not in found.experiments or base in found.experiments[learner].data.sets
    guess = 1 / CLASSES.get(base, 10)
    length = min(found.tests.length, {"wine": 178, "iris": 150}.get(base, 10**6))
    gain = (ENDS[base] - guess) * SKILL.get(kind, SKILL["vsml"])[0 if seen else 1] * skill
    if task.endswith(("_21px", "_shuffled")):
        gain *= 0.9 if task.endswith("_21px") else 0.97
    chance = guess + gain * (1 - np.exp(-np.arange(length) / PACE.get(kind, 25.0)))
    chance = chance + 0.02 * random.standard_normal((found.tests.lives, 1))
    return random.random((found.tests.lives, length)) < chance


def _tasks(found: Params, suites: Iterable[str]) -> dict[str, Task]:
    return {name: task for suite in suites for name, task in found.tests.suites[suite].items()}


def _fill(found: Params) -> None:
    for name in found.items.test_sets:
        y = (np.arange(620) % CLASSES.get(name, 10)).astype(np.int32)
        write_table(
            paths.test_data(name),
            {"x": np.zeros((620, 2), np.uint8), "y": y},
            {"x": ("example", "feature"), "y": ("example",)},
        )
    for experiment in found.items.experiments:
        for seed in found.items.seeds:
            _fill_rule(found, experiment, seed)
            lived = _tasks(found, found.experiments[experiment].suites)
            table = {f"{task}/correct": _correct(experiment, task, found, seed) for task in lived}
            write_table(paths.meta_test(experiment, seed), table, dict.fromkeys(table, ("life", "time")))
    for experiment in found.items.introspect:
        for seed in found.items.seeds:
            random = np.random.default_rng(seed)
            (arrays, axes), (more, their_axes) = _introspection(random, lives=8), _interventions(random, found, lives=8)
            write_table(paths.introspect(experiment, seed), arrays | more, axes | their_axes)
    write_table(paths.unify(), *_unification(np.random.default_rng(0), found.unify.seeds))
    for name in found.items.zoo:
        lived = _tasks(found, found.defaults.suites)
        table = {f"{task}/correct": _correct("zoo", task, found) for task in lived}
        table |= {f"features/zoo_{name}/{task}/correct": _correct("zoo", task, found, 1, skill=1.1) for task in lived}
        named: dict[str, tuple[str, ...]] = dict.fromkeys(table, ("life", "time"))
        for rival in found.random_features.baselines:
            skills = [
                np.stack([_correct(rival, task, found, 9, i, skill=k) for i, k in enumerate((0.7, 1.0, 0.9))])
                for task in lived
            ]
            more = {f"features/{rival}/{task}/correct": values for task, values in zip(lived, skills, strict=True)}
            table |= more | {f"rate/{rival}": np.array([0.01, 0.03, 0.1], np.float32)}
            named |= dict.fromkeys(more, ("rate", "life", "time")) | {f"rate/{rival}": ("rate",)}
        write_table(paths.zoo_test(name), table, named)
    for seed in found.items.clones:
        write_table(paths.clone_test(seed), *_cloning(np.random.default_rng(seed), found))
    for experiment in found.items.recall:
        for seed in found.items.recall_seeds:
            write_table(paths.recall_test(experiment, seed), *_recall(found, experiment, seed))
    for name in found.items.feedback:
        for seed in found.items.feedback_seeds:
            write_table(paths.feedback_test(name, seed), *_feedback(np.random.default_rng(seed), found, name))
    for name in found.items.baselines:
        lived = _tasks(found, found.baselines[name].suites)
        skills = (0.3, 0.7, 0.9, 1.0)
        each = {task: [_correct(name, task, found, i, skill=k) for i, k in enumerate(skills)] for task in lived}
        table = {f"{task}/correct": np.stack(values) for task, values in each.items()}
        axes = dict.fromkeys(table, ("rate", "life", "time")) | {"rate": ("rate",)}
        write_table(paths.baseline(name), {**table, "rate": np.array(RATES, np.float32)}, axes)


def _fill_rule(found: Params, experiment: str, seed: int) -> None:
    random, step = np.random.default_rng(seed), np.arange(400)
    loss = 1.4 * np.exp(-((step - 100 - 25 * seed).clip(0) / 60)) + 0.3 + 0.05 * random.standard_normal(400)
    loss = np.where(step >= 300, loss - 0.15, loss).astype(np.float32)
    curve = {"loss": loss, "grad_norm": loss, "skipped": step == 200, "phase": (step >= 300).astype(np.int32)}
    curve["loss"][200] = np.nan
    write_table(paths.curve(experiment, seed), curve, dict.fromkeys(curve, ("step",)))
    theta = {"cell": {"w": np.zeros((40, 60)), "b": np.zeros(16)}}
    provenance = {"experiment": experiment, "seed": seed, "meta_steps": 400, "params": "0" * 64}
    write_rule(paths.rule(experiment, seed), theta, {"hidden": 16, "message": 8, "ticks": 1}, provenance)


def _introspection(random: np.random.Generator, lives: int) -> tuple[dict, dict]:
    image = np.stack([np.repeat(random.permutation(20), 2) for _ in range(lives)]).astype(np.int32)
    label, time = image % 10, np.arange(40)
    logits = random.standard_normal((5, lives, 40, 10))
    gain = np.array([4.5, 1.0, 1.5, 0.3, 0.2])[:, None, None] * (0.15 + 0.85 * (time % 2))
    logits += gain[..., None] * np.eye(10)[label]
    probability = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    arrays = {
        "probability": probability.astype(np.float32),
        "label": label,
        "image": image,
        "learner": np.array(["vsml", "sgd", "adam", "sgd_paper", "adam_paper"]),
        "rate": np.array([np.nan, 0.1, 0.01, 0.01, 0.001], np.float32),
    }
    axes = {"probability": ("learner", "life", "time", "class"), "label": ("life", "time"), "image": ("life", "time")}
    arrays |= {
        "next_probability": arrays["probability"],
        "next_label": label,
        "next_image": np.tile(time, (lives, 1)).astype(np.int32),
        "pixels": (8 * image[:2, :, None, None, None] + np.arange(64).reshape(8, 8, 1)).astype(np.uint8),
        "next_pixels": random.integers(0, 256, (2, 40, 8, 8, 1), np.uint8),
    }
    axes |= {f"next_{name}": axes[name] for name in ("probability", "label", "image")}
    axes |= dict.fromkeys(("pixels", "next_pixels"), ("shown", "time", "height", "width", "colour"))
    return arrays, axes | {"learner": ("learner",), "rate": ("learner",)}


def _unification(random: np.random.Generator, seeds: tuple[int, ...]) -> tuple[dict, dict]:
    sizes = {"prediction_deviation": 1e-6, "state_deviation": 1e-6, "control_deviation": 0.5}
    sizes |= {"prediction_size": 5.0, "state_size": 1.0, "learning": 3.0}
    shape = (len(METHODS_UNIFIED), len(seeds))
    arrays: dict = {
        name: (size * 3 ** random.standard_normal(shape)).astype(np.float32) for name, size in sizes.items()
    }
    axes: dict = dict.fromkeys(arrays, ("pair", "seed")) | {"pair": ("pair",), "cases": ("source", "target")}
    counts = {"entries": 144, "nonzero": 90, "distinct": 27, "parameters": 18}
    arrays |= {f"matrix/{what}": np.array(count, np.int32) for what, count in counts.items()}
    arrays |= {"pair": np.array(list(METHODS_UNIFIED)), "cases": random.integers(4, size=(4, 4)).astype(np.int32)}
    return arrays, axes | {f"matrix/{what}": () for what in counts}


def _cloning(random: np.random.Generator, found: Params) -> tuple[dict, dict]:
    """A clone that is as good as SGD, and whose updates miss more in the layer above."""
    section = found.clone_test
    arrays: dict = {"learner": np.array(["clone", "improved", "sgd"]), "term": np.array(TERMS)}
    axes: dict = {"learner": ("learner",), "term": ("term",)}
    for name in section.sets:
        for hidden_layers in section.networks:
            task = f"{name}-784-" + "".join(f"{units}-" for units in hidden_layers) + "10"
            shape, layers = (section.lives, section.stretches), len(hidden_layers) + 1
            rise = 0.9 - 0.4 / np.arange(1, section.stretches + 1)
            wanted = np.ones((*shape, layers, len(TERMS)))
            missed = wanted * 0.01 * np.arange(1, layers + 1)[:, None]
            arrays |= {
                f"{task}/correct": random.random((*shape, 3, section.length)) < np.array([0.6, 0.8, 0.6])[:, None],
                f"{task}/held_out": (rise[:, None] + 0.01 * random.random((*shape, 3))).astype(np.float32),
                f"{task}/agree": np.full(shape, 0.97, np.float32),
                f"{task}/missed": np.stack([missed, wanted], -1).astype(np.float32),
            }
            axes |= {
                f"{task}/correct": ("life", "stretch", "learner", "time"),
                f"{task}/held_out": ("life", "stretch", "learner"),
                f"{task}/agree": ("life", "stretch"),
                f"{task}/missed": ("life", "stretch", "layer", "term", "square"),
            }
    return arrays, axes


def _recall(found: Params, experiment: str, seed: int) -> tuple[dict, dict]:
    """A rule that forgets slowly what it was to remember, better than Hebb and worse than the delta rule."""
    random = np.random.default_rng([zlib.crc32(experiment.encode()), seed])
    section, bits = found.recall.tests, found.recall.size
    horizons = np.array(found.recall.experiments[experiment].training.horizons, np.int32)
    lives, exams = 4, section.length - section.settled
    chance = 0.5 + 0.45 * np.exp(-np.arange(section.lags) / horizons[:, None] / 2)
    chance = chance if experiment != "frozen" else 0 * chance + 0.5
    kept = np.broadcast_to(chance[:, None, None], (len(horizons), lives, section.length, section.lags))
    late = np.broadcast_to(chance[:, None], (len(horizons), lives, section.lags))
    right = random.binomial(bits, kept).astype(np.int8)
    right[..., np.arange(section.length)[:, None] < np.arange(section.lags)] = -1
    numbers = {"bits": bits, "settled": section.settled, "exams": exams, "synapses": 64, "numbers": 500}
    arrays: dict = {"right": right, "horizon": horizons, "loss": np.array([1.0, 0.3])}
    axes: dict = {"right": ("horizon", "life", "time", "lag"), "horizon": ("horizon",), "loss": ("end",)}
    arrays |= {name: np.array(number, np.int32) for name, number in numbers.items()}
    axes |= dict.fromkeys(numbers, ())
    if experiment not in section.thorough:
        return arrays, axes
    grid = {"rule": np.array(["hebb", "delta"]), "rate": np.array([0, 0.5], np.float32), "decay": np.array([0.9, 1.0])}
    fixed = np.array([0.7, 0.95])[:, None, None] * np.ones((2, lives, section.lags)) * bits * exams
    summed = {"fixed": (fixed, "rule"), "pseudo_inverse": (late * bits * exams, "horizon")}
    for kind in ("noise", "correlation"):
        levels = np.array(getattr(section, kind), np.float32)
        arrays[kind], axes[kind] = levels, (kind,)
        for name, (values, axis) in {"right": (late * bits * exams, "horizon"), "fixed": (fixed, "rule")}.items():
            arrays[f"{kind}/{name}"] = np.rint([(1 - level) * values for level in levels]).astype(np.int32)
            axes[f"{kind}/{name}"] = (kind, axis, "life", "lag")
    for size in section.sizes:
        summed |= {f"size_{size}/right": (late * size * exams, "horizon")}
        summed |= {f"size_{size}/fixed": (fixed * size / bits, "rule")}
    summed |= {f"transfer_{network.name}/right": (0.6 * late * bits * exams, "horizon") for network in section.transfer}
    for name, (values, axis) in summed.items():
        arrays[name], axes[name] = np.rint(values).astype(np.int32), (axis, "life", "lag")
    ages, gaps = found.introspect.ages, found.introspect.gaps
    belief = np.full((len(horizons), len(ages), lives, 3, gaps + 1, 3, 2), 0.1)
    # One sighting is remembered for as long as it is to be.
    lasts = np.arange(gaps + 1) < horizons[:, None]
    belief[:, :, :, 1, :, 0, 0] += 0.6 * lasts[:, None, None] * (1 + 0.1 * random.random((lives, 1)))
    belief[:, :, :, 1, :, 2, 0] += 0.1
    arrays |= {"belief": belief.astype(np.float32), "age": np.array(ages, np.int32)}
    axes |= {"belief": ("horizon", "age", "life", "told", "gap", "probe", "class"), "age": ("age",)}
    if experiment == "direct":
        ends = np.linspace(-1.5, 1.5, 13, dtype=np.float32)
        for name, held in (("fresh", 0.0), ("stored", 1.0)):  # it learns by the delta rule
            change = ends[:, None] * (ends[None, :] - held * ends[:, None])
            arrays[f"{name}/change"] = np.stack([change] * len(horizons)).astype(np.float32)
            arrays[f"{name}/held"] = np.full(len(horizons), held, np.float32)
            axes |= {f"{name}/change": ("horizon", "pre", "post"), f"{name}/held": ("horizon",)}
        arrays, axes = arrays | {"ends": ends}, axes | {"ends": ("pre",)}
    return arrays | grid, axes | dict.fromkeys(grid, ("rule",))


def _feedback(random: np.random.Generator, found: Params, name: str) -> tuple[dict, dict]:
    """FLP learns well and forgets nothing, second-order descent better and as little, first-order badly."""
    section = found.feedback.experiments[name]
    parts, layers, lives = section.task.parts, section.learner.plastic, 6
    method = name.partition("_on_")[0]
    level = {"flp": 0.03, "second_order": 0.005, "first_order": 1.0}[method]
    fade = {"flp": 0.0, "second_order": 0.01, "first_order": 0.5}[method]
    age = np.arange(1, parts + 1)[:, None] - np.arange(1, parts + 1)[None]  # parts since then; negative: not yet
    loss = np.concatenate([np.full((1, parts), 5.0), np.where(age < 0, 5.0, level + fade * age.clip(0))])
    loss = loss * (1 + 0.1 * random.random((2, lives, 1, 1)))
    effect = np.where(np.eye(parts, dtype=bool), -0.1, {"flp": -0.004}.get(method, 0.003))
    shape = (2, lives, parts, parts, parts)
    cosine = np.linspace(*((0.02, 0.2) if method == "flp" else (0.9, 0.6)), layers) + 0.01 * random.random(
        (2, lives, layers)
    )
    arrays = {
        "loss": loss.astype(np.float32),
        "correct": np.where(loss < 5, 1 - 0.1 * loss, 1 / parts).astype(np.float32),
        "cosine": cosine.astype(np.float32),
        "effect": np.broadcast_to(effect, shape).astype(np.float32),
        "task": np.array(section.task.name),
        "in_order": np.array(section.task.in_order),
        "theta": np.array(["learned", "newborn"]),
    }
    arrays["loss"][1] = 5.0
    axes = {name: ("theta", "life", "moment", "part") for name in ("loss", "correct")} | {"theta": ("theta",)}
    axes |= {"cosine": ("theta", "life", "layer"), "effect": ("theta", "life", "stretch", "part", "other")}
    return arrays, axes | {"task": (), "in_order": ()}


TERMS = ("products", "bias", "kept weight", "kept bias", "learned weight", "learned bias", "below")
GAIN = {  # of VSML, SGD, Adam, and those two at the paper's rates
    "same": (0.4, 0.9, 0.1, 0.06, 0.01),
    "other": (0.15, 0.8, 0.08, 0.03, 0.01),
    "stranger": (0, 0.7, 0.05, 0.02, 0),
}


def _interventions(random: np.random.Generator, found: Params, lives: int) -> tuple[dict, dict]:
    """SGD gains most on the image, and nearly as much on strangers."""
    section = found.introspect
    moments, moved = section.length // section.every, np.zeros((5, len(section.ages), lives, 3, section.gaps + 1, 3, 2))
    fading = np.exp(-np.arange(section.gaps + 1) / 10)
    for p, gains in enumerate(GAIN.values()):
        for told in (1, 2):  # the right label, or the wrong one
            moved[:, :, :, told, :, p, told - 1] = np.array(gains)[:, None, None, None] * fading
    resets = [f"{kind}_{channel}" for kind in ("hidden", "memory") for channel in range(16)]
    resets += ["hidden", "memory", "memory_born_random", "memory_born_zero"]
    cosine = np.array([0.3, 1.0, 0.4, 1.0, 0.4])[:, None, None] + 0.02 * random.standard_normal((5, lives, moments))
    cosine[1, :, 0] = np.nan
    arrays = {
        "age": np.array(section.ages, np.int32),
        "told": np.array(["nothing", "right", "wrong"]),
        "probe": np.array(list(GAIN)),
        "belief": (0.1 + moved + 0.01 * random.random(moved.shape)).astype(np.float32),
        "moment": section.every * np.arange(moments, dtype=np.int32),
        "cosine": cosine.astype(np.float32),
        "change": np.ones(cosine.shape, np.float32),
        "reset": np.array(resets),
        "way": np.array(["newborn", "mean"]),
        "followed": np.array(["input", "error", "product"]),
        "intact_accuracy": np.full(lives, 0.85, np.float32),
        "reset_accuracy": (0.85 - 0.5 * random.random((lives, 2, len(resets)))).astype(np.float32),
        "follows": random.random((lives, 3, 2, 16)).astype(np.float32),
    }
    names = {name: (name,) for name in ("age", "told", "probe", "moment", "reset", "way", "followed")}
    axes = names | {
        "belief": ("learner", "age", "life", "told", "gap", "probe", "class"),
        "cosine": ("learner", "life", "moment"),
        "change": ("learner", "life", "moment"),
        "intact_accuracy": ("life",),
        "reset_accuracy": ("life", "way", "reset"),
        "follows": ("life", "followed", "kind", "channel"),
    }
    return arrays, axes


@pytest.fixture(scope="session")
def folders(tmp_path_factory) -> dict[str, Path]:
    """The folders of the profiles, filled; only what a stage makes is written there."""
    made = {name: tmp_path_factory.mktemp("profiles") / name for name in SHAPES}
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in made.items():
            folder.mkdir()
            patch.chdir(folder)
            _write_params(name)
            Path("dvc.yaml").symlink_to(paths.ROOT / "dvc.yaml")
            _fill(params.read())
            provenance.main([])
    return made


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
