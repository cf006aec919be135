"""The meta RNN against a plain loop over its equations, in float64."""

import numpy as np
import pytest

from vsml.learners.meta_rnn import meta_rnn


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def plain_episode(theta, episode, ticks):
    lstm, readout = theta["lstm"], theta["readout"]
    hidden = memory = np.zeros(len(lstm["w_hidden"]))
    error = label = np.zeros(episode.y.shape[1])
    predictions = []
    for x, y in zip(*episode, strict=True):
        for _ in range(ticks):
            heard = np.concatenate([x, error, label, hidden])
            z = heard @ np.concatenate([lstm["w_heard"], lstm["w_hidden"]]) + lstm["bias"]
            i, g, f, o = np.split(z, 4)
            memory = sigmoid(f + 1) * memory + sigmoid(i) * np.tanh(g)
            hidden = sigmoid(o) * np.tanh(memory)
        logits = 100 * np.tanh((hidden @ readout["kernel"] + readout["bias"]) / 100)
        predictions.append(logits)
        error, label = np.exp(logits) / np.exp(logits).sum() - y, y
    return np.array(predictions), hidden, memory, error


@pytest.mark.parametrize("ticks", [1, 2])
def test_meta_rnn_is_the_plain_loop(off_start, ticks):
    (theta, episode), ours, state = off_start(meta_rnn(5, 3, hidden=4, ticks=ticks), 5, 3)
    theirs, hidden, memory, error = plain_episode(theta, episode, ticks)
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    np.testing.assert_allclose(state.lstm.hidden, hidden, atol=1e-5)
    np.testing.assert_allclose(state.lstm.memory, memory, atol=1e-5)
    np.testing.assert_allclose(state.error, error, atol=1e-5)
    np.testing.assert_array_equal(state.label, episode.y[-1])


def test_parameters_of_the_paper(count):
    heard = 784 + 62 + 62
    assert heard == 908
    lstm = 4 * 128 * (heard + 128) + 4 * 128
    readout = 128 * 62 + 62
    assert count(meta_rnn(784, 62)) == lstm + readout == 530_944 + 7_998 == 538_942
