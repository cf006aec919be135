"""Cloning: what is cloned is backpropagation, what is measured is right, and the clone takes no derivative."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.extend.core import jaxprs_in_params

from tests.vsml import made
from tests.vsml.made import close
from vsml.cloning import training_tasks, trial
from vsml.cloning.clone import Form, clone, initial_weights
from vsml.cloning.exact import Layer, climb, descend
from vsml.core.rollout import rollout, unroll
from vsml.meta.estimators import backprop
from vsml.meta.losses import lifetime_loss
from vsml.meta.train import Group, guarded, meta_train, start

FORM = Form(hidden=5, message=3, ticks=2)
QUICK = FORM._replace(ticks=1)  # compiled sooner
SIZES, RATE = (6, 4, 3), 0.01
EPISODE = made.episode(6, 3, 8)


@pytest.fixture(scope="module")
def theta():
    return made.moved(jax.jit(FORM.init_theta)(jax.random.key(0)), 0.3)


@pytest.fixture(scope="module")
def born():
    """The network of SIZES at its birth."""
    return jax.jit(lambda key: initial_weights(SIZES, key))(jax.random.key(0))


def test_what_is_cloned_is_the_gradient(born):
    @jax.jit
    def both(network, x, y):
        heard, said = climb(network, x)
        hops = descend(network, heard, jax.nn.softmax(said) - y, RATE)

        def loss(network, x):
            return optax.losses.softmax_cross_entropy(climb(network, x)[1], y)

        return hops, jax.grad(loss, argnums=(0, 1))(network, x)

    hops, (of_network, of_input) = both(born, EPISODE.x[0], EPISODE.y[0])
    close([hop.change for hop in hops], jax.tree.map(lambda g: -RATE * g, of_network))
    close(hops[0].below, of_input)


def test_cells_hold_weights_and_biases(born):
    (layer, _) = born
    layer = layer._replace(b=jnp.arange(4.0))
    cells = FORM.hold(layer)
    close(FORM.held(cells), layer)
    scratch = cells._replace(memory=cells.memory.at[..., 2:].set(7.0), hidden=cells.hidden + 1)
    replaced = FORM.hold(Layer(layer.w + 1, layer.b - 1), scratch)
    close(FORM.held(replaced), Layer(layer.w + 1, layer.b - 1))
    np.testing.assert_array_equal(replaced.memory[..., 2:], 7.0)
    np.testing.assert_array_equal(replaced.hidden, scratch.hidden)


def test_a_layer_says_the_sums_of_what_its_connections_say(theta):
    layer = Layer(made.noise(4, 3), jnp.array([0.1, -0.2, 0.3]))
    x, error = jnp.array([0.5, -1.0, 2.0, 0.0]), jnp.array([0.2, -0.1, 0.4])

    @jax.jit
    def tick(layer, x, heard):
        return FORM.tick(theta, FORM.hold(layer), x, heard)

    for heard in (None, error):
        whole = tick(layer, x, heard)

        def alone(a, b, heard=heard):
            one = Layer(layer.w[a : a + 1, b : b + 1], layer.b[b : b + 1])
            return tick(one, x[a : a + 1], None if heard is None else heard[b : b + 1])

        said = [[alone(a, b) for b in range(3)] for a in range(4)]
        for b in range(3):
            close(whole.products[b], np.sum([said[a][b].products[0] for a in range(4)], axis=0))
            close(whole.bias[b], np.mean([said[a][b].bias[0] for a in range(4)], axis=0))
        for a in range(4):
            close(whole.below[a], np.sum([said[a][b].below[0] for b in range(3)], axis=0))
            close(whole.cells.memory[a, 1], said[a][1].cells.memory[0, 0])


def test_many_connections_tick_as_layers_of_one(theta):
    w, x, error = (made.noise(*shape, seed=seed) for seed, shape in enumerate(((9, 1, 1), (9,), (9,))))

    @partial(jax.jit, static_argnums=1)
    def both(theta, form, x, error):
        """What is said, each way, and its gradient."""
        cells = jax.vmap(FORM.hold)(Layer(w, 0.5 * w[:, 0]))
        scratch = jnp.arange(cells.memory.size, dtype=float).reshape(cells.memory.shape)
        cells = cells._replace(hidden=jnp.sin(scratch), memory=cells.memory + jnp.cos(scratch))

        def mapped(theta):
            def alone(cells, x, error):
                return FORM.tick(theta, cells, x[None], None if error is None else error[None])

            return jax.vmap(alone, (0, 0, None if error is None else 0))(cells, x, error)

        def together(theta):
            return FORM.tick_each(theta, cells, x, error)

        def worth(theta):
            said = (together if form == "together" else mapped)(theta)
            return sum(jnp.sin(z).sum() for z in jax.tree.leaves(said)), said

        return jax.value_and_grad(worth, has_aux=True)(theta)

    for heard in (None, error):
        ((_, said), gradient), ((_, expected), slope) = (both(theta, way, 3 * x, heard) for way in ("together", "each"))
        close(said, expected)
        close(gradient, slope, atol=1e-5)


def test_what_a_layer_hears_is_clipped_where_tanh_is_flat(born, theta):
    cells, error = FORM.hold(born[0]), jnp.array([0.2, -0.1, 0.4, 0.3])
    far, at_bound = (jnp.array([scale * 4.0, -scale * 4.0, 1.0, 0.0, -2.0, 4.0]) for scale in (5.0, 1.0))
    tick = jax.jit(FORM.tick)
    for heard in (None, error):
        close(tick(theta, cells, far, heard), tick(theta, cells, at_bound, heard))
    inside = at_bound.at[0].set(3.5)
    assert np.abs(tick(theta, cells, inside, error).below - tick(theta, cells, far, error).below).max() > 1e-6


def test_a_connection_and_a_layer_of_one_are_measured_alike(key, theta):
    """The task of random connections and the comparison of layers are two ways to the same misses."""
    task = training_tasks.random_connections(FORM, RATE, 1)

    @jax.jit
    def both(key):
        cells, x = task.init_state(theta, key), jnp.array([0.7])
        # The comparison makes the error from a label; of one class it is always 0, so it is given directly.
        error = jnp.array([0.4])
        _, missed = task.step(theta, cells, x, error)
        one = jax.tree.map(lambda z: z[0], cells)
        held = FORM.held(one)
        (hop,) = descend([held], [x], error, RATE)
        up = FORM.tick(theta, one, x, None)
        down = FORM.tick(theta, up.cells, x, error)
        learned = FORM.held(down.cells).w - FORM.held(up.cells).w
        return missed, {
            "products": (up.products - jnp.tanh(0.7) * held.w[0]) / jnp.hypot(held.w[0], 0.05),
            "learned weight": (learned - hop.change.w)[0] / (RATE * jnp.hypot(0.4, 0.02)),
            "kept weight": (FORM.held(up.cells).w - held.w)[0] / (RATE * 0.02),
        }

    missed, expected = both(key)
    for term, value in expected.items():
        close(missed[0, training_tasks.TERMS.index(term)], value[0])


def test_the_comparison_of_layers_is_that_of_norms(born, theta):
    @jax.jit
    def both(x, y):
        state = [FORM.hold(layer) for layer in born]
        after, missed = training_tasks.compare(FORM, theta, RATE, state, born, x, y)
        heard, said = climb(born, x)
        hops = descend(born, heard, jax.nn.softmax(said) - y, RATE)
        before = [FORM.tick(theta, state[k], hop.x, None).cells for k, hop in enumerate(hops)]
        changes = [FORM.held(one).w - FORM.held(up).w for one, up in zip(after, before, strict=True)]
        return missed, changes, [hop.change.w for hop in hops]

    missed, *layers = both(EPISODE.x[0], EPISODE.y[0])
    for k, (change, expected) in enumerate(zip(*layers, strict=True)):
        miss = np.square(np.asarray(change) - expected).sum(), np.square(expected).sum()
        np.testing.assert_allclose(missed[k, training_tasks.TERMS.index("learned weight")], miss, rtol=2e-3)


def derivatives(step, *inputs):
    """The operations of `step` that JAX made by differentiation; it says so in the names that it gives them."""

    def of(jaxpr):
        for equation in jaxpr.eqns:
            yield str(equation.source_info.name_stack)
            for inner in jaxprs_in_params(equation.params):
                yield from of(inner)

    return [name for name in of(jax.make_jaxpr(step)(*inputs).jaxpr) if "transpose(" in name or "jvp(" in name]


def test_the_clone_takes_no_derivative(key, theta):
    learner, descent = clone(SIZES, FORM), trial.sgd(SIZES, RATE)
    run_episode = partial(rollout, key=key, episode=EPISODE)
    assert derivatives(lambda theta: run_episode(learner, theta), theta) == []
    assert derivatives(lambda: run_episode(descent, ()))


@pytest.mark.parametrize("score", [training_tasks.coarse, training_tasks.fine])
def test_meta_training_on_random_data_lowers_the_loss(key, score):
    loss = lifetime_loss(training_tasks.random_connections(FORM, RATE, 32), score)
    optimizer = guarded(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2)), 3)
    group = Group(backprop(loss), training_tasks.random_data(32, 2), 2)
    begin = start(jax.jit(FORM.init_theta)(key), optimizer)
    reports = [report for *_, report in meta_train([group], optimizer, begin, key, 60, 3)]
    assert np.mean([r.loss for r in reports[-5:]]) < float(reports[0].loss) - 1


def test_meta_training_beside_a_shadow_network_lowers_the_loss(key):
    task, optimizer = training_tasks.shadow_network(QUICK, RATE, SIZES, 0.1), optax.adam(1e-2)

    @jax.jit
    def meta_step(theta, memory):
        loss, gradient = jax.value_and_grad(lifetime_loss(task, training_tasks.of_layers))(theta, key, EPISODE)
        updates, memory = optimizer.update(gradient, memory)
        return optax.apply_updates(theta, updates), memory, loss

    theta, losses = jax.jit(QUICK.init_theta)(key), []
    memory = optimizer.init(theta)
    for _ in range(40):
        theta, memory, loss = meta_step(theta, memory)
        losses.append(float(loss))
    assert losses[-1] < losses[0] - 1


def test_the_shadow_network_learns(key, theta):
    task = training_tasks.shadow_network(FORM, RATE, SIZES, 0.5)

    @jax.jit
    def answers(x, y):
        first = task.init_state(theta, key)
        last, _ = unroll(task, theta, first, EPISODE)
        return [jax.nn.log_softmax(climb(network, x)[1]) @ y for _, network in (first, last)]

    before, after = answers(EPISODE.x[-1], EPISODE.y[-1])
    assert after > before


def test_a_trial_tells_of_every_learner(key, theta):
    stretches = jax.tree.map(lambda z: z.reshape(2, 4, *z.shape[1:]), EPISODE)
    held_out = EPISODE.x, EPISODE.y.argmax(-1)
    queries = jax.tree.map(lambda z: z[:3], EPISODE)

    @jax.jit
    def both(theta):
        rules = theta, jax.tree.map(jnp.zeros_like, theta)
        found = trial.run_episode(
            QUICK, rules, key, stretches=stretches, held_out=held_out, queries=queries, sizes=SIZES, rate=RATE
        )
        alone = {"sgd": (trial.sgd(SIZES, RATE), ()), "clone": (clone(SIZES, QUICK), theta)}
        return found, {name: rollout(of, own, key, EPISODE).argmax(-1) for name, (of, own) in alone.items()}

    found, answers = both(theta)
    assert found.correct.shape == (2, len(trial.LEARNERS), 4)
    assert found.missed.shape == (2, 2, len(training_tasks.TERMS), 2)
    for name, answer in answers.items():
        right = np.asarray(answer) == np.asarray(held_out[1])
        np.testing.assert_array_equal(found.correct[:, trial.LEARNERS.index(name)].ravel(), right)
    assert not np.array_equal(found.correct[:, 0], found.correct[:, 1])
    assert ((found.held_out >= 0) & (found.held_out <= 1)).all()
