"""The strictest JAX there is: no silent promotion of types or ranks, and two devices so that sharding is real."""

import functools
import os

from pipeline.__main__ import xla_flags

# Tests compile much and compute little: fusions as plain loops, of one module, are compiled in half of the time.
os.environ["XLA_FLAGS"] = xla_flags() + " --xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
os.environ["JAX_PLATFORMS"] = "cpu"

import jax
import optax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_disable_most_optimizations", True)


def _lenient(function):
    """`function` under JAX's usual promotion: for code that is not ours."""

    @functools.wraps(function)
    def call(*args, **kwargs):
        with jax.numpy_dtype_promotion("standard"):
            return function(*args, **kwargs)

    return call


optax.tree.bias_correction = _lenient(optax.tree.bias_correction)  # Adam's 0.9**count is a float to an int


@pytest.fixture
def key():
    return jax.random.key(0)
