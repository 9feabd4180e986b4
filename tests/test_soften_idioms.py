"""Softened idioms of jax.numpy: the limit, the mean where it is exact, the record."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from jax import lax
from parametrize import each

import softjax as sj

X = np.array([0.31, -0.62, 0.45, 1.27, -0.18], np.float32)
H = 1 / (1 + np.exp(-X.astype(float) / 0.1))
MASK = np.array([True, False, True, True, False])
LABELS = np.array([1, -1, -1, 1, -1])
KEY = jax.random.key(0)


def _shares(p, values):
    """`softmax` where entries are there with probabilities p."""
    terms = p * np.exp(values)
    return terms / terms.sum()


# A program of X that has a gradient, and its mean where it is known in closed form.
IDIOMS = {
    "all as a minimum": (
        lambda x: jnp.min(x > -0.7),
        np.prod(1 / (1 + np.exp(-(X.astype(float) + 0.7) / 0.1))),
    ),
    "any as a maximum": (lambda x: jnp.max(x > 0), 1 - np.prod(1 - H)),
    "product of events": (lambda x: jnp.prod(x[2:4] > 0), H[2] * H[3]),
    "length of the first run": (
        lambda x: jnp.sum(jnp.cumprod(x > 0)),
        np.sum(np.cumprod(H)),
    ),
    "sign against labels": (
        lambda x: jnp.sign(x) == LABELS,
        np.where(LABELS > 0, H, 1 - H),
    ),
    "two signs": (
        lambda x: jnp.sign(x[:2]) == jnp.sign(x[2:4]),
        H[:2] * H[2:4] + (1 - H[:2]) * (1 - H[2:4]),
    ),
    "sign of at least 1": (lambda x: jnp.sign(x) >= 1, H),
    "positive part of a sign": (lambda x: jnp.maximum(jnp.sign(x), 0), H),
    "sign as an index": (
        lambda x: jnp.array([5.0, 0.0, 2.0])[jnp.sign(x).astype(int) + 1],
        5 * (1 - H) + 2 * H,
    ),
    "sign bit": (lambda x: jnp.signbit(x), 1 - H),
    "sign that is copied": (lambda x: jnp.copysign(2.0, x), 4 * H - 2),
    "heaviside": (lambda x: jnp.heaviside(x, 0.5), H),
    "power of two of an event": (lambda x: jnp.ldexp(3.0, x > 0), 3 + 3 * H),
    "counts side by side": (
        lambda x: jnp.stack([jnp.sum(x > 0), jnp.sum(x < 0)]) * 2,
        2 * np.array([H.sum(), (1 - H).sum()]),
    ),
    "order of known keys": (
        lambda x: lax.sort_key_val(np.array([3, 1, 4, 0, 2]), x > 0)[1],
        H[[3, 1, 4, 0, 2]],
    ),
    "known and shuffled": (
        lambda x: jnp.sum(jax.random.permutation(KEY, x > 0)),
        np.sum(H),
    ),
    "an event with the sides changed": (
        lambda x: (x[1:] > x[:-1]) & (x[:-1] < x[1:]),
        1 / (1 + np.exp(-np.diff(X.astype(float)) / 0.1)),
    ),
    "not both of an event and its opposite": (
        lambda x: (x > x[0] - 1.0)[0] | ~(x > x[0] - 1.0)[0] | (x[3] > 9),
        None,
    ),
    "mask of a huge number": (
        lambda x: jax.nn.softmax(jnp.where(x > 0, x, -1e9)),
        _shares(H, X),
    ),
    "mask of the least number": (
        lambda x: jax.nn.softmax(jnp.where(x > 0, x, jnp.finfo(x.dtype).min)),
        _shares(H, X),
    ),
    "queries among integers": (
        lambda x: jnp.searchsorted(jnp.arange(5), 3 * x),
        sum(1 / (1 + np.exp((k - 3 * X.astype(float)) / 0.1)) for k in range(5)),
    ),
    "no steps": (
        lambda x: lax.scan(lambda c, y: (c + y, c), jnp.sum(x > 0), np.zeros(0, int))[
            0
        ],
        np.sum(H),
    ),
    "quotient and remainder": (lambda x: jnp.divmod(x, 0.7), None),
    "half of a count": (lambda x: (jnp.sum(x[:3] > 0) + jnp.sum(x > 0.4)) // 2, None),
    "close": (lambda x: jnp.isclose(x, x[::-1], atol=0.3), None),
    "rounded extremum": (lambda x: jnp.max(jnp.floor(3 * x)) >= 3.0, None),
    "rounded and sorted": (lambda x: jnp.sort(jnp.round(3 * x)) == 1.0, None),
    "changes of sign": (lambda x: jnp.sum(jnp.diff(jnp.sign(x)) != 0), None),
    "whether some": (lambda x: jnp.sum(x > 0.4).astype(bool), None),
    "largest count": (
        lambda x: jnp.argmax(jnp.array([jnp.sum(x > 0.3), jnp.sum(x < 0)])),
        None,
    ),
    "counts that are equal": (
        lambda x: jnp.array([jnp.sum(x > 0), jnp.sum(x > 0.4)]) == 2,
        None,
    ),
    "places side by side": (
        lambda x: jnp.minimum(jnp.stack([jnp.argmax(x), jnp.argmin(x)]), 2),
        None,
    ),
    "places of events": (lambda x: jnp.flatnonzero(x > 0, size=2), None),
    "support of a threshold": (
        lambda x: jnp.sign(jnp.maximum(jnp.abs(x) - 0.5, 0) ** 2),
        None,
    ),
    "thresholds for rows": (
        lambda x: jax.vmap(lambda row: jnp.searchsorted(row, 0.3))(
            jnp.sort(jnp.stack([x, -x, 2 * x]), axis=1)
        ),
        None,
    ),
    "without what is missing": (
        lambda x: jnp.nanmedian(jnp.where(MASK, x, jnp.nan)),
        None,
    ),
    "sorted with what is missing": (
        lambda x: jnp.sort(jnp.where(MASK, x, jnp.nan))[:3],
        None,
    ),
}
FLAT = {"not both of an event and its opposite"}


def _total(tree):
    leaves = [jnp.ravel(jnp.asarray(leaf)) for leaf in jax.tree.leaves(tree)]
    flat = jnp.concatenate([leaf.astype(float) for leaf in leaves])
    return jnp.sum(flat * jnp.cos(1.0 + jnp.arange(flat.size)))


def _floats(tree):
    return [np.asarray(leaf, float) for leaf in jax.tree.leaves(tree)]


def _soften(name, softness=0.1, **keywords):
    return sj.soften(IDIOMS[name][0], softness, on_unsupported="raise", **keywords)


def _assert_hard(found):
    for name, (fn, _) in IDIOMS.items():
        pairs = zip(_floats(found[name]), _floats(fn(jnp.asarray(X))), strict=True)
        for soft, hard in pairs:
            np.testing.assert_allclose(soft, hard, atol=1e-3, err_msg=name)


def test_limits_and_means():
    """All in one program: each is small, and compiling is what takes time."""

    @jax.jit
    def values(x, softness):
        return {name: _soften(name, softness)(x) for name in IDIOMS}

    _assert_hard(values(X, 1e-4))
    found = values(X, 0.1)
    for name, (_, mean) in IDIOMS.items():
        if mean is not None:
            got = np.asarray(found[name], float)
            np.testing.assert_allclose(got, mean, atol=2e-5, err_msg=name)


@pytest.mark.slow
def test_gradients_and_hard_values_of_every_operation():
    @jax.jit
    def both(x):
        slopes = {
            name: jax.grad(lambda x, name=name: _total(_soften(name)(x)))(x)
            for name in IDIOMS
        }
        hard = {name: _soften(name, straight_through="per_op")(x) for name in IDIOMS}
        return slopes, hard

    slopes, hard = both(X)
    _assert_hard(hard)
    for name, slope in slopes.items():
        assert np.isfinite(slope).all(), name
        assert np.any(slope != 0) == (name not in FLAT), name


def test_an_integer_is_one_variable():
    """The mean of a function of a count that stands between two integers."""

    def programs(count):
        return count // 2, count % 2, count**2, *jnp.divmod(count, 2)

    found = sj.soften(lambda x: programs(jnp.sum(x > 0)))(X)
    below = int(np.sum(H))
    part = np.sum(H) - below
    first, second = (_floats(programs(jnp.asarray(k))) for k in (below, below + 1))
    for got, a, b in zip(_floats(found), first, second, strict=True):
        assert_close(got, (1 - part) * a + part * b, atol=1e-5)


def test_labels_that_are_traced_are_whole():
    def accuracy(w, labels):
        return jnp.mean(sj.soften(lambda w: jnp.round(2 * w) == labels)(w))

    labels = jnp.array([1, -1, 0, 3, 0])
    slope = jax.jit(jax.grad(accuracy))(jnp.asarray(X), labels)
    assert np.count_nonzero(slope) == X.size
    # A number between integers is no round one.
    found = sj.soften(lambda x, y: jnp.round(x) == y)(X, jnp.full(5, 0.4))
    assert_close(found, np.zeros(5, np.float32))


@each("x", [-0.05, 0.3])
def test_branches_that_are_not_taken_have_finite_derivatives(x):
    def root(x):
        return lax.cond(x > 0, jnp.sqrt, lambda x: -x, x)

    def nested(x):
        return lax.cond(x > -1.0, root, lambda x: x * jnp.log(-x), x)

    found = jax.jit(lambda x: [jax.grad(sj.soften(f))(x) for f in (root, nested)])(x)
    p = 1 / (1 + np.exp(-x / 0.1))
    slope = p * (1 - p) / 0.1
    if x > 0:
        wanted = slope * (np.sqrt(x) + x) + p / (2 * np.sqrt(x)) - (1 - p)
    else:
        wanted = -1.0  # what has no value counts nothing
    assert_close(np.stack(found), np.float32([wanted, wanted]), atol=1e-3)


def test_defaults_are_those_of_the_context():
    def fn(x):
        return x > 0, jnp.sort(x), jnp.abs(x)

    soft = sj.soften(fn)
    options = dict(softness=0.3, mode="c1", sort=dict(softness=0.7))
    with sj.defaults(**options):
        found = soft(X)
        wanted = sj.greater(X, 0), sj.sort(X), sj.abs(X)
        given = sj.soften(fn, 0.2, "smooth")(X)
        hard = sj.soften.report(fn, mode="hard")(X)
    for got, expected in zip(found, wanted, strict=True):
        assert_close(got, np.asarray(expected), atol=1e-6)
    for got, expected in zip(given, sj.soften(fn, 0.2)(X), strict=True):
        assert_close(got, np.asarray(expected), atol=1e-6)
    assert all(entry.outcome == "kept" for entry in hard.entries)
    with sj.defaults(straight_through=True):
        for got, expected in zip(soft(X), fn(jnp.asarray(X)), strict=True):
            assert_close(got, np.asarray(expected, np.float32))


def test_per_op_values_of_functions_of_jax_are_hard():
    def many(x):
        parts = x % 0.7, x // 0.7, jnp.fmod(x, 0.7), jnp.heaviside(x, 0.5)
        places = jnp.searchsorted(jnp.array([-0.4, 0.4]), x), (4 * x).astype(int)
        return *parts, *places

    found = jax.jit(sj.soften(many, straight_through="per_op"))(X)
    for soft, hard in zip(found, many(jnp.asarray(X)), strict=True):
        assert_close(soft.astype(float), np.asarray(hard, np.float32), atol=1e-6)


@pytest.mark.slow
def test_a_softened_program_is_softened_once():
    def fn(x):
        picked = jnp.where(x > 0, jnp.sort(x), jnp.round(x))
        return lax.cond(x[0] > 0, lambda: picked, lambda: jnp.log(x))

    def outer(x):
        return sj.soften(fn)(x)

    assert_close(sj.soften(outer)(X), np.asarray(sj.soften(fn)(X)))
    assert not sj.soften.report(outer)(X).entries
    given = sj.soften(lambda x: sj.soften(lambda y, m: jnp.sum(m))(x, x > 0))(X)
    assert_close(given, np.float32(np.sum(H)), atol=1e-5)


HARD = {
    "frexp": (lambda x: jnp.frexp(x)[0], "exponents of floats"),
    "select_and_scatter_add": (
        jax.grad(
            lambda x: jnp.sum(
                lax.reduce_window(x, -jnp.inf, lax.max, (2,), (2,), "SAME") ** 2
            )
        ),
        "which element of a window",
    ),
    "sorter": (
        lambda x: jnp.searchsorted(x, 0.2, sorter=jnp.argsort(x)),
        "with a sorter",
    ),
}


@each("name", list(HARD))
def test_what_has_no_rule_is_hard_and_named(name):
    fn, words = HARD[name]
    with pytest.warns(UserWarning, match=words):
        sj.soften(fn)(X)


def test_a_float_and_a_whole_constant_are_compared_as_they_are():
    (entry,) = sj.soften.report(lambda x: x != 0.0)(X).entries
    assert (entry.outcome, entry.primitive) == ("kept", "ne")


def test_bounds_of_counts_are_reported():
    def fn(x):
        return jnp.minimum(jnp.sum(x > 0), 2), jnp.clip(jnp.floor(x), 0.0, 1.0)

    entries = sj.soften.report(fn)(X).entries
    assert {"min", "max"} <= {e.primitive for e in entries if e.outcome == "soft"}
