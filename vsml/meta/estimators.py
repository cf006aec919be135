"""Estimators of the meta-gradient, drop-ins for one another: each maps theta and p lifetimes to loss and gradient.

    (theta, keys[p], draw) -> (mean loss over the lifetimes, gradient like theta)

An episode is its key: half of it draws the examples, half is for the learner's initial state. So an estimator that
goes through some episodes after others holds the episodes of those alone. They differ in bias, variance and memory.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jax.tree_util import Partial
from jaxtyping import Array, Float, Key

from vsml.core import draws
from vsml.core.types import Episode, Learner, RandomKey, Theta
from vsml.meta.losses import MetaLoss, Score, lifetime_loss

Draw = Callable[[RandomKey], Episode]  # across `jax.jit` a `Partial`, whose arrays are arguments and no constants
ValueAndGrad = Callable[[Theta, Key[Array, " p"], Draw], tuple[Float[Array, ""], Theta]]

NOISE = 2  # folded into the key of a lifetime; a split in two has used 0 and 1


def backprop(loss: MetaLoss, at_once: int | None = None) -> ValueAndGrad:
    """The exact gradient, through the whole of each episode.

    `at_once` episodes run side by side, by default all of them. Few need less memory and, if what they touch fits
    into the cache of a CPU, less time; a GPU wants many.

    Raises:
      ValueError: `at_once` does not divide the population.
    """

    def mean_loss(theta: Theta, keys: Key[Array, " group"], draw: Draw) -> Float[Array, ""]:
        return jax.vmap(lambda key: loss(theta, *_lifetime(key, draw)))(keys).mean()

    def value_and_grad(theta: Theta, keys: Key[Array, " p"], draw: Draw) -> tuple[Float[Array, ""], Theta]:
        group = jax.value_and_grad(mean_loss)
        return _mean_over_groups(lambda keys: group(theta, keys, draw), theta, keys, at_once or len(keys))

    return value_and_grad


def truncated_bptt(learner: Learner, score: Score, chunk: int, at_once: int | None = None) -> ValueAndGrad:
    """Backprop that does not cross the borders between chunks of `chunk` examples; the state is carried over them."""
    return backprop(lifetime_loss(learner, score, segment=chunk, truncate=True), at_once)


def antithetic_es(loss: MetaLoss, std: float, at_once: int) -> ValueAndGrad:
    """Antithetic evolution strategies, one pair of perturbations for each lifetime.

    Estimates the gradient of E[loss(theta + std noise)] by the mean of noise (L+ - L-) / (2 std). Both of a pair go
    through the same episode with the same key, so that they differ by the perturbation alone. `at_once` pairs run side
    by side, on episodes and perturbations drawn for them then: memory grows with it and not with the population.

    Raises:
      ValueError: `at_once` does not divide the population.
    """

    def pair(theta: Theta, key: RandomKey, draw: Draw) -> tuple[Float[Array, ""], Theta]:
        lifetime = _lifetime(key, draw)
        noise = _normal_like(jax.random.fold_in(key, NOISE), theta)
        above = loss(jax.tree.map(lambda t, n: t + std * n, theta, noise), *lifetime)
        below = loss(jax.tree.map(lambda t, n: t - std * n, theta, noise), *lifetime)
        slope = (above - below) / (2 * std)
        return (above + below) / 2, jax.tree.map(lambda n: slope * n, noise)

    def value_and_grad(theta: Theta, keys: Key[Array, " p"], draw: Draw) -> tuple[Float[Array, ""], Theta]:
        def group(keys: Key[Array, " group"]) -> tuple[Float[Array, ""], Theta]:
            return jax.tree.map(lambda z: z.mean(0), jax.vmap(lambda key: pair(theta, key, draw))(keys))

        return _mean_over_groups(group, theta, keys, at_once)

    return value_and_grad


def across_devices(value_and_grad: ValueAndGrad, devices: list) -> ValueAndGrad:
    """Share the lifetimes out over `devices`, which may be those of several processes, and average what they find.

    Raises:
      ValueError: the devices do not divide the population.
    """
    mesh = Mesh(devices, ("device",))
    everywhere, shared_out = PartitionSpec(), PartitionSpec("device")

    def on_one_device(theta: Theta, keys: Key[Array, " p"], draw: Draw) -> tuple[Float[Array, ""], Theta]:
        return jax.lax.pmean(value_and_grad(theta, keys, draw), "device")

    spread = jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(everywhere, shared_out, everywhere),
        out_specs=everywhere,
        check_vma=False,  # a scan that starts from zeros and ends in data trips the check
    )

    def checked(theta: Theta, keys: Key[Array, " p"], draw: Draw) -> tuple[Float[Array, ""], Theta]:
        if len(keys) % len(devices):
            raise ValueError(
                f"The population (={len(keys)}) must be a multiple of the number of devices (={len(devices)})."
            )
        return spread(theta, keys, draw if isinstance(draw, Partial) else Partial(draw))

    return checked


def _mean_over_groups(
    group: Callable[[Key[Array, " group"]], tuple[Float[Array, ""], Theta]],
    theta: Theta,
    keys: Key[Array, " p"],
    at_once: int,
) -> tuple[Float[Array, ""], Theta]:
    """The mean of what `group` finds of `at_once` lifetimes after another."""
    if len(keys) % at_once:
        raise ValueError(f"at_once (={at_once}) must divide the population (={len(keys)}) of each device.")
    if len(keys) == at_once:
        return group(keys)

    def add(total, keys):
        return jax.tree.map(jnp.add, total, group(keys)), None

    nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, theta))
    total, _ = jax.lax.scan(add, nothing, keys.reshape(-1, at_once))
    return jax.tree.map(lambda t: t * (at_once / len(keys)), total)


def _lifetime(key: RandomKey, draw: Draw) -> tuple[RandomKey, Episode]:
    init_key, episode_key = jax.random.split(key)
    return init_key, draw(episode_key)


def _normal_like(key: RandomKey, theta: Theta) -> Theta:
    leaves, treedef = jax.tree.flatten(theta)
    keys = jax.random.split(key, len(leaves))
    return treedef.unflatten([draws.normal(k, z.shape, dtype=z.dtype) for k, z in zip(keys, leaves, strict=True)])
