"""Evolution strategies: episodes a second and memory, each population in a process of its own.

Memory that a process has once touched is never given back to its peak, so two populations in one process would
share the higher one.
"""

import json
import resource
import subprocess
import sys
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.cases import Case
from benchmarks.measure import seconds
from vsml.core.scores import cross_entropy
from vsml.core.types import Learner
from vsml.learners.network import network
from vsml.meta.estimators import across_devices, antithetic_es
from vsml.meta.losses import lifetime_loss

LENGTH = 20  # examples of an episode


class Setting(NamedTuple):
    populations: tuple[int, ...]  # pairs of episodes
    at_once: int  # on each device
    case: Case
    learner: Learner


def setting(gpu: bool) -> Setting:
    """On a GPU that of the paper: 784-10, two ticks, no label and no norm, a population of up to 1,024."""
    if gpu:
        return Setting((128, 512, 1024), 128, Case("784-10", (784, 10), 128), network((784, 10), ticks=2))
    case = Case("64-10", (64, 10), 64)
    return Setting((64, 1024), 8, case, case.ours())


def in_a_process(population: int, rounds: int, gpu: bool) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks", "--population", str(population), "--rounds", str(rounds)]
    command += ["--gpu"] if gpu else []
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The process of population {population} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main(population: int, rounds: int, gpu: bool) -> None:
    """Print, as the last line, what one population takes."""
    own = setting(gpu)
    loss = lifetime_loss(own.learner, cross_entropy)
    run = jax.jit(across_devices(antithetic_es(loss, std=0.05, at_once=own.at_once), jax.devices()))
    theta = own.learner.init_theta(jax.random.key(0))
    arguments = (theta, jax.random.split(jax.random.key(1), population), own.case.draw(LENGTH))
    compiled = run.lower(*arguments).compile()
    memory = compiled.memory_analysis()
    before = peak_bytes()  # Python, JAX and the compiler
    jax.block_until_ready(compiled(*arguments))
    taken = [seconds(compiled, *arguments) for _ in range(rounds)]
    found = {
        "population": population,
        "network": own.case.name,
        "at_once_per_device": own.at_once,
        "meta_steps_per_s": 1 / float(np.median(taken)),
        "episodes_per_s": 2 * population / float(np.median(taken)),
        "working_bytes": None if memory is None else memory.temp_size_in_bytes,
        "peak_bytes_before": before,
        "peak_bytes": peak_bytes(),
    }
    print(json.dumps(found))


def peak_bytes() -> int:
    """The most memory that this process has held; of the host, so on a GPU the working bytes are what counts."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
