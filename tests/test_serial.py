"""Loops over numbers: rows are kept apart, and XLA compiles them to one each."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close

import softjax as sj
from softjax_solvers._platform.serial import read, serially, write


def _running_products(first, x, y):
    def step(i, state):
        product, out, places = state
        product = jnp.where(read(first, i), 1, product) * read(x, i) + read(y, i)
        return product, write(out, product, i), write(places, i, i)

    start = jnp.ones_like(x[0]), jnp.zeros_like(x), jnp.zeros_like(x, jnp.int32)
    return jax.lax.fori_loop(0, len(x), step, start)[1:]


@jax.jit
def running_products(x, y):
    return serially(_running_products, x, y, outputs=2)


def expected(x, y):
    product, out = np.ones(x.shape[:-1]), np.empty(x.shape)
    for i in range(x.shape[-1]):
        product = product * x[..., i] + y[..., i]
        out[..., i] = product
    return out


@pytest.mark.parametrize("shape", [(5,), (1,), (3, 4), (2, 3, 4), (0, 4), (2, 0)])
def test_rows(shape):
    x, y = inputs.rng("rows", len(shape)).uniform(-1, 1, size=(2, *shape))
    out, places = running_products(x, y)
    assert_close(out, expected(x, y))
    assert places.shape == shape
    assert places.dtype == jnp.int32
    np.testing.assert_array_equal(np.ravel(places), np.arange(x.size))


def test_rows_of_mapped_functions():
    """One argument alone, both, and one within the other."""
    x, y = inputs.rng("mapped").uniform(-1, 1, size=(2, 2, 3, 4))
    for axes in ((1, 1), (0, 0)):
        out, _ = jax.vmap(running_products, axes, axes[0])(x, y)
        assert_close(out, expected(x, y))
    out, _ = jax.vmap(running_products, (0, None))(x, y[0])
    assert_close(out, expected(x, np.broadcast_to(y[0], x.shape)))
    inner = jax.vmap(running_products, (None, 0))
    out, _ = jax.vmap(inner, (0, None))(x[0], y[0])
    x, y = (np.broadcast_to(a, (3, 3, 4)) for a in (x[0][:, None], y[0]))
    assert_close(out, expected(x, y))


def test_what_is_not_finite_stays_in_its_row():
    x, y = inputs.rng("not finite").uniform(-1, 1, size=(2, 3, 4))
    clean, _ = running_products(x, y)
    x[0], y[1, 3] = np.inf, np.nan
    out, _ = running_products(x, y)
    np.testing.assert_array_equal(out[2], clean[2])


# What they are there for: see the module's first words.
@pytest.mark.skipif(jax.default_backend() != "cpu", reason="loops for a CPU")
@pytest.mark.parametrize(
    ("method", "mode", "loops"),
    [("softsort", "smooth", 2), ("fast_soft_sort", "smooth", 2)],
)
def test_loops_are_compiled_as_one(method, mode, loops):
    def total(x):
        return jnp.sum(sj.sort(x, method=method, mode=mode) ** 2)

    program = jax.jit(jax.grad(total)).lower(jnp.zeros((2, 100))).compile()
    text = program.as_text()
    assert text.count('xla_cpu_small_call="true"') >= loops
    # Loops that are not would stand in the entry.
    entry = text[text.index("\nENTRY") :]
    assert " while(" not in entry
