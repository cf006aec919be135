"""The bench compares two forms of one function, and it runs."""

import jax
import numpy as np
import pytest

from benchmarks import cases, costs, users
from benchmarks.cases import Case
from benchmarks.measure import programs
from pipeline.run import paths
from pipeline.studies import params
from tests.vsml import made
from vsml.core.rollout import rollout, unroll
from vsml.core.scores import cross_entropy

CASES = [
    Case("deep, no norm, in groups", (4, 3, 2), 4, at_once=1, layer_norm=False),
    Case("convolution", (9, 2), 2, image=(3, 3, 1), convolutions=((2, 3, 2),)),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_plain_form_is_the_same_function(key, case):
    theta = made.moved(jax.jit(case.ours().init_theta)(key), 0.5)
    arguments = theta, jax.random.split(key, case.episodes), case.draw(6)
    ours, plain = (programs(learner, case, jax.devices()) for learner in (case.ours(), case.plain()))
    (loss, gradient), (plain_loss, expected) = (forms["gradient"](*arguments) for forms in (ours, plain))
    np.testing.assert_allclose(loss, plain_loss, rtol=1e-5)
    scale = max(float(np.abs(z).max()) for z in jax.tree.leaves(expected))
    made.close(gradient, expected, atol=1e-4 * scale)
    # Forward alone is a program of its own, and alike for all networks.
    if case.at_once:
        for forms in (ours, plain):
            np.testing.assert_allclose(forms["forward"](*arguments)[0], loss, rtol=1e-5)


def test_the_gradient_is_right_at_a_size_that_is_run(key):
    """Against the plain form in float64: jaxlib 0.10.2 compiles some programs wrongly, at some sizes only."""
    case = Case("", (784, 10), 1)
    theta = made.moved(jax.jit(case.ours().init_theta)(key), 0.3)
    inputs = jax.jit(lambda theta: (theta, case.ours().init_state(theta, key), case.draw(10)(key)))(theta)

    def gradient(learner, options, *inputs):
        def loss(theta, state, episode):
            return cross_entropy(unroll(learner, theta, state, episode, 5)[1], episode.y).mean()

        mean = jax.grad(lambda *lifetimes: jax.vmap(loss, (None, 0, 0))(*lifetimes).mean())
        return jax.jit(mean, compiler_options=options)(*inputs)

    def alone(tree):
        return jax.tree.map(lambda z: z[None], tree)

    # As users compile it, and not as tests do (see tests/conftest.py).
    ours = gradient(case.ours(), {"xla_cpu_use_fusion_emitters": True}, theta, *alone(inputs[1:]))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda z: np.asarray(z, np.float64), inputs)
        expected = gradient(case.plain(), {}, wide[0], *alone(wide[1:]))
    scale = max(float(np.abs(z).max()) for z in jax.tree.leaves(expected))
    made.close(ours, expected, rtol=0, atol=5e-4 * scale)


@pytest.mark.parametrize("case", dict.fromkeys((*cases.CASES, *cases.GPU, *cases.QUICK)), ids=lambda case: case.label)
def test_every_case_can_be_built_in_both_forms(key, case):
    for learner in (case.ours(), case.plain()):
        theta = jax.eval_shape(learner.init_theta, key)
        logits = jax.eval_shape(lambda theta, it=learner: rollout(it, theta, key, case.draw(2)(key)), theta)
        assert logits.shape == (2, 10)


def test_ticks_are_counted_at_every_place():
    assert Case("", (64, 10), 1).ticks_per_example() == 2 * 640
    conv = Case("", (32, 3), 1, image=(4, 4, 2), convolutions=((3, 3, 2),))  # to 2 x 2 x 3
    assert conv.ticks_per_example() == 2 * (2 * 2 * 9 * 2 * 3 + 12 * 3)


@pytest.mark.parametrize("case", users.QUICK, ids=lambda case: case.label)
def test_users_models_are_held_against_ours_in_the_same_round(case, monkeypatch):
    clock = iter(range(10**6))
    monkeypatch.setattr(users, "seconds", lambda do, *given: (do(*given), 2.0 ** next(clock))[1])
    row = users.race(case._replace(examples=case.chunk), 1)
    models = [*row["examples_per_s"]]
    assert models[0] == users.OURS and ("vsml.river" in models) == (case.chunk == 1)
    for place, (name, times) in enumerate(row["times_as_many"].items(), start=1):  # each took four times the one before
        assert times == {what: [round(0.25**place, 3)] * 3 for what in ("learn", "predict")}, name


def test_operations_are_counted_through_scans_gradients_and_convolutions():
    a, b, image, kernel = (np.ones(shape, np.float32) for shape in ((3, 4), (4, 5), (2, 8, 8, 3), (3, 3, 3, 6)))

    def count(function, *arguments):
        return costs.flops(jax.make_jaxpr(function)(*arguments).jaxpr)

    def steps(a, b):
        return jax.lax.scan(lambda a, _: (jax.numpy.tanh(a @ b @ b.T), None), a, None, length=7)[0].sum()

    matmuls = 2 * 2 * 3 * 4 * 5
    assert count(lambda a, b: jax.numpy.tanh(a @ b), a, b) == matmuls // 2 + 15
    assert count(jax.jit(steps), a, b) == 7 * (matmuls + 12) + 12
    of_gradient = count(jax.grad(steps), a, b)  # of the first argument alone: the same matmuls once more
    assert 7 * 2 * matmuls < of_gradient < 7 * (2 * matmuls + 6 * 12)
    layout = {"dimension_numbers": ("NHWC", "HWIO", "NHWC"), "window_strides": (1, 1), "padding": "VALID"}
    convolved = count(lambda x, k: jax.lax.conv_general_dilated(x, k, **layout), image, kernel)
    assert convolved == 2 * (2 * 6 * 6 * 6) * (3 * 3 * 3)
    assert count(lambda n: n * n + 1, np.arange(3)) == 0  # whole numbers, as those of random keys


def test_what_meta_training_costs_follows_from_its_curriculum():
    own = params.read(paths.ROOT / "params.yaml").experiments["vsml"]
    total, kept = costs.of_experiment(own)
    ticks, states = 0, 0.0
    for phase in own.curriculum:
        for one in phase.episodes:
            (inputs,), (classes,) = one.inputs, one.classes
            assert isinstance(inputs, int) and isinstance(classes, int)
            of_step = one.population * one.length * inputs * classes
            ticks, states = ticks + phase.steps * of_step, max(states, of_step * 4 * 2 * 16)
    # Two sweeps of a cell of 16 channels: its gates' matmul, four times that with the gradient, and as much beside it.
    assert 1 < total / (2 * ticks * 4 * 2 * 16 * 64) < 3
    assert 1 <= kept / states < 1.02  # and the last answer
    assert "| vsml | 440 |" in costs.table(paths.ROOT)


@pytest.mark.slow
def test_the_costs_in_the_docs_are_those_of_now():
    docs = (paths.ROOT / "docs/speed.md").read_text()
    expected = costs.table(paths.ROOT / "profiles/paper")
    assert f"<!-- costs -->\n{expected}\n" in docs, "python -m benchmarks --costs profiles/paper"
