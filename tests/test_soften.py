"""Softened programs: realistic ones, near the hard ones, with useful gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from parametrize import each
from soften_programs import PROGRAMS, total

import softjax as sj

_FAST = ("decision_tree", "hysteresis", "quantizer", "robust_losses", "spline_lookup")
_FAST += ("straight_through_rounding", "thresholded_loss", "triage")
_DIRECTION = 0.3

# Noise at every step of a simulation is not noise of its initial state, and events that
# several paths share are taken to be independent.
_LOOSE = {"bouncing_ball": 0.4, "beam_search_step": 0.5, "top_k_accuracy": 0.55}


def compiled(program):
    """The hard results, the soft ones, the sum and the derivatives of the soft ones."""
    grad = jax.jacfwd if program.forward_only else jax.grad

    @jax.jit
    def at(x, softness):
        fn = total(sj.soften(program.fn, softness))
        value, derivative = jax.jvp(fn, (x,), (jnp.full(x.shape, _DIRECTION),))
        return dict(
            hard=program.fn(x),
            soft=sj.soften(program.fn, softness)(x),
            value=value,
            derivative=derivative,
            gradient=grad(fn)(x),
            hard_gradient=grad(total(program.fn))(x),
        )

    return at


def leaves(tree):
    return [np.asarray(leaf, float) for leaf in jax.tree.leaves(tree)]


@pytest.mark.usefixtures("x64")
@each("name", list(PROGRAMS), fast=_FAST)
def test_value_and_gradient(name):
    program = PROGRAMS[name]
    at = compiled(program)
    found = at(program.x, program.softness)
    near = at(program.x, program.softness / 1000)
    for hard, soft in zip(leaves(near["hard"]), leaves(near["soft"]), strict=True):
        assert_close(soft, hard, atol=program.tolerance)
    assert np.all(found["hard_gradient"] == 0) == program.flat
    assert np.linalg.norm(found["gradient"]) > 1e-3
    inner = np.sum(found["gradient"] * _DIRECTION)
    assert_close(inner, found["derivative"], atol=1e-6)
    if name != "straight_through_rounding":  # whose derivative is another function's
        # Coarsely: means of Booleans are of 32 bits.
        wanted = finite_difference(
            lambda x: at(x, program.softness)["value"],
            (program.x,),
            (np.full(program.x.shape, _DIRECTION),),
            program.softness / 1000,
        )
        # Means of Booleans are of 32 bits.
        assert_close(found["derivative"], wanted, atol=1e-3)


@each("name", list(PROGRAMS), fast=("decision_tree", "triage"))
def test_vmap_is_a_loop(name):
    program = PROGRAMS[name]
    x = jnp.asarray(np.stack([program.x, program.x * 0.9]), jnp.float32)
    fn = sj.soften(program.fn, program.softness)
    together = jax.jit(jax.vmap(fn))(x)
    for i in range(2):
        own = jax.jit(fn)(x[i])
        for many, one in zip(leaves(together), leaves(own), strict=True):
            assert_close(many[i], one, atol=2e-5)


@each("name", list(PROGRAMS), fast=_FAST)
def test_nothing_stays_hard(name):
    program = PROGRAMS[name]
    report = sj.soften.report(program.fn)(jnp.asarray(program.x))
    assert not report.hard
    if name != "straight_through_rounding":
        assert any(entry.outcome == "soft" for entry in report.entries)


@pytest.mark.slow
@pytest.mark.parametrize("name", PROGRAMS)
def test_gradient_is_that_of_a_smoothed_program(name):
    """The gradient of the expected value under noise, where JAX does not stop it."""
    if name == "straight_through_rounding":
        pytest.skip("its author chose another gradient")
    program = PROGRAMS[name]
    x = jnp.asarray(program.x, jnp.float32)
    sigma = program.softness * np.pi / np.sqrt(3)
    fn = total(program.fn)

    @jax.jit
    def smoothed(key):
        z = jax.random.normal(key, (40_000, *x.shape))
        ahead = jax.lax.map(fn, x + sigma * z, batch_size=1000)
        behind = jax.lax.map(fn, x - sigma * z, batch_size=1000)
        return jnp.tensordot(ahead - behind, z, 1)

    wanted = smoothed(jax.random.key(0))
    grad = jax.jacfwd if program.forward_only else jax.grad
    found = jax.jit(grad(total(sj.soften(program.fn, program.softness))))(x)
    cosine = jnp.vdot(wanted, found) / jnp.linalg.norm(wanted) / jnp.linalg.norm(found)
    assert cosine > _LOOSE.get(name, 0.9)


def test_learns_the_thresholds_of_a_tree():
    points = np.random.default_rng(1).uniform(-1, 1, (200, 2)).astype(np.float32)
    values = jnp.array([0.0, 1.0, 0.5, 2.0])

    def tree(thresholds):
        node = jnp.where(points[:, 0] > thresholds[0], 2, 1)
        right = points[:, 1] > thresholds[node]
        return values[2 * (node - 1) + right]

    wanted = tree(jnp.array([0.2, -0.4, 0.5]))

    def loss(thresholds, softness):
        return jnp.mean((sj.soften(tree, softness)(thresholds) - wanted) ** 2)

    @jax.jit
    def train(thresholds):
        def step(thresholds, softness):
            return thresholds - 0.2 * jax.grad(loss)(thresholds, softness), None

        return jax.lax.scan(step, thresholds, jnp.geomspace(0.1, 0.01, 200))[0]

    start = jnp.array([-0.5, 0.3, -0.2])
    before, after = (np.mean((tree(t) - wanted) ** 2) for t in (start, train(start)))
    assert before > 0.2
    assert after < 0.05


SCORES = np.array([0.3, -0.05, 0.9, 0.55], np.float32)
TARGETS = np.array([1.0, 0.0, 0.0, 1.0], np.float32)


def _of_optax(optax):
    yield lambda x: optax.losses.hinge_loss(x, 2 * TARGETS - 1)
    yield lambda x: optax.losses.huber_loss(x, 0 * x, delta=0.5)
    yield lambda x: optax.clip(0.5).update(x, optax.EmptyState())[0]


def _of_rax(rax):
    for metric in (rax.ndcg_metric, rax.mrr_metric, rax.precision_metric):
        yield lambda x, metric=metric: metric(x, TARGETS, topn=2)


def _of_rlax(rlax):
    yield lambda x: rlax.clipped_surrogate_pg_loss(0.5 + x, TARGETS - 0.5, 0.2)
    yield lambda x: rlax.epsilon_greedy(0.1).probs(x)


def _of_distrax(distrax):
    parameters = np.sin(np.arange(10.0, dtype=np.float32))
    yield distrax.RationalQuadraticSpline(parameters, 0.0, 1.0).forward


@pytest.mark.parametrize(
    ("library", "functions"),
    [
        ("optax", _of_optax),
        ("rax", _of_rax),
        ("rlax", _of_rlax),
        ("distrax", _of_distrax),
    ],
)
def test_functions_of_libraries(library, functions):
    """Unchanged, as their authors wrote them."""
    fns = list(functions(pytest.importorskip(library)))

    @jax.jit
    def run(x):
        soft = [sj.soften(fn, 1e-4, on_unsupported="raise")(x) for fn in fns]
        slopes = [jax.grad(total(sj.soften(fn)))(x) for fn in fns]
        return soft, [fn(x) for fn in fns], slopes

    soft, hard, slopes = run(jnp.asarray(SCORES))
    for found, wanted, slope in zip(soft, hard, slopes, strict=True):
        assert_close(found, np.asarray(wanted), atol=2e-4)
        assert np.count_nonzero(slope) == SCORES.size


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: jnp.ones(4).at[jnp.argmax(x)].mul(3.0),
        lambda x: jax.ops.segment_prod(x, jnp.digitize(x, jnp.array([0.1, 0.6])), 3),
    ],
    ids=["at", "segment_prod"],
)
def test_products_at_soft_places_are_hard_and_named(fn):
    with pytest.warns(UserWarning, match="products at soft places"):
        found = sj.soften(fn)(SCORES)
    assert_close(found, np.asarray(fn(SCORES)), atol=1e-6)
    with pytest.raises(NotImplementedError, match="scatter"):
        sj.soften(fn, on_unsupported="raise")(SCORES)
