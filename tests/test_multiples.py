"""Multiples of regularizers, and sums of one: they keep what they are made of."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from cases import METHODS, OPERATORS, REGULARIZERS, TRANSPORT_SOLVERS, Mixed
from facts import has
from parametrize import each, each_pair, pick

import softjax as sj
from softjax.solvers import (
    DualCoordinateAscent,
    Entropy,
    MajorizationProjection,
    NeuralSortRows,
    PermutahedronProjection,
    PNorm,
    Scaled,
    SimplexProjection,
    SoftSortRows,
    Sum,
    TransportProjection,
    Tsallis,
    choose_solver,
    get_regularizer,
    solve,
)

FACTOR, SOFTNESS = 2.5, 0.2
X = inputs.rng("multiples").normal(size=(2, 5))

WRAPPINGS = {
    "scaled": lambda r, f: Scaled(r, f),
    "twice": lambda r, f: Scaled(Scaled(r, 2.0), f / 2.0),
    "one": lambda r, f: Sum(Scaled(Sum(r), f)),
}

# The distinct kinds: each method takes 7 to 13 seconds.
_OPERATORS = pick(OPERATORS, "argmax", "sort", "rank", "quantile", "top_k_values")
_OPERATORS += pick(OPERATORS, "top_k_mask")
_FAST = dict.fromkeys(METHODS)


@each_pair(REGULARIZERS, _FAST)
def test_a_factor_is_one_of_the_softness(case, method, x64):
    """For every operator: values, gradients, and what is differentiated in the factor.

    Of a traced one, and of one that is known.
    """
    operators = [op for op in _OPERATORS if has(method, op)]

    def total(x, softness, mode):
        keywords = dict(softness=softness, mode=mode, method=method)
        out = [op.call(x, **keywords) for op in operators]
        return sum(jnp.sum(jnp.cos(2 * y)) for y in out), out

    @jax.jit
    def multiple(x, softness, factor):
        def fn(x, softness, factor):
            return total(x, softness, Scaled(case.regularizer, factor))

        return jax.value_and_grad(fn, (0, 1, 2), has_aux=True)(x, softness, factor)

    @jax.jit
    def plain(x, softness):
        def fn(x, softness):
            return total(x, softness, case.mode)

        return jax.value_and_grad(fn, (0, 1), has_aux=True)(x, softness)

    (_, out), (dx, ds, df) = multiple(X, SOFTNESS, FACTOR)
    (_, expected), (x_slope, s_slope) = plain(X, SOFTNESS * FACTOR)
    known = jax.jit(lambda x: total(x, SOFTNESS, Sum(Scaled(case.regularizer, FACTOR))))
    for y, again, truth in zip(out, known(X)[1], expected, strict=True):
        assert_close(y, truth, atol=1e-8)
        assert_close(again, truth, atol=1e-8)
    assert_close(dx, x_slope, atol=1e-6)
    assert_close(ds, FACTOR * s_slope, atol=1e-6, rtol=1e-6)
    assert_close(df, SOFTNESS * s_slope, atol=1e-6, rtol=1e-6)


@each("fn", [sj.heaviside, sj.relu, sj.abs, sj.sign], fast=("heaviside", "relu"))
@each(
    "case",
    pick(REGULARIZERS, "smooth", "c0", "c2", "quintic", "user_link"),
    fast=("smooth", "c0", "quintic"),
)
def test_elementwise(case, fn):
    x = jnp.asarray([-0.9, -0.2, 0.0, 0.1, 0.6])
    found = fn(x, mode=Scaled(case.regularizer, FACTOR), softness=SOFTNESS)
    expected = fn(x, mode=case.mode, softness=FACTOR * SOFTNESS)
    assert_close(found, expected, atol=5e-6)


def _everything(regularizer, t, y):
    return dict(
        link=regularizer.link(t),
        slope=regularizer.slope(t),
        gradient=regularizer.gradient(y),
        conjugate=regularizer.conjugate(t),
        value=regularizer.value(y),
        sigmoid=regularizer.sigmoid(t),
        softplus=regularizer.softplus(t),
        contrast=regularizer.contrast(y, 1 - y),
    )


@pytest.mark.parametrize("name", WRAPPINGS)
@each("case", pick(REGULARIZERS, "smooth", "c0", "c1", "c2", "quintic"))
def test_facts_are_kept(case, name):
    r, wrapped = case.regularizer, WRAPPINGS[name](case.regularizer, FACTOR)
    shape, wrapped_shape = r.structure(), wrapped.structure()
    for fact in ("sparse", "unbounded", "linear", "steep"):
        assert getattr(wrapped_shape, fact) == getattr(shape, fact)
    assert (wrapped_shape.rate is None) == (shape.rate is None)
    if case.exponential:
        assert wrapped_shape.rate == pytest.approx(1 / FACTOR)
    assert (wrapped.simplex_dual() is None) == (r.simplex_dual() is None)
    unit, factor = wrapped.unit()
    assert unit == r
    assert factor == pytest.approx(FACTOR)
    assert_close(wrapped.transition_scale(), r.transition_scale())
    # phi(t / f), f r' and so on.
    t, y = jnp.asarray([-2.0, -0.4, 0.1, 0.7]), jnp.asarray([0.1, 0.6, 0.9])
    found = _everything(wrapped, FACTOR * t, y)
    plain = _everything(r, t, y)
    by_factor = dict(slope=1 / FACTOR)
    by_factor |= dict.fromkeys(["gradient", "conjugate", "value", "softplus"], FACTOR)
    for key, value in plain.items():
        assert_close(found[key], by_factor.get(key, 1) * value, atol=1e-5)


_CHOICES = {
    "simplex": lambda: SimplexProjection(X, SOFTNESS),
    "softsort": lambda: SoftSortRows(None, _long(), SOFTNESS),
    "neuralsort": lambda: NeuralSortRows(None, _long(), SOFTNESS),
    "transport": lambda: TransportProjection(np.eye(20), *np.ones((2, 20)), SOFTNESS),
    "permutahedron": lambda: PermutahedronProjection(X, X, SOFTNESS),
}


def _long():
    return np.sort(inputs.rng("multiples").normal(size=200)).astype(np.float32)


@pytest.mark.parametrize("problem", _CHOICES)
@each("case", pick(REGULARIZERS, "smooth", "c0", "c1"))
def test_the_same_solver_is_chosen(case, problem):
    problem = _CHOICES[problem]()
    expected = choose_solver(None, problem, case.regularizer)
    for wrap in WRAPPINGS.values():
        found = choose_solver(None, problem, wrap(case.regularizer, FACTOR))
        assert found == expected
    # Also where the factor is traced.
    seen = []

    @jax.jit
    def trace(factor):
        mode = Scaled(case.regularizer, factor)
        seen.append(choose_solver(None, problem, mode))
        return factor

    trace(FACTOR)
    assert seen == [expected]


def _largest(fn, *args) -> int:
    """The size of the largest array in a program."""
    jaxpr = jax.make_jaxpr(fn)(*args)

    def sizes(jaxpr):
        for eqn in jaxpr.eqns:
            yield from (getattr(v.aval, "size", 0) for v in eqn.outvars)
        for eqn in jaxpr.eqns:
            for value in jax.tree.leaves(
                list(eqn.params.values()),
                is_leaf=lambda v: hasattr(v, "eqns") or hasattr(v, "jaxpr"),
            ):
                inner = getattr(value, "jaxpr", value)
                if hasattr(inner, "eqns"):
                    yield from sizes(inner)

    return max(sizes(jaxpr.jaxpr))


@each("method", ["softsort", "neuralsort", "fast_soft_sort"], fast=("fast_soft_sort",))
def test_no_square_array(method):
    """Multiples of the entropy need no n x n array, like the entropy itself."""
    x = inputs.rng("memory").normal(size=500).astype(np.float32)

    def gradient(mode, x):
        return jax.grad(lambda x: jnp.sum(sj.sort(x, mode=mode, method=method) ** 2))(x)

    plain = _largest(functools.partial(gradient, "smooth"), x)
    assert plain < 500**2 / 4
    for wrap in WRAPPINGS.values():
        mode = wrap(Entropy(), FACTOR)
        assert _largest(functools.partial(gradient, mode), x) <= plain
    # The dense rows of a regularizer without structure are seen.
    if method == "softsort":
        dense = _largest(functools.partial(gradient, Mixed()), x)
        assert dense >= 500**2


@each("solver", TRANSPORT_SOLVERS, fast=())
def test_transport(solver):
    """Plans of a multiple of the entropy, by each solver: few columns, and many."""
    for columns in (3, 20):
        rng = inputs.rng("transport", columns)
        cost = jnp.asarray(rng.uniform(size=(20, columns)))
        mu, nu = np.full(20, 1 / 20), np.full(columns, 1 / columns)
        multiple = TransportProjection(cost, mu, nu, SOFTNESS)
        plain = TransportProjection(cost, mu, nu, FACTOR * SOFTNESS)
        mode = Scaled(Entropy(), FACTOR)
        found = solve(multiple, mode, solver.solver)
        expected = solve(plain, "smooth")
        assert_close(20 * found.value, 20 * expected.value, atol=10 * solver.atol)
        # In float32, minimisers of other packages may stop before their tolerance.
        assert np.all(found.converged | (found.residual <= 10 * solver.atol))
        # Rows are normalized in the end, which hides errors of f; not from this.
        f, g = multiple.optimality(found.dual, mode)
        assert_close(20 * f, np.zeros(20), atol=10 * solver.atol)
        assert_close(columns * g, np.zeros(columns), atol=10 * solver.atol)


@each(
    "case",
    pick(REGULARIZERS, "smooth", "c0", "c1", "user_gradient"),
    fast=("c0",),
)
def test_permutahedra(case):
    """A factor is a softness, where links are positive too; it leaves the unit of w."""
    w = inputs.rng("permutahedra").normal(size=X.shape)
    expected = solve(PermutahedronProjection(X, w, FACTOR * SOFTNESS), case.mode)
    problem = PermutahedronProjection(X, w, SOFTNESS)

    @jax.jit
    def traced(factor):
        return solve(problem, Scaled(case.regularizer, factor)).value

    assert_close(traced(FACTOR), expected.value, atol=2e-5)
    known = solve(problem, Scaled(case.regularizer, FACTOR)).value
    assert_close(known, expected.value, atol=2e-5)


@pytest.mark.slow
def test_a_rate_is_differentiated(x64):
    """Closed forms with a traced factor of the entropy, to second order."""
    s = np.sort(X[0])
    problems = [
        SimplexProjection(X, SOFTNESS),
        SoftSortRows(None, s, SOFTNESS),
        NeuralSortRows(None, s, SOFTNESS),
        TransportProjection(X[:, :2], np.ones(2), np.ones(2), SOFTNESS),
        PermutahedronProjection(X, X, SOFTNESS),
    ]

    @jax.jit
    def values(factor):
        out = [solve(p, Scaled(Entropy(), factor)).value for p in problems]
        return jnp.stack([jnp.sum(jnp.cos(3 * y)) for y in out])

    first = jax.jit(jax.jacfwd(values))
    one = (np.asarray(1.0),)
    args = (np.asarray(FACTOR),)
    assert_close(first(*args), finite_difference(values, args, one), atol=1e-7)
    second = jax.jacrev(first)(*args)
    assert_close(second, finite_difference(first, args, one), atol=1e-7)


@pytest.mark.slow
def test_any_solver_of_a_multiple():
    """Rows by Newton's method instead of closed forms: the dual is the same too."""
    mode = Scaled(Entropy(), FACTOR)
    s = _long()[::20]
    for problem in (
        SimplexProjection(jnp.asarray(X), SOFTNESS),
        SoftSortRows(None, s, SOFTNESS),
        NeuralSortRows(None, s, SOFTNESS),
    ):
        closed, newton = (
            solve(problem, mode, name) for name in ("closed_form", "newton")
        )
        assert_close(closed.dual, newton.dual, atol=2e-5)
        assert_close(closed.value, newton.value, atol=5e-6)
        assert np.all(closed.converged & newton.converged)
    cost = inputs.rng("alternating").uniform(size=(4, 4))
    problem = TransportProjection(cost, *np.ones((2, 4)), SOFTNESS)
    found = [
        solve(problem, mode, solver).value for solver in (None, DualCoordinateAscent())
    ]
    assert_close(*found, atol=1e-5)


@pytest.mark.slow
def test_windows_of_a_multiple():
    """Long rows of neuralsort: what is left out is as little as of the entropy."""
    x = inputs.rng("windows").normal(size=200).astype(np.float32)
    for fn in (sj.sort, sj.rank):
        for factor in (0.1, 30.0):
            found = fn(x, mode=Scaled(Entropy(), factor), method="neuralsort")
            expected = fn(x, softness=0.1 * factor, method="neuralsort")
            assert_close(found, expected, atol=2e-4 if fn is sj.rank else 2e-5)


def test_other_bounds_are_refused():
    """Majorization bounds are for the entropy, at the softness of the problem."""
    z = np.sort(X[0])[::-1]
    problem = MajorizationProjection(z, z, SOFTNESS)
    for mode in (Scaled(Entropy(), 2.0), PNorm(2), Scaled(Entropy(), jnp.asarray(2.0))):
        with pytest.raises(ValueError, match="multiple of the softness"):
            solve(problem, mode)
    with pytest.raises(ValueError, match="or a multiple of it"):
        sj.sort(X[0], mode=Scaled(PNorm(2), 2.0), method="smooth_sort")


def test_rates():
    assert Scaled(Tsallis(1), 2.0).structure().rate == 0.5
    assert Scaled(get_regularizer("c0"), 2.0).structure().rate is None
