"""How programs are compiled whose compilation takes longer than their work.

XLA spends most of its time on a CPU in LLVM, which takes about half as long at level 1; programs are slower then, but
for matrix products, which are libraries'. Programs that train keep the highest level.
"""

import functools

import jax

quickly = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 1})
