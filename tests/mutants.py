"""Do the tests' laws have teeth? Puts one plausible bug at a time into a copy of the code; a few tests must fail of it.

    python -m tests.mutants [NAME…]    those whose names begin so; without words all
    python -m tests.mutants --list     their names, and what each changes

Exit status 1: a mutant survived, or tests fail without any. A mutant is what somebody might have written in good faith.
"""

# ruff: noqa: E501 - a mutant a line
import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("vsml", "pipeline", "tests", "profiles", "params.yaml", "dvc.yaml", "claims.yaml", "datasets.lock")
COPIED += ("requirements.lock", "pyproject.toml", ".dvcignore", ".dvc/config")
PYTEST = ("-m", "pytest", "-x", "-q", "-n", "0", "-p", "no:cacheprovider", "--basetemp=temporary")
PYTEST += ("-p", "no:hydra_pytest", "-p", "no:anyio")  # plugins of packages that are needed by others: seconds


class Mutant(NamedTuple):
    name: str
    file: str
    old: str  # is there exactly once
    new: str
    tests: str  # below tests/, parted by blanks; one of them must fail


M = Mutant
CELL, LAYERS, ROLLOUT, SCORES = (f"vsml/core/{name}.py" for name in ("cell", "layers", "rollout", "scores"))
ESTIMATORS, LOSSES, TRAIN = (f"vsml/meta/{name}.py" for name in ("estimators", "losses", "train"))
PLAN, CLAIMS, INTERVALS = "pipeline/run/plan.py", "pipeline/studies/claims.py", "pipeline/show/intervals.py"
TICK = "vsml/core/test_cell.py::test_a_tick_and_its_gradient_are_those_of_a_plain_lstm[False]"
NORM = TICK.replace("False", "True")
TANH = "vsml/core/test_cell.py::test_tanh_is_right_to_a_millionth"
LINEAR = "vsml/core/test_layers.py::test_linear_cells_convolve_and_their_messages_down_are_the_transpose"
STATE = "vsml/core/test_layers.py::test_the_state_of_shared_cells_is_the_mean_over_positions"
LAW = "vsml/learners/test_laws.py::test_a_prediction_never_depends_on_its_label_or_later_ones[sgd]"
WORTH = "vsml/core/test_scores.py"
ESTIMATE = "vsml/meta/test_estimators.py::test_"
MEAN, ES = f"{ESTIMATE}backprop_is_the_mean_over_episodes_one_by_one", f"{ESTIMATE}es_points_along_backprop"
AT_ONCE = f"{ESTIMATE}nothing_depends_on_how_many_run_at_once[backprop]"
LOOP = "vsml/meta/test_train.py::test_"
GROUPS = f"{LOOP}groups_of_other_sizes_add_up_to_the_mean_over_all_episodes"
SKIPPED = f"{LOOP}a_meta_gradient_that_is_not_finite_is_skipped"
CODE = "pipeline/run/test_plan.py"
JUDGED = "pipeline/studies/test_claims.py::test_each_verdict_is_what_the_document_says"
STUDENT = "pipeline/studies/test_claims.py::test_each_part_of_an_interval_alone_is_students_t"
OBJECTS = "pipeline/audit/test_cache.py"
ON_DISK, ALIKE, BUNDLE = (f"pipeline/audit/test_{name}.py" for name in ("lock", "compare", "verify"))
LOCK, CACHE, REPLAY, VERIFY = (f"pipeline/audit/{name}.py" for name in ("lock", "cache", "replay", "verify"))
# fmt: off
MUTANTS = (
    M("cell-offset-of-forget-gate", CELL, '"f": 5.0', '"f": 0.0', TICK),
    M("cell-offset-of-input-gate", CELL, '{"i": -5.0', '{"i": 5.0', TICK),
    M("cell-no-bias", CELL, "constant_values=1.0", "constant_values=0.0", TICK),
    M("cell-tanh-sign-of-last", CELL, "-8.60467152213735e-11", "8.60467152213735e-11", TANH),
    M("cell-tanh-sign-of-first", CELL, "-2.76076847742355e-16", "2.76076847742355e-16", TANH),
    M("cell-tanh-bound", CELL, "TANH_BOUND = 7.9", "TANH_BOUND = 6.9", TANH),
    M("cell-sum-of-messages", CELL, "hidden.mean(axis) @ head", "hidden.sum(axis) @ head", TICK),
    M("cell-norm-not-centred", CELL, "(z - z.mean(-1, keepdims=True) for z in", "(z for z in", NORM),
    M("cell-norm-after-mean", CELL, "kernel, bias, hidden).mean(axis) *", "kernel, bias, hidden.mean(axis, keepdims=True)).mean(axis) *", NORM),
    M("cell-grad-of-input-gate", CELL, "half * g * (1 - i * i)", "half * g * (1 - i)", TICK),
    M("cell-grad-of-candidate", CELL, "half * (1 + i) * (1 - g * g)", "half * i * (1 - g * g)", TICK),
    M("cell-grad-of-output-gate", CELL, "0.5 * d_hidden * squashed * (1", "d_hidden * squashed * (1", TICK),
    M("cell-grad-of-memory", CELL, "half * (1 + f),", "half * f,", TICK),
    M("cell-grad-drops-memory", CELL, " + 0.5 * d_memory * under) / under", ") / under", TICK),
    M("cell-one-tick", CELL, "for _ in range(ticks)", "for _ in range(1)", "vsml/core/test_layers.py::test_a_kernel_of_one_on_one_position_is_dense[2]"),
    M("layers-sum-over-taps", LAYERS, "up.mean(1)", "up.sum(1)", LINEAR),
    M("layers-last-listener-wins", LAYERS, ".at[taps].add(down)", ".at[taps].set(down)", LINEAR),
    M("layers-border-is-quiet", LAYERS, " / hears[:, None, None]", " / hears.max()", LINEAR),
    M("layers-padding-on-one-side", LAYERS, "[None, :] - (kernel - 1) // 2", "[None, :]", LINEAR),
    M("layers-state-of-one-position", LAYERS, "lambda z: z.mean(0), cells", "lambda z: z[0], cells", STATE),
    M("layers-fan-in", LAYERS, "2.0) * fan_in**-0.5", "2.0) * fan_in**-1.0", "vsml/core/test_cell.py::test_half_of_the_memory_starts_random"),
    M("layers-fan-in-of-image", LAYERS, "self.channels), self.kernel, hidden)", "self.channels), self.kernel**2, hidden)", "vsml/core/test_layers.py::test_initial_cells_vary_with_their_fan_in"),
    M("rollout-label-first", ROLLOUT, "learner.step(theta, s, *example), state", "learner.step(theta, learner.step(theta, s, *example)[0], *example), state", LAW),
    M("rollout-never-truncated", ROLLOUT, "(state) if truncate else state", "(state) if False else state", f"{ESTIMATE}truncation_at_the_end_is_no_truncation"),
    M("gradient-predicts-after-update", "vsml/learners/gradient.py", "memory), logits", "memory), loss(optax.apply_updates(weights, updates), x, y)[1]", LAW),
    M("scores-sign", SCORES, "return -jnp.sum(", "return jnp.sum(", WORTH),
    M("scores-no-logarithm", SCORES, "jax.nn.log_softmax(", "jax.nn.softmax(", WORTH),
    M("scores-clipped", SCORES, "LOGIT_BOUND * jnp.tanh(z / LOGIT_BOUND)", "jnp.clip(z, -LOGIT_BOUND, LOGIT_BOUND)", WORTH),
    M("scores-error-sign", SCORES, "jax.nn.softmax(logits) - y", "y - jax.nn.softmax(logits)", WORTH),
    M("es-sign", ESTIMATORS, "(above - below)", "(below - above)", ES),
    M("es-no-pair", ESTIMATORS, "t - std * n", "t - 0 * n", ES),
    M("es-std-left-out", ESTIMATORS, "/ (2 * std)", "/ 2", ES),
    M("es-one-perturbation-for-all", ESTIMATORS, "jax.random.fold_in(key, NOISE)", "jax.random.key(NOISE)", ES),
    M("es-other-key-below", ESTIMATORS, "t - std * n, theta, noise), *lifetime)", "t - std * n, theta, noise), jax.random.fold_in(key, 3), lifetime[1])", f"{ESTIMATE}both_of_a_pair_go_through_the_same_lifetime"),
    M("estimators-sum", ESTIMATORS, "(keys).mean()", "(keys).sum()", MEAN),
    M("estimators-one-key-for-both", ESTIMATORS, "return init_key, draw(episode_key)", "return init_key, draw(init_key)", MEAN),
    M("estimators-mean-over-groups", ESTIMATORS, "t * (at_once / len(keys))", "t / len(keys)", AT_ONCE),
    M("estimators-sum-over-devices", ESTIMATORS, "lax.pmean(", "lax.psum(", f"{ESTIMATE}devices_change_nothing_and_the_table_to_draw_from_is_no_constant_of_the_program"),
    M("losses-first-instead-of-last", LOSSES, "scores[-last:]", "scores[:last]", f"{ESTIMATE}the_loss_of_the_last_predictions_is_theirs"),
    M("train-same-episodes-each-step", TRAIN, "jax.random.fold_in(jax.random.fold_in(key, step), number)", "jax.random.fold_in(key, number)", GROUPS),
    M("train-groups-weigh-the-same", TRAIN, "tuple(group.population / population for", "tuple(1 / len(groups) for", GROUPS),
    M("train-guard-lets-one-through", TRAIN, "max_consecutive_errors=patience", "max_consecutive_errors=0", SKIPPED),
    M("train-skipped-is-taken", TRAIN, "~after.optimizer_state", "after.optimizer_state", SKIPPED),
    M("train-patience-of-one-more", TRAIN, "notfinite_count) >= patience", "notfinite_count) > patience", f"{LOOP}meta_gradients_that_stay_bad_end_the_run"),
    M("train-norm-of-updates", TRAIN, "optax.tree.norm(grad)", "optax.tree.norm(updates)", GROUPS),
    M("plan-carriers-by-equality", PLAN, "if _matches(source, CARRIERS)", "if source in CARRIERS", CODE),
    M("plan-docstrings-count", PLAN, "for node in _undocumented(body) if not _for_types(node)]", "for node in body if not _for_types(node)]", CODE),
    M("plan-defaults-do-not-count", PLAN, '("ctx", "kind"', '("defaults", "ctx", "kind"', CODE),
    M("plan-decorators-do-not-count", PLAN, '("ctx", "kind"', '("decorator_list", "ctx", "kind"', CODE),
    M("plan-falsy-fields-do-not-count", PLAN, "and value not in (None, [])", "and value", CODE),
    M("plan-settings-off-count", PLAN, 'if value not in (NOT_SET if name in OFF else ("",))', "if value", CODE),
    M("plan-one-round", PLAN, "for _ in range(DEPTH):  # each", "for _ in range(1):  # each", CODE),
    M("claims-equivalent-has-no-upper-bound", CLAIMS, '"equivalent": ((-margin, margin), (-margin, margin))', '"equivalent": ((-margin, math.inf), (-margin, math.inf))', JUDGED),
    M("claims-equivalent-is-never-refuted-above", CLAIMS, "(-margin, margin), (-margin, margin))", "(-margin, margin), (-margin, math.inf))", JUDGED),
    M("claims-mean-need-not-matter", CLAIMS, " and found.mean >= matters[0]:", ":", JUDGED),
    M("claims-seeds-needed", CLAIMS, 'return "reproduced" if seeds >= SEEDS', 'return "reproduced" if seeds > SEEDS', JUDGED),
    M("intervals-population-sd", INTERVALS, "ddof=1", "ddof=0", STUDENT),
    M("intervals-level", INTERVALS, "LEVEL = 0.95", "LEVEL = 0.9", STUDENT),
    M("intervals-one-sided", INTERVALS, "[(1 - LEVEL) / 2, (1 + LEVEL) / 2]", "[1 - LEVEL, LEVEL]", STUDENT),
    M("intervals-normal-for-t", INTERVALS, "random.standard_t(seeds - 1, draws)", "random.standard_normal(draws)", STUDENT),
    M("intervals-episodes-not-wider", INTERVALS, "mean) * wider", "mean)", STUDENT),
    M("intervals-error-over-all-values", INTERVALS, "/ np.sqrt(seeds)", "/ np.sqrt(values.size)", "pipeline/studies/test_claims.py::test_an_interval_covers_the_truth_as_often_as_it_says[3-16-1-0]"),
    M("audit-lock-lost-is-empty", LOCK, "if not there and not Path(path).is_dir():", "if not there and Path(path).is_file():", ON_DISK),
    M("audit-stray-file-below", "pipeline/run/job.py", 'path.rglob("*")', 'path.glob("*")', ON_DISK),
    M("audit-bundle-bytes", VERIFY, "(found := sha256_file(folder / name)) != digest", "not (found := sha256_file(folder / name))", BUNDLE),
    M("audit-bundle-strays", VERIFY, "there - listed.keys()", "listed.keys() - there", BUNDLE),
    M("audit-bundle-chain", VERIFY, 'if (one.name, one.sha256) not in left:', 'if one.name not in dict(left):', BUNDLE),
    M("audit-bundle-without-commit", VERIFY, "if not any(\"gitCommit\"", "if not resolved and not any(\"gitCommit\"", BUNDLE),
    M("audit-cache-by-name", CACHE, "found[path].md5 != md5.removesuffix(FOLDER)", "not found[path].md5", OBJECTS),
    M("audit-remote-by-name", CACHE, "if found != md5.removesuffix(FOLDER)", "if not found", OBJECTS),
    M("audit-remote-lost-is-harmless", CACHE, '                yield own\n', "", OBJECTS),
    M("audit-replay-tolerance", REPLAY, "LEVEL = 1e-5, 0.01", "LEVEL = 1e-3, 0.01", ALIKE),
    M("audit-replay-always-alike", REPLAY, "ALIKE if p >= LEVEL / len(tested)", "ALIKE if p <= 1", ALIKE),
)
# fmt: on


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument("name", nargs="*", help="the beginning of names")
    parser.add_argument("--list", action="store_true", help="list them and run none")
    given = parser.parse_args()
    chosen = [one for one in MUTANTS if one.name.startswith(tuple(given.name or [""]))]
    if not chosen:
        sys.exit(f"No mutant's name begins with any of {given.name}: see --list.")
    if given.list:
        print(*(f"{one.name}\n  {one.file}: {one.old!r} -> {one.new!r}" for one in chosen), sep="\n")
        return
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder) / "tree"
        for name in COPIED:
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "artifacts"))
            else:
                shutil.copy(ROOT / name, tree / name)
        subprocess.run(["git", "init", "-q"], cwd=tree, check=True)  # DVC works in a repository only
        status, said, seconds = _run(tree, " ".join(one.tests for one in chosen))
        if status:
            sys.exit(f"{said}\nTests fail without a mutant: mend them first.")
        print(f"{'without a mutant':<44} passed    {seconds:5.1f} s", flush=True)
        survived = [one.name for one in chosen if not _killed(tree, one)]
    print(f"{len(chosen) - len(survived)} of {len(chosen)} mutants were killed.")
    if survived:
        sys.exit(f"Survived: {', '.join(survived)}")


def _killed(tree: Path, one: Mutant) -> bool:
    path = tree / one.file
    text = path.read_text(encoding="utf-8")
    if (times := text.count(one.old)) != 1:
        sys.exit(f"{one.name}: {one.old!r} is {times} times in {one.file}, must be once: write it anew.")
    before = path.stat().st_mtime
    path.write_text(text.replace(one.old, one.new), encoding="utf-8")
    # Bytecode is told from its source by size and second: each mutant has a second of its own, long ago.
    os.utime(path, (0, MUTANTS.index(one)))
    status, said, seconds = _run(tree, one.tests)
    path.write_text(text, encoding="utf-8")
    os.utime(path, (0, before))
    if status not in (0, 1):  # of pytest: passed, failed
        sys.exit(
            f"{said}\n{one.name}: its tests could not be run (pytest ended with {status}): it is no bug but damage."
        )
    print(f"{one.name:<44} {'killed' if status else 'SURVIVED':<9} {seconds:5.1f} s", flush=True)
    return bool(status)


def _run(tree: Path, tests: str) -> tuple[int, str, float]:
    env = os.environ | {"PYTHONPATH": str(tree)}
    ids = [f"tests/{one}" for one in dict.fromkeys(tests.split(" "))]
    began = time.monotonic()
    done = subprocess.run([sys.executable, *PYTEST, *ids], cwd=tree, env=env, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr, time.monotonic() - began


if __name__ == "__main__":
    main()
