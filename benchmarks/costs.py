"""What the meta-training of a profile costs, by counting: nothing is run, and no data set is needed.

For each experiment the floating-point operations of one lifetime, from its jaxpr, times all lifetimes of its
curriculum. Time here: at the operations a second of 784-10 with 32 episodes in docs/bench.json; small networks and
short episodes are slower. Time on a GPU: at the H200's 67e12 a second in single precision, which no program reaches.
Memory: the states that must be kept at once, and nothing else.
"""

import json
import math
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import jaxprs_in_params

from benchmarks.plain import OPTIONS
from pipeline.run import paths
from pipeline.run.params import plain
from pipeline.studies import params
from pipeline.studies.learning.params import GENERATED, AntitheticEs, Backprop, Experiment
from vsml.core.scores import cross_entropy
from vsml.core.types import Episode, Learner
from vsml.learners.network import network
from vsml.learners.settings import learner
from vsml.meta.losses import lifetime_loss
from vsml.tasks.datasets import SETS

H200_FLOPS = 67e12  # a second, in single precision, without tensor cores: NVIDIA's data sheet
# One for each number that comes out, also where a series stands behind it.
ARITHMETIC = {"add", "add_any", "sub", "mul", "div", "neg", "abs", "square", "integer_pow", "max", "min", "clamp"}
ARITHMETIC |= {"exp", "log", "log1p", "tanh", "logistic", "erf", "sin", "cos", "pow", "sqrt", "rsqrt"}
SUMS = {"reduce_sum", "reduce_max", "reduce_min", "cumsum"}  # one for each number that goes in
RACE, SIZES = "784-10, 32 ep., 1 at once", (784, 10)
UNITS = (("days", 86400.0), ("h", 3600.0), ("min", 60.0), ("s", 1.0))


def flops(jaxpr: Any) -> float:
    """Floating-point operations of a jaxpr, of a scan in all of its steps, of a `while` in one round.

    XLA's own `cost_analysis` counts the body of a loop once, however often it runs.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        kind, outs = equation.primitive.name, [one.aval for one in equation.outvars]
        size = sum(out.size for out in outs if jnp.issubdtype(out.dtype, jnp.floating))
        if kind == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            size *= 2 * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
        elif kind == "conv_general_dilated":
            kernel, numbers = equation.invars[1].aval, equation.params["dimension_numbers"]
            size *= 2 * kernel.size / kernel.shape[numbers.rhs_spec[0]]
        elif kind in SUMS:
            size = equation.invars[0].aval.size if size else 0
        elif kind not in ARITHMETIC:
            inner = [flops(own) for own in jaxprs_in_params(equation.params)]
            times = equation.params["length"] if kind == "scan" else 1
            size = times * (max(inner, default=0.0) if kind == "cond" else sum(inner))
        total += size
    return total


def of_experiment(section: Experiment) -> tuple[float, float]:
    """The flops of all of its meta-training, and the bytes of states that are kept at once at the least."""
    total = most = 0.0
    for phase in section.curriculum:
        for sizes in phase.episodes:
            every = list(_sizes(section, sizes))
            for features, classes in every:
                one, state = lifetime(section, features, classes, sizes.length)
                total += one * phase.steps * sizes.population / len(every)
                at_once = min(section.estimator.at_once or sizes.population, sizes.population)
                most = max(most, at_once * state)
    return total, most


def lifetime(section: Experiment, features: int, classes: int, length: int) -> tuple[float, float]:
    """The flops of one lifetime of these sizes, of a pair of them for ES, and the bytes of its states."""
    own, last = section.estimator, 1 if section.data.episodes == "one_shot" else None
    built = learner(plain(section.learner), features, classes)
    if isinstance(own, AntitheticEs):
        loss = lifetime_loss(built, cross_entropy, last=last)
        return 2 * _count(loss, built, (features, classes), length), 2 * _bytes(built)
    segment = own.segment if isinstance(own, Backprop) else own.chunk
    loss = lifetime_loss(built, cross_entropy, segment, not isinstance(own, Backprop), last)
    kept = length / segment + segment if segment else length
    return _count(jax.value_and_grad(loss), built, (features, classes), length), kept * _bytes(built)


def _count(program: Any, built: Learner, sizes: tuple[int, int], length: int) -> float:
    theta, key = _theta(built), jax.eval_shape(partial(jax.random.key, 0))
    x, y = (jax.ShapeDtypeStruct((length, wide), jnp.float32) for wide in sizes)
    return flops(jax.make_jaxpr(lambda theta, key, x, y: program(theta, key, Episode(x, y)))(theta, key, x, y).jaxpr)


def _theta(built: Learner) -> Any:
    return jax.eval_shape(built.init_theta, jax.random.key(0))


def _bytes(built: Learner) -> int:
    state = jax.eval_shape(built.init_state, _theta(built), jax.random.key(0))
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def _sizes(section: Experiment, sizes: Any) -> Iterator[tuple[int, int]]:
    for name in section.data.sets:
        for inputs in sizes.inputs:
            for chosen in sizes.classes:
                known = 10 if name in GENERATED else SETS[name].classes
                classes = known if chosen is None else chosen if isinstance(chosen, int) else len(chosen)
                yield inputs or SETS[name].features, classes


def table(profile: Path) -> str:
    """A row for all experiments of a profile that cost the same, dearest first, as Markdown."""
    bench = json.loads((paths.ROOT / "docs/bench.json").read_text())
    per_s = measured(bench)
    found, alike, every = params.read(profile / "params.yaml"), {}, []
    if not found.items.experiments:
        sys.exit(f"{profile} meta-trains no experiment of VSML or its rivals: name a profile that does.")
    for name in found.items.experiments:
        section = found.experiments[name]
        total, kept = of_experiment(section)
        here_s = total / per_s["forward" if isinstance(section.estimator, AntitheticEs) else "gradient"]
        every.append((here_s, total / H200_FLOPS))
        steps = sum(phase.steps for phase in section.curriculum)
        cells = f"{steps:,} | {total:.1e} | {max(kept / 2**20, 1):,.0f} MiB | {' | '.join(map(_span, every[-1]))} |"
        alike.setdefault(cells, []).append((here_s, name))
    lines = [
        "| experiment | meta-steps | flops | states | on two cores | on an H200, at least |",
        "| :-- | --: | --: | --: | --: | --: |",
    ]
    for cells, names in sorted(alike.items(), key=lambda one: max(one[1]), reverse=True):
        like = f" and {len(names) - 1} that cost the same" if len(names) > 1 else ""
        lines.append(f"| {names[0][1]}{like} | {cells}")
    here, gpu = (_span(sum(one)) for one in zip(*every, strict=True))
    machine = f"{bench['machine']['cores']} cores of {bench['machine']['cpu']}"
    return "\n".join([*lines, "", f"One meta-seed of each: {here} on {machine}; on an H200 {gpu} at least."])


def measured(bench: dict[str, Any]) -> dict[str, float]:
    """Flops a second of the race RACE, as they are counted here, forward and with the gradient."""
    (race,) = (race for race in bench["races"] if race["case"] == RACE)
    built = network(SIZES, **OPTIONS)
    loss, ticks = lifetime_loss(built, cross_entropy), 2 * math.prod(SIZES)
    programs = {"forward": loss, "gradient": jax.value_and_grad(loss)}
    return {
        what: _count(program, built, SIZES, 1) / (ticks * 1e-9 * race["ns_per_tick"][f"ours {what}"][1])
        for what, program in programs.items()
    }


def _span(seconds: float) -> str:
    unit, size = next((one for one in UNITS if seconds >= 1.5 * one[1]), UNITS[-1])
    return f"{seconds / size:.2g} {unit}" if seconds < 100 * size else f"{seconds / size:,.0f} {unit}"
