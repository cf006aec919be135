"""Several processes share a population as several devices do: the same theta, to the bit."""

import hashlib
import os
import socket
import subprocess
import sys

import pytest

RUN = """
import sys
import hashlib
import jax
from functools import partial

address, processes, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
if processes > 1:
    jax.distributed.initialize(
        address, processes, number, cluster_detection_method="deactivate", initialization_timeout=60
    )

import numpy as np
import optax
from vsml.core.scores import cross_entropy
from vsml.learners.network import network
from vsml.meta.estimators import across_devices, antithetic_es, backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, guarded, meta_train, on_all, start
from vsml.tasks.synthetic import random_points

assert jax.device_count() == 2 and jax.process_count() == processes
learner = network((3, 2), hidden=4, message=3, ticks=1, backward_pass=False)
draw = jax.tree_util.Partial(partial(random_points, length=6, features=3, classes=2, points=4))
loss = lifetime_loss(learner, cross_entropy)
groups = [Group(across_devices(e, jax.devices()), draw, 4) for e in (backprop(loss), antithetic_es(loss, 0.1, 2))]
optimizer = guarded(optax.adam(0.01), 3)
state = start(learner.init_theta(jax.random.key(0)), optimizer)
state, key = on_all(jax.devices(), (state, jax.random.key(1)))
for _, state, _ in meta_train(groups, optimizer, state, key, 5, 3):
    pass
theta = b"".join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(state.theta))
print("theta", hashlib.sha256(theta).hexdigest())
"""


def _theta(processes):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={2 // processes}"  # the last one counts
    env = os.environ | {"XLA_FLAGS": flags, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", RUN, address, str(processes), str(number)],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(processes)
    ]
    said = []
    try:
        for process in running:
            out, error = process.communicate(timeout=150)
            assert process.returncode == 0, out + error
            said.append(next(line for line in out.splitlines() if line.startswith("theta")))
    finally:
        for process in running:
            process.kill()
    return said


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the CPU collectives of JAX are for Linux")
def test_two_processes_find_the_theta_of_one():
    (alone,) = _theta(1)
    assert _theta(2) == [alone, alone]
    assert alone != f"theta {hashlib.sha256(b'').hexdigest()}"
