"""What the machine can do at best, measured in the same run, and what a tick asks of it.

The model of one tick of one sub-RNN in the forward direction, with h hidden channels and n of a message:

    matmul            2 h 4h flops for the gates; messages drive them once a unit, which is left out, as are the heads
    transcendentals   5 h: a tanh for each of four gates and one for the memory
    bytes             4 (2 h read, 2 h written): hidden and memory. What passes between operations comes on top and is
                      what a better compiler would save, so the fraction of the bandwidth is a lower bound

A ceiling is one operation alone on all devices, so fractions of several of them do not add up to one.
"""

from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.cases import HIDDEN
from benchmarks.measure import median_s

PER_TICK = {"matmul_flops": 2 * HIDDEN * 4 * HIDDEN, "transcendentals": 5 * HIDDEN, "bytes": 4 * 4 * HIDDEN}
REPEATS = 20


def ceilings() -> dict[str, float]:
    """Operations a second of the default device, which on a CPU shares all its cores."""
    key = jax.random.key(0)
    cells = 65_536
    hidden = jax.random.normal(key, (cells, HIDDEN))
    weights = jax.random.normal(key, (HIDDEN, 4 * HIDDEN)) / HIDDEN
    square = jax.random.normal(key, (1024, 1024)) / 32
    large = jnp.ones((64_000_000,))  # 256 MB, more than any cache

    def repeat(function):
        def run(carry, *rest):
            return jax.lax.scan(lambda c, _: (function(c, *rest), None), carry, None, length=REPEATS)[0]

        return run

    def there_and_back(c, w):
        return (c @ w) @ w.T

    flat = hidden.reshape(-1, 1024)
    return {
        "cell_matmul_flops": REPEATS
        * 2
        * PER_TICK["matmul_flops"]
        * cells
        / median_s(repeat(there_and_back), hidden, weights),
        "square_matmul_flops": REPEATS * 2 * 1024**3 / median_s(repeat(lambda c, w: c @ w), square, square),
        "transcendentals": REPEATS * hidden.size / median_s(repeat(jnp.tanh), flat),
        "bytes": 2 * large.nbytes / median_s(lambda x: x * 1.5, large),
    }


def fractions(ns_per_tick: float, found: dict[str, float]) -> dict[str, Any]:
    """How much of each ceiling forward ticks at this pace use."""
    pace = 1e9 / ns_per_tick
    return {
        "cell_matmul_flops": pace * PER_TICK["matmul_flops"] / found["cell_matmul_flops"],
        "transcendentals": pace * PER_TICK["transcendentals"] / found["transcendentals"],
        "bytes": pace * PER_TICK["bytes"] / found["bytes"],
    }
