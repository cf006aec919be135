"""The fork of an episode, against episodes that are unrolled one step after the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vsml.introspect.exposure import LABEL_SHOWN, QUERIES, draw_fork, follow

GAPS, OTHERS = 3, 2


@pytest.fixture
def fork(problem, key):
    return draw_fork(key, problem.x, problem.y, 4, 5 + GAPS + 1, OTHERS)


def test_the_queries_are_of_their_kind_and_no_image_is_met_twice(problem):
    number = jnp.arange(60, dtype=jnp.float32)[:, None]
    draw = jax.jit(jax.vmap(lambda key: draw_fork(key, number, problem.y, 4, 40, OTHERS)))
    fork = draw(jax.random.split(jax.random.key(1), 30))
    parts = (fork.episode.x, fork.x, fork.others, fork.strangers)
    lifetime, own, others, strangers = (np.asarray(z[..., 0], int) for z in parts)
    for met in zip(lifetime, own[:, None], others, strangers, strict=True):
        assert len(set(np.concatenate(met))) == 40 + 1 + 2 * OTHERS
    truth = problem.y[own]
    assert (problem.y[others] == truth[:, None]).all()
    assert (problem.y[strangers] != truth[:, None]).all()
    np.testing.assert_array_equal(np.argmax(fork.right, -1), truth)
    wrong = np.asarray(fork.wrong.argmax(-1))
    assert (wrong != truth).all()
    assert {(t - w) % 4 for t, w in zip(truth.tolist(), wrong.tolist(), strict=True)} == {1, 2, 3}
    np.testing.assert_array_equal(np.argmax(fork.episode.y, -1), problem.y[lifetime])
    assert len(set(own)) > 10


@pytest.mark.parametrize("age", [0, 5])
def test_each_branch_is_the_episode_that_it_stands_for(rule, fork, key, age):
    learner, theta = rule
    found = np.asarray(jax.jit(lambda age: follow(learner, theta, key, fork, age, GAPS))(jnp.asarray(age)))
    assert found.shape == (len(LABEL_SHOWN), GAPS + 1, len(QUERIES), 2)
    step = jax.jit(lambda state, x, y: learner.step(theta, state, x, y))
    for label_shown, label in enumerate((None, fork.right, fork.wrong)):
        state = learner.init_state(theta, key)
        for t in range(age):
            state, _ = step(state, fork.episode.x[t], fork.episode.y[t])
        if label is not None:
            state, _ = step(state, fork.x, label)
        for gap in range(GAPS + 1):
            images = (fork.x[None], fork.others, fork.strangers)
            for kind, several in enumerate(images):
                says = jnp.stack([jax.nn.softmax(step(state, x, fork.wrong)[1]) for x in several]).mean(0)
                want = [says @ fork.right, says @ fork.wrong]
                np.testing.assert_allclose(found[label_shown, gap, kind], want, rtol=1e-3, atol=1e-5)
            state, _ = step(state, fork.episode.x[age + gap], fork.episode.y[age + gap])


def test_too_few_examples_are_named(problem, key):
    with pytest.raises(ValueError, match=r"60 examples, 15 of its rarest class: there must be 65 .* others \(=2\)"):
        draw_fork(key, problem.x, problem.y, 4, 60, OTHERS)
    with pytest.raises(ValueError, match=r"more than others \(=15\) of each class"):
        draw_fork(key, problem.x, problem.y, 4, 5, 15)
