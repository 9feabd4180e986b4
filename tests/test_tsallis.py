"""Tsallis entropies over the whole range of their exponent, and through its limits."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, finite_difference
from cases import METHODS
from oracles import tsallis_link
from parametrize import each

import softjax as sj
from softjax.solvers import (
    Entropy,
    HypersimplexProjection,
    PermutahedronProjection,
    Scaled,
    SimplexProjection,
    Sum,
    Tsallis,
    get_regularizer,
    solve,
)

ALPHAS = [0.3, 0.5, 0.9, 0.999, 1 - 1e-5, 1.0, 1 + 1e-5, 1.001]
ALPHAS += [1.2, 1.5, 2.0, 2.5, 3.0, 5.0, 10.0]
STEEP = [alpha for alpha in ALPHAS if alpha > 2]
Z = inputs.rng("tsallis").normal(size=(5, 6))
T = np.array([-2.0, -0.6, -0.2, -0.07, 0.0, 0.03, 0.1, 0.4, 1.5])


@jax.jit
def _traced(z, t, softness, alpha):
    """Everything at once, compiled once for all exponents."""
    regularizer = Tsallis(alpha)
    y = solve(SimplexProjection(z, softness), regularizer).value
    mask = solve(HypersimplexProjection(z, 2.0, softness), regularizer).value
    return y, mask, regularizer.sigmoid(t), regularizer.softplus(t)


def _simplex(alpha, z, softness):
    if alpha > 1:
        return oracles.entmax_oracle(z, softness, alpha)
    return oracles.simplex_oracle(z, softness, tsallis_link(alpha))


def _sigmoid(alpha, t):
    return _simplex(alpha, np.stack([t, 0 * t], axis=-1), 1.0)[..., 0]


@pytest.mark.x64
@each("alpha", ALPHAS, fast=("1.0", "1.5", "3.0"))
def test_values(alpha):
    """Values at an exponent that is known, and at a traced one."""
    found = _traced(Z, T, 0.7, jnp.asarray(alpha))
    y = solve(SimplexProjection(jnp.asarray(Z), 0.7), Tsallis(alpha)).value
    expected = _simplex(alpha, Z, 0.7)
    assert_close(y, expected)
    assert_close(found[0], expected)
    assert np.array_equal(np.asarray(y) == 0, expected == 0)
    wide = 1e-5 if alpha > 3 else None
    assert_close(found[2], _sigmoid(alpha, T), atol=wide)
    assert_close(Tsallis(alpha).sigmoid(jnp.asarray(T)), found[2], atol=wide)
    assert_close(Tsallis(alpha).softplus(jnp.asarray(T)), found[3])


@each("alpha", ALPHAS, fast=("0.5", "3.0"))
def test_integrals(alpha, x64):
    """Values that are in no closed form: of masks, and the integral of the sigmoid."""
    _, mask, _, softplus = _traced(Z, T, 0.7, jnp.asarray(alpha))
    link = tsallis_link(alpha)
    if alpha <= 3:  # beyond, a reference by duals loses too many digits
        expected = oracles.hypersimplex_oracle(Z, 2.0, 0.7, link)
        assert_close(mask, expected, atol=1e-7)

    def integral(t):
        # By parts: r(1) = r(0) = 0.
        y = _sigmoid(alpha, t)
        rest = [np.where(v > 0, v, 1.0) for v in (y, 1 - y)]
        if alpha == 1:
            values = sum(v * np.log(v) for v in rest)
        else:
            values = sum((v**alpha - v) / (alpha * (alpha - 1)) for v in rest)
        return t * y - values

    assert_close(softplus, integral(T), atol=1e-8)


@functools.cache
def _derivatives(second: bool):
    def total(z, softness, alpha):
        regularizer = Tsallis(alpha)
        y = solve(SimplexProjection(z, softness), regularizer).value
        mask = solve(HypersimplexProjection(z, 1.5, softness), regularizer).value
        step = regularizer.sigmoid(z / 3)
        ramp = regularizer.softplus(z / 3)
        weights = jnp.cos(jnp.arange(float(z.size))).reshape(z.shape)
        return jnp.sum(weights * (y**2 + mask + step + ramp))

    first = jax.value_and_grad(total, (0, 1, 2))
    if not second:
        return jax.jit(first)
    return jax.jit(lambda *args: jax.jacfwd(lambda a: first(*args[:2], a)[1])(args[2]))


@each("alpha", ALPHAS, fast=("1.0", "3.0"))
def test_derivatives(alpha, x64):
    """In scores, softness and exponent, against finite differences."""
    compute = _derivatives(False)
    args = (Z, np.asarray(0.7), np.asarray(alpha))
    _, gradient = compute(*args)
    moves = [
        inputs.rng("moves", i).normal(size=np.shape(a)) for i, a in enumerate(args)
    ]
    for i in range(3):
        only = tuple(m if i == j else 0 * m for j, m in enumerate(moves))
        expected = finite_difference(lambda *a: compute(*a)[0], args, only, step=1e-5)
        assert_close(np.vdot(gradient[i], only[i]), expected, atol=2e-6, rtol=2e-6)


@pytest.mark.slow
@pytest.mark.parametrize("alpha", [0.5, 1 - 1e-5, 1.0, 1 + 1e-5, 1.2, 3.0])
def test_second_derivatives_in_the_exponent(alpha, x64):
    """Second derivatives in alpha, at and around 1 too, where formulas are 0 / 0."""
    args = (Z, np.asarray(0.7))
    found = _derivatives(True)(*args, jnp.asarray(alpha))

    def gradient(a):
        return _derivatives(False)(*args, a)[1]

    step = 1e-5
    above, below = gradient(alpha + step), gradient(alpha - step)
    for second, high, low in zip(found, above, below, strict=True):
        expected = (np.asarray(high) - np.asarray(low)) / (2 * step)
        assert_close(second, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@each("alpha", ALPHAS)
def test_derivatives_in_float32(alpha):
    """Derivatives in float32 are those in float64, up to rounding."""
    args = (Z.astype(np.float32), np.float32(0.7), np.float32(alpha))
    with jax.enable_x64(True):
        # Of the exponent after rounding.
        expected = _derivatives(False)(Z, 0.7, np.float64(args[2]))
        expected = jax.tree.map(np.asarray, expected)
    found = _derivatives(False)(*args)
    pairs = zip(*map(jax.tree.leaves, (found, expected)), strict=True)
    for actual, truth in pairs:
        assert actual.dtype == np.float32
        scale = np.maximum(1, np.abs(truth))
        wide = 2e-3 if alpha == 10 else 2e-5
        assert_close(np.asarray(actual) / scale, truth / scale, atol=wide)


def test_continuous_in_the_exponent():
    """Through 1, also next to it, and in float32."""
    scores = jnp.array([0.0, 0.0, 1.0])
    alphas = jnp.asarray(1 + np.linspace(-3e-5, 3e-5, 61), jnp.float32)

    @jax.jit
    @jax.vmap
    def derivatives(alpha):
        def last(a):
            return sj.argmax(scores, mode=Tsallis(a), softness=1.0)[2]

        return last(alpha), jax.grad(last)(alpha), jax.grad(jax.grad(last))(alpha)

    value, slope, curvature = derivatives(alphas)
    softmax = float(jax.nn.softmax(scores)[2])
    # At 1, by differences of closed forms in 64 bits: 0.2568 and 0.2476.
    assert_close(value, softmax + 0.25677 * (alphas - 1), atol=3e-7)
    assert_close(slope, np.full(61, 0.25677), atol=3e-5)
    assert_close(curvature, np.full(61, 0.2476), atol=3e-4)
    near = sj.argmax(scores, mode=Tsallis(1.00001), softness=1.0)
    assert_close(near, jax.nn.softmax(scores), atol=3e-6)


def test_a_limit_of_elementwise_widths():
    """Widths do not vanish where transitions become unbounded."""
    x = jnp.asarray([-0.3, -0.1, 0.0, 0.05, 0.4])
    for fn in (sj.heaviside, sj.relu):
        smooth = fn(x)
        for alpha in (1 - 1e-5, 1.0, 1 + 1e-5):
            assert_close(fn(x, mode=Tsallis(alpha)), smooth, atol=1e-5)
            assert_close(fn(x, mode=Tsallis(jnp.asarray(alpha))), smooth, atol=1e-5)


@each("alpha", ALPHAS, fast=("0.5", "1.00001", "3.0"))
def test_two_scores_make_a_monotone_curve(alpha):
    t = np.linspace(-1, 1, 10_001).astype(np.float32)
    pairs = jnp.stack([t, 0 * t], axis=-1)
    y = sj.argmax(pairs, axis=-1, mode=Tsallis(alpha), softness=1.0)[:, 0]
    y = np.asarray(y, np.float64)
    assert np.all(np.diff(y) >= 0)
    assert np.all(np.abs(y + y[::-1] - 1) <= 1e-6)
    some = slice(None, None, 200)
    assert_close(y[some], _sigmoid(alpha, t[some].astype(np.float64)), atol=1e-6)


@each("alpha", STEEP, fast=("3.0",))
def test_peaked_scores(alpha):
    """One-hot rows, and finite gradients; also where entries just leave 0."""
    z = 1000 * inputs.rng("peaked").normal(size=(200, 8)).astype(np.float32)
    # A row whose second entry is at the edge of the support, and next to it.
    edge = np.float32(1 / (alpha - 1))
    beside = np.nextafter(edge, np.float32([0, 1]))
    rows = [np.append([0, -e], np.full(6, -9)) for e in (edge, *beside)]
    rows += [np.full(8, 3.0), np.append(np.zeros(2), np.full(6, -edge))]
    z = np.concatenate([z, np.asarray(rows, np.float32)])

    @jax.jit
    def all_of_it(z):
        def total(z):
            y = sj.argmax(z, axis=-1, mode=Tsallis(alpha), softness=1.0)
            return jnp.sum(jnp.arange(8.0) * y**2), y

        (_, y), gradient = jax.value_and_grad(total, has_aux=True)(z)
        ones = jnp.ones_like(z)
        return y, gradient, jax.jvp(jax.grad(lambda z: total(z)[0]), (z,), (ones,))[1]

    y, gradient, second = all_of_it(z)
    below = np.sort(z, axis=-1)[:, ::-1]
    apart = np.flatnonzero(below[:, 0] - below[:, 1] > 1)
    assert len(apart) > 190
    hard = z[apart] == z[apart].max(axis=-1, keepdims=True)
    np.testing.assert_array_equal(y[apart], hard)
    assert_close(np.sum(y, axis=-1), np.ones(len(z)))
    assert np.all(np.isfinite(gradient))
    assert np.all(np.isfinite(second))
    assert_close(y[-2], np.full(8, 1 / 8))


@each("alpha", STEEP, fast=("3.0",))
def test_the_derivative_of_a_steep_link(alpha, x64):
    """`diag(s) - s s^T / sum s` with `s = y^(2 - a)` on the support."""
    # Some entries are in the support, whose width is 1 / (a - 1).
    z = Z[0] / (2 * (alpha - 1))
    fn = functools.partial(sj.argmax, mode=Tsallis(alpha), softness=1.0)
    y = np.asarray(fn(z))
    s = np.where(y > 0, np.where(y > 0, y, 1) ** (2 - alpha), 0)
    expected = -np.outer(s, s) / s.sum()
    np.fill_diagonal(expected, 0)
    # Not by differences: the largest s may be far above all others.
    np.fill_diagonal(expected, -expected.sum(axis=-1))
    scale = np.abs(expected).max()
    for jacobian in (jax.jacfwd(fn)(z), jax.jacrev(fn)(z)):
        assert_close(jacobian / scale, expected / scale, atol=1e-9)


_OPERATORS = {
    "softsort": lambda x, **kw: sj.sort(x, method="softsort", **kw),
    "neuralsort": lambda x, **kw: sj.rank(x, method="neuralsort", **kw),
    "ot": lambda x, **kw: sj.sort(x, method="ot", **kw),
    "network": lambda x, **kw: sj.sort(x, method="sorting_network", **kw),
    "mask": lambda x, **kw: sj.top_k_mask(x, 2, **kw),
    "relu": sj.relu,
}


@each("name", list(_OPERATORS), fast=("softsort",))
def test_operators_with_a_traced_exponent(name, x64):
    """Operators at a traced alpha are those at a number, and differentiate in all."""
    operator, x = _OPERATORS[name], Z[0]

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1, 2), has_aux=True)
    def run(x, softness, alpha):
        y = operator(x, softness=softness, mode=Tsallis(alpha))
        return jnp.sum(jnp.cos(3 * y)), y

    for alpha in (0.5, 1 - 1e-5, 1.3, 3.0):
        args = (x, np.asarray(0.4), np.asarray(alpha))
        (_, y), gradient = run(*args)
        known = operator(x, softness=0.4, mode=Tsallis(alpha))
        assert_close(y, known, atol=1e-7)
        moves = (np.sin(np.arange(6.0)), np.asarray(0.3), np.asarray(0.7))
        expected = finite_difference(lambda *a: run(*a)[0][0], args, moves, step=1e-6)
        found = sum(np.vdot(g, m) for g, m in zip(gradient, moves, strict=True))
        assert_close(found, expected, atol=1e-5, rtol=1e-5)


@each("alpha", [0.5, 1.0, 1.5, 3.0], fast=("3.0",))
@each("method", ["softsort", "neuralsort"], fast=("softsort",))
def test_long_rows(alpha, method):
    """Rows of windows in some regularizers: a known and a traced exponent."""
    x = inputs.rng("long").normal(size=150).astype(np.float32)
    oracle = dict(
        softsort=oracles.softsort_oracle, neuralsort=oracles.neuralsort_oracle
    )
    link = tsallis_link(alpha)
    args = (x, 0.3, link) if method == "softsort" else (x, 0.3, link, np.arange(1, 151))
    expected = oracle[method](*args) @ x.astype(np.float64)

    @jax.jit
    def traced(alpha):
        return sj.sort(x, mode=Tsallis(alpha), softness=0.3, method=method)

    assert_close(traced(jnp.asarray(alpha)), expected, atol=2e-5)
    known = sj.sort(x, mode=Tsallis(alpha), softness=0.3, method=method)
    assert_close(known, expected, atol=2e-5)


def test_one_is_the_entropy():
    """The rate, default solver and closed forms of the entropy, and no root find."""
    one, entropy = Tsallis(1.0), get_regularizer("smooth")
    assert one.structure().rate == entropy.structure().rate == 1
    assert one.simplex_dual() is not None
    y = np.array([0.0, 0.2, 1.0])
    # r is y log y: Shannon's, without a linear term.
    assert_close(one.value(jnp.asarray(y)), [0, 0.2 * np.log(0.2), 0])
    assert_close(one.link(jnp.asarray([0.0, 1.0])), np.exp([-1.0, 0.0]))


@each("method", [m for m in METHODS if m != "sorting_network"], fast=("softsort",))
def test_one_is_the_entropy_for_operators(method):
    keywords = dict(softness=0.3, method=method)
    found = sj.sort(Z[0], mode=Tsallis(1.0), **keywords)
    assert_close(found, sj.sort(Z[0], mode="smooth", **keywords), atol=1e-6)


def test_what_it_says_of_itself():
    for alpha in ALPHAS:
        known = Tsallis(alpha)
        assert known.structure().sparse == (alpha > 1)
        assert known.structure().unbounded == (alpha >= 1)
        assert known.structure().steep == (alpha > 2)
        assert known.structure().linear == (alpha == 2)
        # Where there is a pole, and what there is beyond.
        if alpha < 0.95:  # closer to 1, what is next to the pole overflows
            pole = 1 / (alpha * (1 - alpha))
            t = jnp.asarray([0.99 * pole, 1.01 * pole, jnp.nan])
            link, slope = known.link(t), known.slope(t)
            assert np.isfinite(link[0])
            assert link[0] > 1
            assert link[1] == jnp.inf
            assert known.conjugate(t)[1] == jnp.inf
            assert np.isfinite(slope[1])
            assert np.all(np.isnan([link[2], slope[2]]))
    steep, mixed = Tsallis(3.0), Sum(Tsallis(3.0), Entropy())
    assert Scaled(steep, 2.0).structure().steep
    assert Sum(steep, steep).structure().steep
    assert not mixed.structure().steep


def test_a_pole_is_refused_by_name():
    """Projections that have to reach any number refuse a link with a pole."""
    for mode in (Tsallis(0.5), Scaled(Tsallis(0.9), 2.0), Sum(Tsallis(0.3))):
        with pytest.raises(ValueError, match=r"Tsallis\(alpha=0\..*'smooth', 'c0'"):
            sj.sort(Z[0], mode=mode, method="fast_soft_sort")
        with pytest.raises(ValueError, match="permutahedron"):
            solve(PermutahedronProjection(Z[0], Z[1], 0.1), mode)
    with pytest.raises(ValueError, match=r"Tsallis\(alpha=0\.5\).*smooth_sort"):
        sj.sort(Z[0], mode=Tsallis(0.5), method="smooth_sort")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
def test_types(dtype):
    x = jnp.asarray(Z[0], dtype)
    for alpha in (0.5, 1.0, 1.2, 3.0):
        y = sj.argmax(x, mode=Tsallis(alpha), softness=0.5)
        assert y.dtype == dtype
        expected = _simplex(alpha, np.asarray(x, np.float64), 0.5)
        assert_close(y, expected, atol=0.01)
    empty = sj.argmax(jnp.zeros((0, 3), dtype), axis=-1, mode=Tsallis(3.0))
    assert empty.shape == (0, 3)
    assert_close(sj.argmax(x[:1], mode=Tsallis(3.0)), np.ones(1))
