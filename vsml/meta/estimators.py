"""Estimators of the meta-gradient, drop-ins for one another: each maps theta and p lifetimes to loss and gradient.

    (theta, keys[p], episodes[p]) -> (mean loss over the lifetimes, gradient like theta)

They differ in bias, variance and memory.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Float, Key

from vsml.core.types import Episode, Learner, RandomKey, Theta
from vsml.meta.losses import MetaLoss, Score, lifetime_loss

ValueAndGrad = Callable[[Theta, Key[Array, " p"], Episode], tuple[Float[Array, ""], Theta]]


def backprop(loss: MetaLoss) -> ValueAndGrad:
    """The exact gradient, through the whole of each life."""

    def mean_loss(theta: Theta, keys: Key[Array, " p"], episodes: Episode) -> Float[Array, ""]:
        return jax.vmap(loss, in_axes=(None, 0, 0))(theta, keys, episodes).mean()

    return jax.value_and_grad(mean_loss)


def truncated_bptt(learner: Learner, score: Score, chunk: int) -> ValueAndGrad:
    """Backprop that does not cross the borders between chunks of `chunk` examples; the state is carried over them."""
    return backprop(lifetime_loss(learner, score, segment=chunk, truncate=True))


def antithetic_es(loss: MetaLoss, std: float, at_once: int) -> ValueAndGrad:
    """Antithetic evolution strategies, one pair of perturbations for each lifetime.

    Estimates the gradient of E[loss(theta + std noise)] by the mean of noise (L+ - L-) / (2 std). Both of a pair live
    the same episode with the same key, so that they differ by the perturbation alone. `at_once` pairs live side by
    side; memory grows with it and not with the population.

    Raises:
      ValueError: `at_once` does not divide the population.
    """

    def pair(theta: Theta, key: RandomKey, episode: Episode) -> tuple[Float[Array, ""], Theta]:
        noise_key, life_key = jax.random.split(key)
        noise = _normal_like(noise_key, theta)
        above = loss(jax.tree.map(lambda t, n: t + std * n, theta, noise), life_key, episode)
        below = loss(jax.tree.map(lambda t, n: t - std * n, theta, noise), life_key, episode)
        slope = (above - below) / (2 * std)
        return (above + below) / 2, jax.tree.map(lambda n: slope * n, noise)

    def value_and_grad(theta: Theta, keys: Key[Array, " p"], episodes: Episode) -> tuple[Float[Array, ""], Theta]:
        population = len(keys)
        if population % at_once:
            raise ValueError(f"at_once (={at_once}) must divide the population (={population}) of each device.")

        def add(total, group):
            values = jax.vmap(pair, in_axes=(None, 0, 0))(theta, *group)
            return jax.tree.map(lambda t, v: t + v.sum(0), total, values), None

        groups = jax.tree.map(lambda z: z.reshape(-1, at_once, *z.shape[1:]), (keys, episodes))
        nothing = (jnp.zeros(()), jax.tree.map(jnp.zeros_like, theta))
        total, _ = jax.lax.scan(add, nothing, groups)
        return jax.tree.map(lambda t: t / population, total)

    return value_and_grad


def across_devices(value_and_grad: ValueAndGrad, devices: list) -> ValueAndGrad:
    """Share the lifetimes out over `devices`, and average what they find.

    Raises:
      ValueError: the devices do not divide the population.
    """
    mesh = Mesh(devices, ("device",))
    everywhere, shared_out = PartitionSpec(), PartitionSpec("device")

    def on_one_device(theta: Theta, keys: Key[Array, " p"], episodes: Episode) -> tuple[Float[Array, ""], Theta]:
        return jax.lax.pmean(value_and_grad(theta, keys, episodes), "device")

    spread = jax.shard_map(
        on_one_device,
        mesh=mesh,
        in_specs=(everywhere, shared_out, shared_out),
        out_specs=everywhere,
        check_vma=False,  # a scan that starts from zeros and ends in data trips the check
    )

    def checked(theta: Theta, keys: Key[Array, " p"], episodes: Episode) -> tuple[Float[Array, ""], Theta]:
        if len(keys) % len(devices):
            raise ValueError(
                f"The population (={len(keys)}) must be a multiple of the number of devices (={len(devices)})."
            )
        return spread(theta, keys, episodes)

    return checked


def _normal_like(key: RandomKey, theta: Theta) -> Theta:
    leaves, treedef = jax.tree.flatten(theta)
    keys = jax.random.split(key, len(leaves))
    return treedef.unflatten([jax.random.normal(k, z.shape, z.dtype) for k, z in zip(keys, leaves, strict=True)])
