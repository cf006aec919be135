"""Fixed rules that remember in one linear map W from cues to answers: what a learned rule is held against.

    hebb            W <- decay W + x y^T
    delta           W <- decay W + rate x (y - x W) / n        rate 1 stores the newest snippet exactly
    pseudo_inverse  W = X^+ Y of the last snippets             not online: it sees all of them at once

The recalled answer is sign(x W). Textbook rules: Hebb (1949), Widrow and Hoff (1960), Kohonen (1972).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

DECAYS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.7, 0.6, 0.5)
RATES = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1)
DELTA_DECAYS = (1.0, 0.95, 0.9)
GRID = [("hebb", 0.0, decay) for decay in DECAYS]
GRID += [("delta", rate, decay) for rate in RATES for decay in DELTA_DECAYS]  # (rule, rate, decay)


def maps(cue: Float[Array, "time n"], answer: Float[Array, "time n"]) -> Float[Array, "time rule n n"]:
    """W of each rule of the grid, in its order, after each snippet; all begin at 0."""
    delta = jnp.array([float(name == "delta") for name, _, _ in GRID])[:, None]
    rate = jnp.array([rate if name == "delta" else 1.0 for name, rate, _ in GRID])[:, None, None]
    decay = jnp.array([decay for _, _, decay in GRID])[:, None, None]
    share = jnp.where(delta > 0, 1 / cue.shape[1], 1.0)[..., None]

    def step(w: Float[Array, "rule n n"], snippet) -> tuple[Array, Array]:
        x, y = snippet
        wanted = y[None, :] - delta * jnp.einsum("i,rij->rj", x, w)
        w = decay * w + rate * share * x[None, :, None] * wanted[:, None, :]
        return w, w

    n = cue.shape[1]
    return jax.lax.scan(step, jnp.zeros((len(GRID), n, n)), (cue, answer))[1]


def pseudo_inverse(
    cue: Float[Array, "time n"], answer: Float[Array, "time n"], horizon: int
) -> Float[Array, "time n n"]:
    """W after each snippet, for the last `horizon` of them; fewer at the start."""

    def last(rows: Float[Array, "time n"]) -> Float[Array, "time horizon n"]:
        when = jnp.arange(len(rows))[:, None] - jnp.arange(horizon)[None, :]
        return jnp.where((when >= 0)[..., None], rows[jnp.maximum(when, 0)], 0.0)

    return jnp.linalg.pinv(last(cue)) @ last(answer)


def recalled(
    w: Float[Array, "time *rule n n"], cues: Float[Array, "time asked n"], answers: Float[Array, "time asked n"]
) -> Float[Array, "time *rule asked"]:
    """How many bits of each answer sign(x W) gets right; a 0 is wrong."""
    for _ in range(w.ndim - 3):
        cues, answers = cues[:, None], answers[:, None]
    return ((cues @ w) * answers > 0).sum(-1).astype(jnp.float32)
