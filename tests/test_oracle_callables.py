"""Oracles that users write, and what is read off their solutions."""

import functools

import equinox as eqx
import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from assertions import assert_close, finite_difference
from jax.flatten_util import ravel_pytree
from parametrize import pick
from polytopes import POLYTOPES, simplex, transport

import softjax as sj
from softjax.solvers import OracleProjection, Primal, evaluate


def _assignment(scores):
    best = np.zeros_like(scores)
    for i in np.ndindex(scores.shape[:-2]):
        rows, columns = scipy.optimize.linear_sum_assignment(scores[i], maximize=True)
        best[(*i, rows, columns)] = 1
    return best


@pytest.mark.slow
@pytest.mark.parametrize("how", ["expand_dims", "sequential"])
def test_oracles_that_cannot_be_traced(how):
    """SciPy's assignment: called from batches of all derivatives, never with NaN."""

    def call(scores):
        return jax.pure_callback(
            _assignment, jax.typeof(scores), scores, vmap_method=how
        )

    rng = inputs.rng("callback")
    z = jnp.asarray(rng.normal(size=(2, 3, 3)), jnp.float32).at[1, 0, 0].set(jnp.nan)
    weights = jnp.asarray(rng.normal(size=(3, 3)), jnp.float32)

    def derivatives(make):
        def total(z):
            return jnp.sum(weights * jnp.sin(evaluate(make(z, 1.0), "c0", Primal())))

        def all_of(z):
            gradient = jax.grad(total)
            return total(z), gradient(z), jax.jvp(gradient, (z,), (weights,))[1]

        return jax.jit(jax.vmap(all_of))(z)

    found = derivatives(lambda z, t: OracleProjection(z, t, call))
    expected = derivatives(transport)
    for a, b in zip(found, expected, strict=True):
        assert_close(a[0], b[0], atol=1e-5)
        assert np.all(np.isnan(a[1]))


class Items(eqx.Module):
    """Items of positive score; arrays of an oracle may be traced."""

    allowed: jax.Array

    def best(self, scores):
        return (scores > 0) & self.allowed


def test_arrays_of_an_oracle_are_constant():
    z = jnp.asarray([0.3, -0.2, 0.1])

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(None, 0))
    def gradients(z, allowed):
        def total(z, allowed):
            items = Items(allowed > 0)
            found = sj.solvers.solve(OracleProjection(z, 1.0, items.best), "c0")
            return jnp.sum(found.value), found.value

        return jax.grad(total, (0, 1), has_aux=True)(z, allowed)

    allowed = jnp.asarray([[1.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    (of_scores, of_oracle), y = gradients(z, allowed)
    # A box: coordinates are clipped one by one.
    assert_close(y, [[0.3, 0, 0.1], [0, 0, 0.1]], atol=1e-6)
    assert_close(of_scores, [[1.0, 0, 1], [0, 0, 1]], atol=1e-6)
    assert_close(of_oracle, np.zeros((2, 3)))


class Spread(sj.solvers.Readout):
    """The sum of squared weights of vertices, and of the solution."""

    def read(self, solution):
        weights = solution.dual.weights
        return jnp.sum(weights**2), sum(
            jnp.sum(y**2) for y in jax.tree.leaves(solution.value)
        )


@pytest.mark.slow
def test_readouts_and_losses(x64):
    (polytope,) = pick(POLYTOPES, "chain")
    _, unravel = ravel_pytree(polytope.scores)
    rng = inputs.rng("readouts")
    z, direction = rng.normal(size=(2, polytope.vertices.shape[1]))
    target = unravel(jnp.asarray(polytope.vertices[[0, 3]].mean(axis=0)))

    @jax.jit
    def compute(z):
        def problem(z):
            return OracleProjection(unravel(z), 1.5, polytope.oracle)

        def loss(z):
            return sj.solvers.fenchel_young_loss(problem(z), target, "c0")

        def spread(z):
            return sj.solvers.evaluate(problem(z), "c0", Spread())

        found = sj.solvers.solve(problem(z), "c0")
        dual, move = jax.jvp(
            lambda z: sj.solvers.solve(problem(z), "c0").dual, (z,), (direction,)
        )
        value, slope = jax.value_and_grad(loss)(z)
        return dict(
            spread=spread(z),
            spread_move=jax.jvp(spread, (z,), (direction,))[1],
            y=ravel_pytree(found.value)[0],
            y_move=jax.jvp(
                lambda z: ravel_pytree(sj.solvers.solve(problem(z), "c0").value)[0],
                (z,),
                (direction,),
            )[1],
            rows=jax.vmap(lambda v: ravel_pytree(v)[0])(dual.vertices),
            weights=dual.weights,
            weights_move=move.weights,
            loss=value,
            slope=slope,
            residual=problem(z).residual(dual, sj.solvers.get_regularizer("c0")),
        )

    out = compute(z)
    assert_close(out["weights"] @ out["rows"], out["y"])
    assert_close(out["weights_move"] @ out["rows"], out["y_move"])
    assert_close(np.sum(out["weights_move"]), 0.0)
    assert out["residual"] < 1e-12
    assert_close(out["slope"], out["y"] - ravel_pytree(target)[0])
    assert out["loss"] > 0
    moved = finite_difference(lambda z: compute(z)["spread"], (z,), (direction,))
    for a, b in zip(out["spread_move"], moved, strict=True):
        assert_close(a, b, atol=1e-7)


class Changing:
    """Equal to no other, and so without a hash."""

    def __eq__(self, other):
        return False

    def __call__(self, scores):
        return scores > 0


@pytest.mark.parametrize(
    ("z", "softness", "oracle", "error", "words"),
    [
        (np.zeros(0), 1.0, simplex, ValueError, "at least one entry"),
        (np.zeros(3), np.ones(3), simplex, ValueError, r"softness.*\(3,\)"),
        (np.zeros(3), 1.0, "simplex", TypeError, "oracle.*callable.*'simplex'"),
        (np.zeros((3, 2)), 1.0, simplex, ValueError, r"oracle returns.*\(6,\)"),
        (np.zeros(3), 1.0, Changing(), TypeError, "hashable.*Changing"),
    ],
)
def test_errors(z, softness, oracle, error, words):
    with pytest.raises(error, match=words):
        sj.solvers.solve(OracleProjection(z, softness, oracle), "c0")


def test_other_solvers_are_refused():
    problem = OracleProjection(np.zeros(3), 1.0, simplex)
    with pytest.raises(TypeError, match="'active_set', 'frank_wolfe'"):
        sj.solvers.solve(problem, "c0", "newton")
    with pytest.raises(ValueError, match="target"):
        sj.solvers.fenchel_young_loss(problem, np.zeros(2), "c0")
