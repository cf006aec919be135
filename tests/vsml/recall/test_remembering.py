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


@pytest.fixture
def stream(key):
    return snippets(key, N, TIME)


def test_queries_are_about_the_last_snippets_each_from_its_own_part(key):
    episode = stream_with_queries(key, 16, 40, jnp.array(8.0), 4)
    cue, answer, asked = np.asarray(episode.x[:, 0]), np.asarray(episode.x[:, 1]), np.asarray(episode.x[:, 2:])
    for t in range(40):
        lags = [t - max(k for k in range(t + 1) if np.array_equal(cue[k], row)) for row in asked[t]]
        known = min(t + 1, 8)
        assert all(int(q * known / 4) <= lag <= (q + 1) * known / 4 for q, lag in enumerate(lags)), (t, lags)
        np.testing.assert_array_equal(episode.y[t], answer[[t - lag for lag in lags]])


def test_a_query_teaches_nothing(key, stream):
    graph, rules = direct(N, N, 0, 1.0), Rules()
    learner = snippet_learner(graph, rules)
    theta, state = rules.init_theta(graph, key), initial_synapses(graph, rules, key)
    cue, answer = stream
    episode = with_queries(cue, answer, jnp.zeros((TIME, 2), jnp.int32))
    silent = episode.x.at[:, 2:].set(0.0)
    after, other = (learner.step(theta, state, x[0], episode.y[0])[0] for x in (episode.x, silent))
    jax.tree.map(np.testing.assert_array_equal, after, other)
    moved = learner.step(theta, state, episode.x[0].at[1].multiply(-1.0), episode.y[0])[0]
    assert not np.array_equal(moved.values[0], after.values[0])


def test_to_know_nothing_costs_one_bit_and_to_be_sure_and_wrong_costs_more():
    y = jnp.array([[1.0, -1.0]])
    assert float(bits(jnp.zeros((1, 2)), y)) == pytest.approx(1)
    assert float(bits(20 * y, y)) == pytest.approx(0, abs=1e-6)
    assert float(bits(-20 * y, y)) > 20


def test_cues_agree_with_a_pattern_as_much_as_is_said(key):
    cue, answer = snippets(key, 50, 400, 0.6)
    pattern = jnp.sign(cue.sum(0, keepdims=True))
    assert float((cue * pattern).mean()) == pytest.approx(0.6, abs=0.02)
    assert abs(float((answer * jnp.sign(answer.sum(0, keepdims=True))).mean())) < 0.1


def test_fixed_rules_are_those_of_the_textbook(stream):
    cue, answer = (np.asarray(part, np.float64) for part in stream)
    found = np.asarray(maps(*stream))[-1]
    for number, (kind, rate, decay) in enumerate(GRID):
        w = np.zeros((N, N))
        for x, y in zip(cue, answer, strict=True):
            change = np.outer(x, y) if kind == "hebb" else rate * np.outer(x, y - x @ w) / N
            w = decay * w + change
        np.testing.assert_allclose(found[number], w, atol=1e-4)


def test_the_delta_rule_of_rate_one_has_just_learned_the_last_snippet_and_an_inverse_all_it_sees(stream):
    cue, answer = stream
    delta = GRID.index(("delta", 1.0, 1.0))
    newest = recalled(maps(cue, answer), cue[:, None], answer[:, None])
    assert (np.asarray(newest)[:, delta] == N).all()
    identity = jnp.eye(N)
    orthogonal = jnp.concatenate([identity, identity])
    kept = recalled(
        pseudo_inverse(orthogonal, answer[:8], N), orthogonal[None, 4:].repeat(8, 0), answer[None, 4:8].repeat(8, 0)
    )
    assert (np.asarray(kept)[-1] == N).all()


def test_a_trial_asks_the_same_of_learned_and_fixed_rules(key):
    graph, rules = direct(N, N, 0, 1.0), Rules(plastic=False)
    theta = rules.init_theta(graph, key)
    right = run_rule(graph, rules, theta, key, TIME, 3, EASY)
    fixed = run_fixed_rules(key, N, TIME, 3, EASY)
    inverse = run_pseudo_inverse(key, N, TIME, 3, (2,))
    early = np.arange(TIME)[:, None] < np.arange(3)[None, :]
    for found in (right, np.asarray(fixed)[:, 0], np.asarray(inverse)[:, 0]):
        np.testing.assert_array_equal(np.asarray(found) == NOT_YET, early)
    assert np.asarray(inverse)[5:, 0, :2].mean() == N  # two of four bits each are seldom alike
    upside_down = run_fixed_rules(key, N, TIME, 3, Difficulty(1.0, 0.0))
    delta = GRID.index(("delta", 1.0, 1.0))
    np.testing.assert_array_equal(np.asarray(upside_down)[:, delta, 0], 0)
    np.testing.assert_array_equal(np.asarray(fixed)[:, delta, 0], N)


def test_a_stored_synapse_answers_what_the_snippet_has_changed_of_a_fresh_one(key):
    graph, rules = direct(N, N, 0, 1.0), Rules()
    theta = jax.tree.map(lambda z: 2 * z, rules.init_theta(graph, key))
    ends = jnp.array([-1.0, 0.0, 1.0])
    fresh, stored = synapse_changes(graph, rules, theta, ends, ends)
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
    state = start(rules.init_theta(graph, key), optimizer)
    losses = [float(report.loss) for _, _, report in meta_train([group], optimizer, state, key, 120, 3)]
    assert np.mean(losses[:5]) > 0.9
    assert np.mean(losses[-5:]) < 0.3
