"""Times of ours and of the plain form, taken in turns so that noise hits both, and whether they are equal."""

import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.cases import Case
from vsml.core.scores import cross_entropy
from vsml.core.types import Learner
from vsml.meta.estimators import ValueAndGrad, across_devices, backprop
from vsml.meta.losses import lifetime_loss

PLAIN_NS = 600.0  # a guess at the plain gradient of one tick, to choose the length of an episode by


def programs(learner: Learner, case: Case, devices: list) -> dict[str, ValueAndGrad]:
    """Forward and gradient as meta-training runs them."""
    loss = lifetime_loss(learner, cross_entropy)
    # Forward alone is an estimator that finds no gradient; its groups are those of the gradient.
    forward = _forward(loss, case.at_once)
    return {
        "forward": jax.jit(across_devices(forward, devices)),
        "gradient": jax.jit(across_devices(backprop(loss, case.at_once), devices)),
    }


def _forward(loss, at_once: int | None) -> ValueAndGrad:
    def group(theta, keys, draw):
        def one(key):
            init_key, episode_key = jax.random.split(key)
            return loss(theta, init_key, draw(episode_key))

        return jax.vmap(one)(keys).mean()

    def value_and_nothing(theta, keys, draw):
        groups = keys.reshape(-1, at_once or len(keys))
        return jax.lax.map(lambda keys: group(theta, keys, draw), groups).mean(), ()

    return value_and_nothing


def race(case: Case, budget_s: float, rounds: int) -> dict[str, Any]:
    """All numbers of a case: nanoseconds of a tick (quartiles), speed-ups (paired within a round), equality."""
    devices = jax.devices() if case.episodes > 1 else jax.devices()[:1]
    shorter = case.length(PLAIN_NS / len(devices), budget_s)
    length = {"forward": 4 * shorter, "gradient": shorter}  # forward alone keeps no states
    theta_key, noise_key, init_key = jax.random.split(jax.random.key(0), 3)
    learners = {"plain": case.plain(), "ours": case.ours()}
    theta = _shaken(noise_key, learners["ours"].init_theta(theta_key))
    keys = jax.random.split(init_key, case.episodes)
    arguments = {what: (theta, keys, case.draw(examples)) for what, examples in length.items()}
    runs = {(form, what): run for form, it in learners.items() for what, run in programs(it, case, devices).items()}
    found = {name: jax.block_until_ready(run(*arguments[name[1]])) for name, run in runs.items()}  # compiles, too
    times = {name: [] for name in runs}
    for _ in range(rounds):
        for (form, what), run in runs.items():
            seconds(run, *arguments[what])  # caches and memory are now as this program leaves them
            times[form, what].append(seconds(run, *arguments[what]))
    ticks = {what: case.ticks_per_example() * examples * case.episodes for what, examples in length.items()}
    ns = {name: 1e9 * np.array(taken) / ticks[name[1]] for name, taken in times.items()}
    return {
        "case": case.label,
        "devices": len(devices),
        "length": length,
        "ns_per_tick": {f"{form} {what}": quartiles(v) for (form, what), v in ns.items()},
        # Of so short ones: an episode of 2,000 examples takes as much longer as it has more of them.
        "episodes_per_s": {what: quartiles(case.episodes / np.array(times["ours", what])) for what in length},
        "speed_up": {what: quartiles(ns["plain", what] / ns["ours", what]) for what in ("forward", "gradient")},
        "differs_by": {
            "loss": float(abs(found["plain", "forward"][0] - found["ours", "forward"][0])),
            "gradient": _relative(found["ours", "gradient"][1], found["plain", "gradient"][1]),
        },
    }


def seconds(run: Callable, *arguments: Any) -> float:
    start = time.perf_counter()
    jax.block_until_ready(run(*arguments))
    return time.perf_counter() - start


def median_s(function: Callable, *arguments: Any, rounds: int = 7) -> float:
    run = jax.jit(function)
    jax.block_until_ready(run(*arguments))
    return float(np.median([seconds(run, *arguments) for _ in range(rounds)]))


def _shaken(key: Any, theta: Any) -> Any:
    """Biases start at zero and scales at one, where a mistake in them would not show."""
    leaves, treedef = jax.tree.flatten(theta)
    keys = jax.random.split(key, len(leaves))
    return treedef.unflatten([z + 0.3 * jax.random.normal(k, z.shape) for k, z in zip(keys, leaves, strict=True)])


def _relative(ours: Any, theirs: Any) -> float:
    ours, theirs = (jnp.concatenate([z.ravel() for z in jax.tree.leaves(tree)]) for tree in (ours, theirs))
    return float(jnp.abs(ours - theirs).max() / jnp.abs(theirs).max())


def quartiles(values: np.ndarray) -> list[float]:
    return [round(float(q), 3) for q in np.percentile(values, [25, 50, 75])]
