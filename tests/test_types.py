"""A walk over all that is public: types, 64-bit numbers, and empty batches."""

import functools

import internals
import jax
import jax.numpy as jnp
import numpy as np
import public
import pytest
from assertions import assert_close
from cases import (
    ALL_REGULARIZERS,
    METHODS,
    OPERATORS,
    REPRESENTATIVES,
    SOLVERS,
    TRANSPORT_SOLVERS,
)
from facts import has, is_read_off
from parametrize import each, each_pair, pick

import softjax as sj

FUNCTIONS = {
    **public.FUNCTIONS,
    **{f"solvers.{name}": call for name, call in public.SOLVERS.items()},
    **{f"internal.{name}": call for name, call in internals.INTERNAL.items()},
}
X = np.array([[0.3, -0.45, 0.7, 0.1], [0.2, 0.9, -0.6, 0.2]])


def test_every_public_name_is_walked_over():
    names = {name.removeprefix("softjax.") for name in public.public_names.names()}
    others = {name.removeprefix("softjax.") for name in public.OTHERS}
    called = {name for name in FUNCTIONS if not name.startswith("internal.")}
    assert names == called | others
    assert not called & others


def with_gradient(fn):
    """A function that returns its result and the gradient of the sum of all of it."""

    def compute(x):
        def total(x):
            out = fn(x)
            return sum(jnp.sum(y) for y in jax.tree.leaves(out)), out

        gradient, out = jax.grad(total, has_aux=True)(x)
        return out, gradient

    return compute


def types(fn, dtype, shape=X.shape):
    """Types of all results of a function, as a trace tells them: nothing is run."""
    x = jax.ShapeDtypeStruct(shape, dtype)
    return {leaf.dtype for leaf in jax.tree.leaves(jax.eval_shape(fn, x))}


# Variants are made by one wrapper, percentiles are quantiles, what leaves NaN out is a
# mask, what is shared without promises is part of what calls it, and projections are
# part of `test_types_of_methods_and_modes`.
_PLAIN = [n for n in FUNCTIONS if not n.endswith(("_st", "Projection"))]
_PLAIN = [n for n in _PLAIN if not n.startswith(("nan", "internal."))]
_FAST = tuple(n for n in _PLAIN if "percentile" not in n)
# The others take up to 11 seconds each.
_PAIRS = REPRESENTATIVES | dict.fromkeys(("ot", "neuralsort"))


@each("name", list(FUNCTIONS), fast=_FAST[1::2])
def test_types_are_kept(name):
    """Types of 64-bit numbers, whatever parameters are of NumPy's types."""
    fn = with_gradient(FUNCTIONS[name])
    # The optimization layer computes in what it is given.
    wide = name not in public.FUNCTIONS
    with jax.enable_x64(True):
        for dtype in (jnp.float32, jnp.float64 if wide else jnp.bfloat16):
            assert types(fn, dtype) == {jnp.dtype(dtype)}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_types_are_kept_without_64_bits(name):
    fn = with_gradient(FUNCTIONS[name])
    narrow = [jnp.float16, jnp.bfloat16] * (name in public.FUNCTIONS)
    for dtype in (jnp.float32, *narrow):
        assert types(fn, dtype) == {jnp.dtype(dtype)}


@pytest.mark.slow
@pytest.mark.parametrize("name", FUNCTIONS)
def test_64_bits_change_nothing(name):
    """float32 gives the same with 64-bit numbers as without, and near float64."""
    fn = jax.jit(with_gradient(FUNCTIONS[name]))
    x = jnp.asarray(X, jnp.float32)
    eager, single = FUNCTIONS[name](x), fn(x)
    with jax.enable_x64(True):
        fn = jax.jit(with_gradient(FUNCTIONS[name]))
        x = jnp.asarray(X, jnp.float32)
        found = [(eager, FUNCTIONS[name](x)), (single, fn(x))]
        wide = fn(x.astype(jnp.float64))
    if not name.startswith("random."):  # float64 has other random numbers
        found.append((wide, single))
    for one, other in found:
        for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
            scale = 1 + np.abs(np.asarray(a, np.float64))
            assert_close(b / scale, a / scale, atol=2e-5)


def outputs(method, case):
    """All operators that a method has, which take x and softness."""
    operators = [o for o in OPERATORS if has(method, o) and not is_read_off(o, method)]

    def call(x, softness):
        keywords = dict(softness=softness, mode=case.mode, method=method)
        return {o.name: o.call(x, **keywords) for o in operators}

    return call


@each_pair(ALL_REGULARIZERS, _PAIRS)
def test_types_of_methods_and_modes(case, method):
    """Operators by each method and mode keep their type beside a wider softness."""
    call = outputs(method, case)
    fn = with_gradient(lambda x: call(x, np.full((2, 1), 0.3)))
    with jax.enable_x64(True):
        assert types(fn, jnp.float32) == {jnp.dtype(jnp.float32)}


# Empty batches


@each("name", _PLAIN, fast=_FAST[::2])
def test_empty_batches(name):
    """Traced: what fails does so there, in the shape of a loop or of an array."""
    x = jax.ShapeDtypeStruct((0, 4), jnp.float32)
    out, gradient = jax.eval_shape(with_gradient(FUNCTIONS[name]), x)
    assert gradient.shape == (0, 4)
    # What `sum_chunks` returns has no batch.
    if name != "internal.sum_chunks":
        assert all(0 in leaf.shape for leaf in jax.tree.leaves(out))


@each_pair(ALL_REGULARIZERS, _PAIRS)
def test_empty_batches_of_methods_and_modes(case, method):
    """One program each: values, and gradients in the input and the softness."""
    call = outputs(method, case)

    def total(x, softness):
        out = call(x, softness)
        return sum(jnp.sum(y) for y in jax.tree.leaves(out)), out

    run = jax.jit(jax.grad(total, (0, 1), has_aux=True))
    (gradient, slope), out = run(jnp.zeros((2, 0, 4)), 0.3)
    shapes = jax.eval_shape(call, jnp.zeros((2, 3, 4)), 0.3)
    assert gradient.shape == (2, 0, 4)
    assert slope == 0
    for name, y in out.items():
        expected = [0 if size == 3 else size for size in shapes[name].shape]
        assert y.shape == tuple(expected), name


@each(
    "solver",
    SOLVERS[1:] + TRANSPORT_SOLVERS[1:],
    fast=("newton", "closed_form", "semi_dual", "alternating"),
)
def test_empty_batches_of_solvers(solver):
    transport = solver in TRANSPORT_SOLVERS
    mode = "smooth" if transport else "c0"

    def call(x):
        method = "ot" if transport else "softsort"
        return sj.sort(x, method=method, mode=mode, solver=solver.solver)

    x = jax.ShapeDtypeStruct((0, 4), jnp.float32)
    out, gradient = jax.eval_shape(with_gradient(call), x)
    assert out.shape == gradient.shape == (0, 4)


@pytest.mark.parametrize("n", [1, 300])
@each("method", METHODS, fast=("softsort", "ot", "fast_soft_sort"))
def test_empty_batches_of_other_sizes(method, n):
    (case,) = pick(ALL_REGULARIZERS, REPRESENTATIVES[method])
    x = jax.ShapeDtypeStruct((0, n), jnp.float32)
    for operator in (sj.sort, sj.rank):
        call = functools.partial(operator, method=method, mode=case.mode)
        out, gradient = jax.eval_shape(with_gradient(call), x)
        assert out.shape == gradient.shape == (0, n)
