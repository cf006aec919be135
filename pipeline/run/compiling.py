"""How programs are compiled whose compilation takes longer than their work.

XLA spends most of its time on a CPU in LLVM, which takes about half as long at level 1, and two thirds of that with
fusions as plain loops in one module; programs are slower then, but for matrix products, which are libraries'. Programs
that train keep the highest level.
"""

import functools

import jax

OPTIONS = {
    "xla_backend_optimization_level": 1,
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,  # as XLA_FLAGS of __main__, for who calls this without it
}
quickly = functools.partial(jax.jit, compiler_options=OPTIONS)
