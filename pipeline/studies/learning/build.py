"""Learners and episodes from parameters, for every stage alike: all learners must have the same episodes."""

import functools
import itertools
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import struct
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from pipeline.run import artifacts, paths
from pipeline.studies.learning.params import GENERATED, Baseline, Classes, Data, Descent, EpisodeSizes, Task, Tests
from vsml.core.rollout import rollout
from vsml.core.scores import correct, cross_entropy
from vsml.core.types import Episode, Learner, Theta
from vsml.learners import rivals
from vsml.learners.gradient import gradient
from vsml.learners.settings import image_of
from vsml.tasks import episodes, synthetic
from vsml.tasks.datasets import SETS, standardise
from vsml.tasks.episodes import Draw
from vsml.tasks.views import view

OPTIMIZERS = {"sgd": optax.sgd, "adam": optax.adam}
SIMPLE: dict[str, Callable[..., Learner]] = {  # of features, classes, length of an episode, strength
    "nearest_mean": lambda d, c, length, strength: rivals.nearest_mean(d, c),
    "ridge": lambda d, c, length, strength: rivals.ridge(d, c, strength),
    "naive_bayes": lambda d, c, length, strength: rivals.naive_bayes(d, c, strength),
    "nearest_neighbour": lambda d, c, length, strength: rivals.nearest_neighbour(d, c, length),
}


def baseline_learner(section: Baseline, features: int, classes: int, length: int, rate: float | jax.Array) -> Learner:
    """A baseline for episodes of so many examples, with this value of its grid (`rate`), which may be traced."""
    if not isinstance(section, Descent):
        return SIMPLE[section.name](features, classes, length, rate)
    sizes = (features, *section.hidden_layers, classes)
    image = image_of(features) if section.convolutions else None
    return gradient(sizes, OPTIMIZERS[section.name](rate), image=image, convolutions=section.convolutions)


class Drawn(NamedTuple):
    """Episodes of one size to meta-train on, and the share that they have in the population."""

    inputs: int
    classes: int
    draw: Draw
    share: float


def training_episodes(data: Data, sizes: EpisodeSizes) -> Iterator[Drawn]:
    """All combinations of sets, views, inputs and classes, those of one size together."""
    combinations = list(itertools.product(data.sets, sizes.inputs, sizes.classes, sizes.views))
    members_of: dict[tuple[bool, int, int], list] = {}
    for name, inputs, classes, seen in combinations:
        size = (name in GENERATED, inputs or _features(name), _count(name, classes))
        members_of.setdefault(size, []).append((name, seen, classes))
    for (generated, inputs, count), members in members_of.items():
        if generated:
            draw = _points(sizes.length, inputs, count)
        else:
            tasks = []
            for name, seen, classes in members:
                facts = SETS[name]
                chosen = tuple(range(facts.classes)) if classes is None else classes
                seen = _view(seen, facts.shape, facts.features, inputs)
                tasks.append(episodes.Task(_train_source(name), seen, chosen))
            if data.episodes == "one_shot":
                draw = episodes.one_shot(tasks, data.projections)
            else:
                proportional = data.episodes == "proportional_stream"
                draw = episodes.stream(tasks, sizes.length, data.projections, proportional=proportional)
        yield Drawn(inputs, count, draw, len(members) / len(combinations))


@struct.dataclass
class Trial:
    """The episodes of a task of the tests: `count` long ones, or many more short ones if it is one-shot."""

    keys: jax.Array  # [episode] for initial states
    episodes: Episode  # [episode time …]
    task: str = struct.field(pytree_node=False)
    count: int = struct.field(pytree_node=False)
    one_shot: bool = struct.field(pytree_node=False)

    @property
    def features(self) -> int:
        return self.episodes.x.shape[-1]

    @property
    def classes(self) -> int:
        return self.episodes.y.shape[-1]


def trials(tests: Tests, suites: tuple[str, ...]) -> Iterator[Trial]:
    """The episodes of each task of some suites, spread over the devices if they can be shared out evenly.

    Examples and their order depend on the seed of `tests`, the set of the task and the number of the episode alone, so
    that tasks of one set can be compared episode by episode, unless their classes differ. An episode is as long
    as `tests` says or as the task has examples, whichever is less. Instead of a long episode, one-shot tasks have many
    short ones, as many examples in all.
    """
    for name, task in ((name, task) for suite in suites for name, task in tests.suites[suite].items()):
        task_key = jax.random.fold_in(jax.random.key(tests.seed), zlib.crc32(task.set.encode()))
        init_key, episode_key = jax.random.split(task_key)
        one_shot = task.episodes == "one_shot"
        numbers = jnp.arange(tests.episodes * (tests.length // (_count(task.set, task.classes) + 1) if one_shot else 1))
        fold = jax.vmap(jax.random.fold_in, in_axes=(None, 0))
        drawn = jax.jit(jax.vmap(_test_draw(task, tests.length)))(fold(episode_key, numbers))
        keys, devices = fold(init_key, numbers), jax.devices()
        if len(numbers) % len(devices) == 0:
            sharding = NamedSharding(Mesh(devices, ("device",)), PartitionSpec("device"))
            keys, drawn = jax.device_put((keys, drawn), sharding)
        yield Trial(keys, drawn, name, tests.episodes, one_shot)


def run_trial(learner: Learner, theta: Theta, trial: Trial) -> dict[str, jax.Array]:
    """What came of every prediction that counts [episode, time]: the class that was answered, whether it was correct,
    and the loss in nats.

    Of a one-shot task time counts episodes.
    """
    numbers = np.min_scalar_type(trial.classes - 1)  # a byte, unless there are more than 256

    def one(key: jax.Array, episode: Episode) -> dict[str, jax.Array]:
        logits, y = rollout(learner, theta, key, episode), episode.y
        if trial.one_shot:
            logits, y = logits[-1:], y[-1:]
        answer = jnp.argmax(logits, axis=-1).astype(numbers)
        return {"answer": answer, "correct": correct(logits, y), "loss": cross_entropy(logits, y)}

    outcome = jax.vmap(one)(trial.keys, trial.episodes)
    return {kind: values.reshape(trial.count, -1) for kind, values in outcome.items()}


def run_trial_at_rates(
    section: Baseline, trial: Trial, widened: Callable[[Callable], Callable] = lambda sized: sized
) -> dict[str, np.ndarray]:
    """The same [rate, episode, time] of a baseline at each value of its grid; `widened` may change its inputs."""

    @jax.jit
    def at(rate: jax.Array, trial: Trial) -> dict[str, jax.Array]:
        length = trial.episodes.x.shape[1]
        sized = widened(functools.partial(baseline_learner, section, length=length, rate=rate))
        return run_trial(sized(trial.features, trial.classes), (), trial)

    rates = np.asarray(section.grid, np.float32)
    outcomes = [at(rate, trial) for rate in rates]  # one after the other: the weights of all would be too many
    found = {kind: np.stack([np.asarray(outcome[kind]) for outcome in outcomes]) for kind in outcomes[0]}
    accuracy = found["correct"].mean((1, 2))
    best = int(accuracy.argmax())
    chosen = "" if np.isnan(rates[best]) else f" at the best of its grid, {rates[best]:g}"
    print(f"{section.name}, {trial.task}: {accuracy[best]:.3f}{chosen}", flush=True)
    return found


def _test_draw(task: Task, length: int) -> Draw:
    if task.set in GENERATED:
        inputs = task.inputs or _features(task.set)
        if task.set == "random":
            return _points(length, inputs, 10)
        return functools.partial(synthetic.sum_sign, length=length, features=inputs)
    facts, table = SETS[task.set], artifacts.read_table(paths.test_data(task.set)).arrays
    x, y = table["x"], table["y"]
    inputs = task.inputs or facts.features
    seen = view(task.view, facts.shape, facts.features, inputs)
    if task.episodes == "one_shot":
        classes = task.classes or tuple(range(len(np.unique(y))))
        return episodes.one_shot([episodes.Task(episodes.Source(facts, x, y), seen, classes)])
    if isinstance(task.classes, int):
        raise ValueError(f"classes (={task.classes}) of a test task must be a list, or null for all: name which.")
    classes = task.classes or tuple(range(facts.classes))
    chosen = np.isin(y, classes)
    number = np.zeros(facts.classes, np.int32)
    number[list(classes)] = np.arange(len(classes))
    x, y = standardise(facts, x)[chosen], number[y[chosen]]

    def draw(key: jax.Array) -> Episode:
        order_key, view_key = jax.random.split(key)
        episode = episodes.test_episode(order_key, x, y, len(classes), min(length, len(y)))
        if task.view == "raw" and inputs == facts.features:
            return episode
        return episode._replace(x=episode.x @ seen(view_key))

    return draw


def _points(length: int, inputs: int, classes: int) -> Draw:
    draw = functools.partial(synthetic.random_points, length=length, features=inputs, classes=classes)
    return jax.tree_util.Partial(draw)


# Tasks share a set and a view by identity.
_view = functools.cache(view)


@functools.cache
def _train_source(name: str) -> episodes.Source:
    table = artifacts.read_table(paths.train_data(name)).arrays
    return episodes.Source(SETS[name], table["x"], table["y"])


def _features(name: str) -> int:
    if name in GENERATED:
        raise ValueError(f"inputs must be given for {name}, which is generated in any size: name a number.")
    return SETS[name].features


def _count(name: str, classes: Classes) -> int:
    if classes is None:
        return 10 if name in GENERATED else SETS[name].classes
    return classes if isinstance(classes, int) else len(classes)
