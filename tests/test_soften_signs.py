"""Softened programs whose absolute values and signs are of what is never negative."""

import jax
import jax.numpy as jnp
import numpy as np
from assertions import assert_close
from parametrize import each

import softjax as sj

X = np.array([0.31, -1.03, 2.17, 0.56])


def log_sum_exp(x):
    return jax.nn.logsumexp(x)


def weighted(x):
    return jax.nn.logsumexp(x, b=np.array([0.2, 0.7, 0.4, 0.9]))


def masked(x):
    return jax.nn.logsumexp(x, where=np.array([True, False, True, True]))


def of_rows(x):
    return jax.jit(jax.vmap(jax.nn.logsumexp))(x.reshape(2, 2))


def squares(x):
    return jnp.abs(jnp.cumsum(x**2)) + jnp.sign(1 + jnp.exp(x)) * jnp.abs(jnp.sum(x**4))


def shared(x):
    for _ in range(60):  # a path for each way through it would take forever
        x = (jnp.exp(-x) + jnp.exp(-x)) / 4
    return jnp.abs(x)


SMOOTH = [log_sum_exp, weighted, masked, of_rows, squares, shared]


@each("fn", SMOOTH)
@each("softness", [2.0, 0.1], fast=("2.0",))
def test_is_left_as_it_is(fn, softness):
    """The program itself, with its derivatives, and nothing is said of it."""
    soft = sj.soften(fn, softness)
    assert_close(soft(X), np.asarray(fn(X)), atol=1e-5)
    wanted = np.asarray(jax.jacobian(fn)(X))
    assert_close(jax.jacobian(soft)(X), wanted, atol=1e-4)
    entries = sj.soften.report(fn)(X).entries
    assert all(entry.outcome == "kept" for entry in entries)


@each("fn", [jnp.sin, jnp.sinh, jnp.cbrt])
def test_other_absolute_values_are_soft(fn):
    found = sj.soften(lambda x: jnp.abs(fn(x)), 0.5)(X)
    wanted = sj.abs(fn(X), softness=0.5)
    assert_close(found, np.asarray(wanted), atol=1e-6)
