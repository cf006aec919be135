"""Clones learn data sets by unrolling alone, beside true SGD on the same examples (the paper's section 4.1)."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, PartitionSpec

from pipeline.run import artifacts, paths
from pipeline.run.job import Job
from pipeline.run.params import plain
from pipeline.studies.cloning.params import CloneTest
from pipeline.track.tracking import Run
from vsml.cloning import training_tasks
from vsml.cloning.clone import Form
from vsml.cloning.trial import LEARNERS, Stretch, run_episode
from vsml.core.types import Episode
from vsml.tasks.datasets import SETS, standardise

AXES = {
    "correct": ("episode", "stretch", "learner", "time"),
    "held_out": ("episode", "stretch", "learner"),
    "agree": ("episode", "stretch"),
    "missed": ("episode", "stretch", "layer", "term", "square"),
}


def main(job: Job, run: Run) -> None:
    section, (seed,) = job.params.clone_test, job.item
    thetas = artifacts.read_rule(paths.clone(seed)).theta, artifacts.read_rule(paths.improve(seed)).theta
    form, rate = Form(**plain(job.params.clone.form)), job.params.clone.rate
    arrays: dict[str, np.ndarray] = {"learner": np.array(LEARNERS), "term": np.array(training_tasks.TERMS)}
    axes: dict[str, tuple[str, ...]] = {"learner": ("learner",), "term": ("term",)}
    for name, hidden_layers in ((name, layers) for name in section.sets for layers in section.networks):
        sizes = (SETS[name].features, *hidden_layers, SETS[name].classes)
        task = "-".join(map(str, (name, *sizes)))  # as in digits-64-32-10
        found = _episodes(section, form, thetas, rate, name, sizes)
        arrays |= {f"{task}/{what}": np.asarray(values) for what, values in found._asdict().items()}
        axes |= {f"{task}/{what}": AXES[what] for what in Stretch._fields}
        accuracy = zip(LEARNERS, np.asarray(found.held_out)[:, -1].mean(0), strict=True)
        print(f"{task}: test accuracy " + ", ".join(f"{who} {x:.3f}" for who, x in accuracy), flush=True)
    artifacts.write_table(paths.clone_test(seed), arrays, axes)


def _episodes(section: CloneTest, form: Form, thetas, rate: float, name: str, sizes: tuple[int, ...]) -> Stretch:
    """[episode stretch ...]; episodes differ in initial weights, in the examples and in what is held out."""
    facts = SETS[name]
    train, test = (artifacts.read_table(path(name)).arrays for path in (paths.train_data, paths.test_data))
    data = [(jnp.asarray(standardise(facts, split["x"])), jnp.asarray(split["y"])) for split in (train, test)]

    def one(key: jax.Array, thetas, data) -> Stretch:
        init_key, stream_key, test_key, query_key = jax.random.split(key, 4)
        (x, y), (test_x, test_y) = data
        rows = jax.random.randint(stream_key, (section.stretches, section.length), 0, len(y))
        kept = jax.random.permutation(test_key, len(test_y))[: section.held_out]
        asked = jax.random.randint(query_key, (section.queries,), 0, len(y))
        stretches, queries = (Episode(x[at], jax.nn.one_hot(y[at], facts.classes)) for at in (rows, asked))
        return run_episode(form, thetas, init_key, sizes, rate, stretches, (test_x[kept], test_y[kept]), queries)

    def one_by_one(keys: jax.Array, thetas, data) -> Stretch:  # side by side they would not fit into the caches
        return jax.lax.map(lambda key: one(key, thetas, data), keys)

    keys = jax.random.split(jax.random.key(section.seed), section.episodes)
    devices = jax.devices() if section.episodes % len(jax.devices()) == 0 else jax.devices()[:1]
    own, same = PartitionSpec("device"), PartitionSpec()
    mesh = Mesh(devices, ("device",))
    spread = jax.shard_map(one_by_one, mesh=mesh, in_specs=(own, same, same), out_specs=own, check_vma=False)
    return jax.jit(spread)(keys, thetas, data)  # all of it arguments: seeds share a compiled program
