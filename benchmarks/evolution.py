"""Evolution strategies: meta-steps a second and memory, each population in a process of its own.

Memory that a process has once touched is never given back to its peak, so two populations in one process would
share the higher one.
"""

import json
import resource
import subprocess
import sys
from typing import Any

import jax
import numpy as np

from benchmarks.cases import Case
from benchmarks.measure import seconds
from vsml.core.scores import cross_entropy
from vsml.meta.estimators import across_devices, antithetic_es
from vsml.meta.losses import lifetime_loss

POPULATIONS, AT_ONCE, LENGTH = (64, 1024), 8, 20
CASE = Case("64-10", (64, 10), POPULATIONS[0])


def in_a_process(population: int, rounds: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks", "--population", str(population), "--rounds", str(rounds)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The process of population {population} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def main(population: int, rounds: int) -> None:
    """Print, as the last line, what one population takes."""
    loss = lifetime_loss(CASE.ours(), cross_entropy)
    run = jax.jit(across_devices(antithetic_es(loss, std=0.05, at_once=AT_ONCE), jax.devices()))
    theta = CASE.ours().init_theta(jax.random.key(0))
    arguments = (theta, jax.random.split(jax.random.key(1), population), CASE.draw(LENGTH))
    compiled = run.lower(*arguments).compile()
    memory = compiled.memory_analysis()
    before = peak_bytes()  # Python, JAX and the compiler
    jax.block_until_ready(compiled(*arguments))
    taken = [seconds(compiled, *arguments) for _ in range(rounds)]
    found = {
        "population": population,
        "at_once_per_device": AT_ONCE,
        "meta_steps_per_s": 1 / float(np.median(taken)),
        "working_bytes": None if memory is None else memory.temp_size_in_bytes,
        "peak_bytes_before": before,
        "peak_bytes": peak_bytes(),
    }
    print(json.dumps(found))


def peak_bytes() -> int:
    """The most memory that this process has held; of the host, so on a GPU the working bytes are what counts."""
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
