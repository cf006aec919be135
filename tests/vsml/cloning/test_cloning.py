"""Cloning: what is cloned is backpropagation, what is measured is right, and the clone takes no derivative."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

from vsml.cloning import training_tasks, trial
from vsml.cloning.clone import Form, clone, initial_weights
from vsml.cloning.exact import Layer, climb, descend
from vsml.core.rollout import rollout
from vsml.core.types import Episode
from vsml.meta.estimators import backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, guarded, meta_train, start

FORM = Form(hidden=5, message=3, ticks=2)
SIZES, RATE = (6, 4, 3), 0.01


@pytest.fixture
def theta(key):
    return jax.tree.map(lambda z: z + 0.3 * jax.random.normal(key, z.shape), FORM.init_theta(key))


@pytest.fixture
def episode(key):
    return Episode(jax.random.normal(key, (8, 6)), jax.nn.one_hot(jnp.arange(8) % 3, 3))


def close(a, b):
    jax.tree.map(lambda z, w: np.testing.assert_allclose(z, w, rtol=1e-4, atol=1e-6), a, b)


def test_what_is_cloned_is_the_gradient(key, episode):
    network, x, y = initial_weights(SIZES, key), episode.x[0], episode.y[0]
    heard, said = climb(network, x)
    hops = descend(network, heard, jax.nn.softmax(said) - y, RATE)

    def loss(network, x):
        return optax.losses.softmax_cross_entropy(climb(network, x)[1], y)

    of_network, of_input = jax.grad(loss, argnums=(0, 1))(network, x)
    close([hop.change for hop in hops], jax.tree.map(lambda g: -RATE * g, of_network))
    close(hops[0].below, of_input)


def test_cells_hold_weights_and_biases(key):
    (layer, _) = initial_weights(SIZES, key)
    layer = layer._replace(b=jnp.arange(4.0))
    cells = FORM.hold(layer)
    close(FORM.held(cells), layer)
    scratch = cells._replace(memory=cells.memory.at[..., 2:].set(7.0), hidden=cells.hidden + 1)
    replaced = FORM.hold(Layer(layer.w + 1, layer.b - 1), scratch)
    close(FORM.held(replaced), Layer(layer.w + 1, layer.b - 1))
    np.testing.assert_array_equal(replaced.memory[..., 2:], 7.0)
    np.testing.assert_array_equal(replaced.hidden, scratch.hidden)


def test_a_layer_says_the_sums_of_what_its_connections_say(key, theta):
    layer = Layer(jax.random.normal(key, (4, 3)), jnp.array([0.1, -0.2, 0.3]))
    x, error = jnp.array([0.5, -1.0, 2.0, 0.0]), jnp.array([0.2, -0.1, 0.4])
    cells = FORM.hold(layer)
    for heard in (None, error):
        whole = FORM.tick(theta, cells, x, heard)
        said = [
            [
                FORM.tick(
                    theta,
                    FORM.hold(Layer(layer.w[a, b][None, None], layer.b[b][None])),
                    x[a][None],
                    None if heard is None else heard[b][None],
                )
                for b in range(3)
            ]
            for a in range(4)
        ]
        for b in range(3):
            close(whole.products[b], sum(said[a][b].products[0] for a in range(4)))
            close(whole.bias[b], sum(said[a][b].bias[0] for a in range(4)) / 4)
        for a in range(4):
            close(whole.below[a], sum(said[a][b].below[0] for b in range(3)))
            close(whole.cells.memory[a, 1], said[a][1].cells.memory[0, 0])


def test_many_connections_tick_as_layers_of_one(key, theta):
    w_key, x_key, error_key = jax.random.split(key, 3)
    w, x = jax.random.normal(w_key, (9, 1, 1)), 3 * jax.random.normal(x_key, (9,))
    cells = jax.vmap(FORM.hold)(Layer(w, 0.5 * w[:, 0]))
    scratch = jnp.arange(cells.memory.size).reshape(cells.memory.shape)
    cells = cells._replace(hidden=jnp.sin(scratch), memory=cells.memory + jnp.cos(scratch))
    for error in (None, jax.random.normal(error_key, (9,))):

        def alone(theta, cells, x, error):
            return FORM.tick(theta, cells, x[None], None if error is None else error[None])

        def mapped(theta, error=error, alone=alone):
            return jax.vmap(alone, (None, 0, 0, None if error is None else 0))(theta, cells, x, error)

        def together(theta, error=error):
            return FORM.tick_each(theta, cells, x, error)

        close(together(theta), mapped(theta))

        def gradient(said):
            return jax.grad(lambda theta: sum(jnp.sin(z).sum() for z in jax.tree.leaves(said(theta))))(theta)

        jax.tree.map(
            lambda z, w: np.testing.assert_allclose(z, w, rtol=1e-4, atol=1e-5), gradient(together), gradient(mapped)
        )


def test_what_a_layer_hears_is_clipped_where_tanh_is_flat(key, theta):
    cells, error = FORM.hold(initial_weights(SIZES, key)[0]), jnp.array([0.2, -0.1, 0.4, 0.3])
    far, at_bound = (jnp.array([scale * 4.0, -scale * 4.0, 1.0, 0.0, -2.0, 4.0]) for scale in (5.0, 1.0))
    for heard in (None, error):
        close(FORM.tick(theta, cells, far, heard), FORM.tick(theta, cells, at_bound, heard))
    inside = at_bound.at[0].set(3.5)
    assert np.abs(FORM.tick(theta, cells, inside, error).below - FORM.tick(theta, cells, far, error).below).max() > 1e-6


def test_a_connection_and_a_layer_of_one_are_measured_alike(key, theta):
    """The task of random connections and the comparison of layers are two ways to the same misses."""
    task = training_tasks.random_connections(FORM, RATE, 1)
    cells = task.init_state(theta, key)
    _, missed = task.step(theta, cells, jnp.array([0.7]), jnp.array([0.4]))
    one = jax.tree.map(lambda z: z[0], cells)
    held = FORM.held(one)
    # The comparison makes the error from a label; of one class it is always 0, so it is given directly.
    error = jnp.array([0.4])
    (hop,) = descend([held], [jnp.array([0.7])], error, RATE)
    up = FORM.tick(theta, one, jnp.array([0.7]), None)
    down = FORM.tick(theta, up.cells, jnp.array([0.7]), error)
    learned = FORM.held(down.cells).w - FORM.held(up.cells).w
    expected = {
        "products": (up.products - jnp.tanh(0.7) * held.w[0]) / jnp.hypot(held.w[0], 0.05),
        "learned weight": (learned - hop.change.w)[0] / (RATE * jnp.hypot(0.4, 0.02)),
        "kept weight": (FORM.held(up.cells).w - held.w)[0] / (RATE * 0.02),
    }
    for term, value in expected.items():
        close(missed[0, training_tasks.TERMS.index(term)], value[0])


def test_the_comparison_of_layers_is_that_of_norms(key, theta, episode):
    network, x, y = initial_weights(SIZES, key), episode.x[0], episode.y[0]
    state = [FORM.hold(layer) for layer in network]
    after, missed = training_tasks.compare(FORM, theta, RATE, state, network, x, y)
    heard, said = climb(network, x)
    hops = descend(network, heard, jax.nn.softmax(said) - y, RATE)
    for k, hop in enumerate(hops):
        up = FORM.tick(theta, state[k], hop.x, None)
        change = FORM.held(after[k]).w - FORM.held(up.cells).w
        miss = np.square(np.asarray(change - hop.change.w)).sum(), np.square(np.asarray(hop.change.w)).sum()
        np.testing.assert_allclose(missed[k, training_tasks.TERMS.index("learned weight")], miss, rtol=2e-3)


def derivatives(step, *inputs):
    """The operations of `step` that JAX made by differentiation; it says so in the names that it gives them."""

    def of(jaxpr):
        for equation in jaxpr.eqns:
            yield str(equation.source_info.name_stack)
            for inner in jaxprs_in_params(equation.params):
                yield from of(inner)

    return [name for name in of(jax.make_jaxpr(step)(*inputs).jaxpr) if "transpose(" in name or "jvp(" in name]


def test_the_clone_takes_no_derivative(key, theta, episode):
    learner, descent = clone(SIZES, FORM), trial.sgd(SIZES, RATE)
    run_episode = partial(rollout, key=key, episode=episode)
    assert derivatives(lambda theta: run_episode(learner, theta), theta) == []
    assert derivatives(lambda: run_episode(descent, ()))


@pytest.mark.parametrize("score", [training_tasks.coarse, training_tasks.fine])
def test_meta_training_on_random_data_lowers_the_loss(key, score):
    loss = lifetime_loss(training_tasks.random_connections(FORM, RATE, 32), score)
    optimizer = guarded(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2)), 3)
    group = Group(backprop(loss), training_tasks.random_data(32, 2), 2)
    reports = [r for _, _, r in meta_train([group], optimizer, start(FORM.init_theta(key), optimizer), key, 60, 3)]
    assert np.mean([r.loss for r in reports[-5:]]) < float(reports[0].loss) - 1


def test_meta_training_beside_a_shadow_network_lowers_the_loss(key, episode):
    task = training_tasks.shadow_network(FORM, RATE, SIZES, 0.1)
    run = jax.jit(jax.value_and_grad(lambda theta: lifetime_loss(task, training_tasks.of_layers)(theta, key, episode)))
    theta = FORM.init_theta(key)
    first, _ = run(theta)
    optimizer = optax.adam(1e-2)
    memory = optimizer.init(theta)
    for _ in range(40):
        value, gradient = run(theta)
        updates, memory = optimizer.update(gradient, memory)
        theta = optax.apply_updates(theta, updates)
    assert value < first - 1


def test_the_shadow_network_learns(key, theta, episode):
    task = training_tasks.shadow_network(FORM, RATE, SIZES, 0.5)
    _, network = task.init_state(theta, key)
    state = task.init_state(theta, key)
    for x, y in zip(*episode, strict=True):
        state, _ = task.step(theta, state, x, y)
    answers = [jax.nn.log_softmax(climb(net, episode.x[-1])[1]) @ episode.y[-1] for net in (network, state[1])]
    assert answers[1] > answers[0]


def test_a_trial_tells_of_every_learner(key, theta, episode):
    stretches = jax.tree.map(lambda z: z.reshape(2, 4, *z.shape[1:]), episode)
    held_out = episode.x, episode.y.argmax(-1)
    queries = jax.tree.map(lambda z: z[:3], episode)
    found = jax.jit(partial(trial.run_episode, FORM, sizes=SIZES, rate=RATE))(
        (theta, jax.tree.map(jnp.zeros_like, theta)), key, stretches=stretches, held_out=held_out, queries=queries
    )
    assert found.correct.shape == (2, len(trial.LEARNERS), 4)
    assert found.missed.shape == (2, 2, len(training_tasks.TERMS), 2)
    online = rollout(trial.sgd(SIZES, RATE), (), key, episode).argmax(-1) == episode.y.argmax(-1)
    np.testing.assert_array_equal(found.correct[:, trial.LEARNERS.index("sgd")].ravel(), online)
    by_hand = rollout(clone(SIZES, FORM), theta, key, episode).argmax(-1) == episode.y.argmax(-1)
    np.testing.assert_array_equal(found.correct[:, trial.LEARNERS.index("clone")].ravel(), by_hand)
    assert not np.array_equal(found.correct[:, 0], found.correct[:, 1])
    assert ((found.held_out >= 0) & (found.held_out <= 1)).all()
