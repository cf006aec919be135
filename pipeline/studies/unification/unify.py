"""Compares learning algorithms with their instances of VSML, over whole episodes in float32."""

from functools import partial

import jax
import numpy as np

from pipeline.run import artifacts, paths
from pipeline.run.compiling import OPTIONS
from pipeline.run.job import Job
from pipeline.track.tracking import Run
from vsml.unification.matrix import cases, sharing
from vsml.unification.pairs import CHANNELS, UNITS, Comparison, compare, pairs

# What is compiled for a second runs for milliseconds here.
quickly = partial(jax.jit, compiler_options=OPTIONS | {"xla_backend_optimization_level": 0})


def main(job: Job, run: Run) -> None:
    section, every = job.params.unify, pairs()
    keys = jax.vmap(jax.random.key)(np.array(section.seeds, np.uint32))
    with jax.default_matmul_precision("float32"):  # accelerators multiply in less by default
        found = [quickly(jax.vmap(partial(compare, pair, length=section.length)))(keys) for pair in every.values()]
    arrays = {field: np.stack([getattr(of_pair, field) for of_pair in found]) for field in Comparison._fields}
    axes: dict[str, tuple[str, ...]] = dict.fromkeys(arrays, ("pair", "seed"))
    counts = sharing(UNITS, CHANNELS, jax.random.key(section.seeds[0]))._asdict()
    arrays |= {f"matrix/{what}": np.array(count, np.int32) for what, count in counts.items()}
    axes |= {f"matrix/{what}": () for what in counts}
    arrays |= {"pair": np.array(list(every)), "cases": cases(UNITS).astype(np.int32)}
    axes |= {"pair": ("pair",), "cases": ("source", "target")}
    artifacts.write_table(paths.unify(), arrays, axes)
