"""What the machine can do at best, measured in the same run, and the least that a tick could take by that.

The model of one tick of one sub-RNN with h hidden channels:

    forward     matmul            2 h 4h flops: the gates. Messages drive them once a unit: left out, as are heads
                transcendentals   5 h: a tanh for each of four gates and one for the memory
    gradient    matmul            four times that: forward, the gates once more, and the two products of the gradient
                transcendentals   twice that: nothing but the inputs of a tick is kept
                bytes             4 (2 h + 2 h): hidden and memory, written on the way out and read on the way back

Forward, the states of an episode stay in caches, and count nothing; the gradient's of all of its examples do not. The
least is the sum: matmul and tanh are done by the same vector units, which wait for the memory.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from benchmarks.cases import HIDDEN
from benchmarks.measure import median_s

MATMUL, TANH = 2 * HIDDEN * 4 * HIDDEN, 5 * HIDDEN
PER_TICK = {
    "forward": {"matmul_flops": MATMUL, "transcendentals": TANH},
    "gradient": {"matmul_flops": 4 * MATMUL, "transcendentals": 2 * TANH, "bytes": 4 * 4 * HIDDEN},
}
CELLS = (2_048, 8_192, 65_536)  # of a device: in its caches or, where many are needed to fill it, not
WORK = 2_000_000  # ticks of a measurement on a device


def ceilings() -> dict[str, float]:
    """Operations a second of all devices together, each at the number of cells that suits it best."""
    devices = jax.devices()
    key = jax.random.key(0)
    weights = jax.random.normal(key, (HIDDEN, 4 * HIDDEN)) / HIDDEN
    mesh, shared_out = Mesh(devices, ("device",)), PartitionSpec("device")

    def per_s(function: Callable, cells: int) -> float:
        """Calls a second, on each device, of a function that changes the numbers of so many cells."""
        calls = max(WORK // cells, 1)
        repeat = jax.shard_map(
            lambda own: jax.lax.scan(lambda own, _: (function(own), None), own, None, length=calls)[0],
            mesh=mesh,
            in_specs=shared_out,
            out_specs=shared_out,
        )
        return calls / median_s(repeat, jax.random.normal(key, (len(devices) * cells, HIDDEN)))

    there_and_back = max(cells * per_s(lambda own: (own @ weights) @ weights.T, cells) for cells in CELLS)
    tanh = max(cells * per_s(jnp.tanh, cells) for cells in CELLS)
    large = jnp.ones((64_000_000,))  # 256 MB, more than any cache
    return {
        "matmul_flops": 2 * MATMUL * there_and_back * len(devices),
        "transcendentals": HIDDEN * tanh * len(devices),
        "bytes": 2 * large.nbytes / median_s(lambda x: x * 1.5, large),
    }


def least_ns(found: dict[str, float]) -> dict[str, float]:
    """The least nanoseconds of a tick, forward and with the gradient, by ceilings that were found."""
    return {what: 1e9 * sum(count / found[name] for name, count in counts.items()) for what, counts in PER_TICK.items()}


def over_the_least(ns_per_tick: dict[str, Any], found: dict[str, float]) -> dict[str, dict[str, float]]:
    """How many times the least each form took, by the medians of a race."""
    least = least_ns(found)
    return {
        form: {what: round(ns_per_tick[f"{form} {what}"][1] / least[what], 3) for what in least}
        for form in ("plain", "ours")
    }
