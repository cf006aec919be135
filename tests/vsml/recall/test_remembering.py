"""The objective, the fixed rules beside it and the trials that test what was learned."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from vsml.meta.estimators import backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, guarded, meta_train, start
from vsml.recall.fixed import GRID, maps, pseudo_inverse, recalled
from vsml.recall.graphs import direct
from vsml.recall.rules import Rules, initial_synapses
from vsml.recall.snippets import bits, snippet_learner, snippets, stream_with_queries, with_queries
from vsml.recall.trial import EASY, NOT_YET, Difficulty, run_fixed_rules, run_pseudo_inverse, run_rule, synapse_changes

N, TIME = 4, 12


@pytest.fixture(scope="module")
def stream():
    return jax.jit(lambda key: snippets(key, N, TIME))(jax.random.key(0))


def test_queries_are_about_the_last_snippets_each_from_its_own_part(key):
    episode = jax.jit(lambda key: stream_with_queries(key, 16, 40, jnp.array(8.0), 4))(key)
    cue, answer, asked = np.asarray(episode.x[:, 0]), np.asarray(episode.x[:, 1]), np.asarray(episode.x[:, 2:])
    for t in range(40):
        lags = [t - max(k for k in range(t + 1) if np.array_equal(cue[k], row)) for row in asked[t]]
        known = min(t + 1, 8)
        assert all(int(q * known / 4) <= lag <= (q + 1) * known / 4 for q, lag in enumerate(lags)), (t, lags)
        np.testing.assert_array_equal(episode.y[t], answer[[t - lag for lag in lags]])


def test_a_query_teaches_nothing(key, stream):
    graph, rules = direct(N, N, 0, 1.0), Rules()
    learner = snippet_learner(graph, rules)
    theta, state = jax.jit(lambda: (rules.init_theta(graph, key), initial_synapses(graph, rules, key)))()
    episode = jax.jit(with_queries)(*stream, np.zeros((TIME, 2), np.int32))
    x, y = np.asarray(episode.x[0]), episode.y[0]
    silent, other_answer = x.copy(), x.copy()
    silent[2:] = 0
    other_answer[1] *= -1
    step = jax.jit(lambda x: learner.step(theta, state, x, y)[0])
    jax.tree.map(np.testing.assert_array_equal, step(x), step(silent))
    assert not np.array_equal(step(other_answer).values[0], step(x).values[0])


def test_to_know_nothing_costs_one_bit_and_to_be_sure_and_wrong_costs_more():
    y = jnp.array([[1.0, -1.0]])
    assert float(bits(jnp.zeros((1, 2)), y)) == pytest.approx(1)
    assert float(bits(20 * y, y)) == pytest.approx(0, abs=1e-6)
    assert float(bits(-20 * y, y)) > 20


def test_cues_agree_with_a_pattern_as_much_as_is_said(key):
    cue, answer = map(np.asarray, jax.jit(lambda key: snippets(key, 50, 400, 0.6))(key))
    assert (cue * np.sign(cue.sum(0))).mean() == pytest.approx(0.6, abs=0.02)
    assert abs((answer * np.sign(answer.sum(0))).mean()) < 0.1


def test_fixed_rules_are_those_of_the_textbook(stream):
    cue, answer = (np.asarray(part, np.float64) for part in stream)
    found = np.asarray(jax.jit(maps)(*stream))[-1]
    for number, (kind, rate, decay) in enumerate(GRID):
        w = np.zeros((N, N))
        for x, y in zip(cue, answer, strict=True):
            change = np.outer(x, y) if kind == "hebb" else rate * np.outer(x, y - x @ w) / N
            w = decay * w + change
        np.testing.assert_allclose(found[number], w, atol=1e-4)


def test_the_delta_rule_of_rate_one_has_just_learned_the_last_snippet_and_an_inverse_all_it_sees(stream):
    identity = jnp.eye(N)
    orthogonal = jnp.concatenate([identity, identity])

    @jax.jit
    def both(cue, answer):
        newest = recalled(maps(cue, answer), cue[:, None], answer[:, None])
        asked = orthogonal[None, 4:].repeat(8, 0), answer[None, 4:8].repeat(8, 0)
        return newest, recalled(pseudo_inverse(orthogonal, answer[:8], N), *asked)

    newest, kept = map(np.asarray, both(*stream))
    assert (newest[:, GRID.index(("delta", 1.0, 1.0))] == N).all()
    assert (kept[-1] == N).all()


def test_a_trial_asks_the_same_of_learned_and_fixed_rules(key):
    graph, rules = direct(N, N, 0, 1.0), Rules(plastic=False)

    @jax.jit
    def all_of_them(key):
        right = run_rule(graph, rules, rules.init_theta(graph, key), key, TIME, 3, EASY)
        fixed, upside_down = (run_fixed_rules(key, N, TIME, 3, how) for how in (EASY, Difficulty(1.0, 0.0)))
        return right, fixed, upside_down, run_pseudo_inverse(key, N, TIME, 3, (2,))

    right, fixed, upside_down, inverse = map(np.asarray, all_of_them(key))
    early = np.arange(TIME)[:, None] < np.arange(3)[None, :]
    for found in (right, fixed[:, 0], inverse[:, 0]):
        np.testing.assert_array_equal(found == NOT_YET, early)
    assert inverse[5:, 0, :2].mean() == N  # two of four bits each are seldom alike
    delta = GRID.index(("delta", 1.0, 1.0))
    np.testing.assert_array_equal(upside_down[:, delta, 0], 0)
    np.testing.assert_array_equal(fixed[:, delta, 0], N)


def test_a_stored_synapse_answers_what_the_snippet_has_changed_of_a_fresh_one(key):
    graph, rules = direct(N, N, 0, 1.0), Rules()
    ends = jnp.array([-1.0, 0.0, 1.0])

    @jax.jit
    def changes(key):
        theta = jax.tree.map(lambda z: 2 * z, rules.init_theta(graph, key))
        return synapse_changes(graph, rules, theta, ends, ends)

    fresh, stored = changes(key)
    assert float(fresh.held) == 0
    np.testing.assert_allclose(stored.held, fresh.change[2, 2], rtol=1e-5)
    assert abs(float(stored.held)) > 1e-3 and not np.allclose(fresh.change, stored.change)


def test_meta_training_makes_a_memory_of_one_snippet(key):
    graph, rules = direct(2, 2, 0, 1.0), Rules(width=4)
    loss = lifetime_loss(snippet_learner(graph, rules), bits, segment=2, truncate=True)
    optimizer = guarded(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.03)), 3)
    group = Group(
        backprop(loss), jax.tree_util.Partial(lambda d, key: stream_with_queries(key, 2, 4, d, 1), jnp.array(1.0)), 8
    )
    state = start(jax.jit(lambda key: rules.init_theta(graph, key))(key), optimizer)
    losses = [float(report.loss) for _, _, report in meta_train([group], optimizer, state, key, 120, 3)]
    assert np.mean(losses[:5]) > 0.9
    assert np.mean(losses[-5:]) < 0.3
