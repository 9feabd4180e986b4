"""Soft draws: shapes, identities, keys, straight-through variants, errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from assertions import assert_close, finite_difference
from parametrize import each
from public import DRAWS
from test_eager import programs

import softjax as sj
from softjax_solvers._kernels import chunks

R = sj.random
KEY = jax.random.key(3)
X = jnp.array([[0.3, -0.4, 0.7, 0.1], [0.2, 0.9, -0.6, 0.2]])
P = jax.nn.sigmoid(X)
S = jax.nn.softmax(X)
ROW = jnp.array([0.3, 0.1, 0.6])

# Name of a draw, positional arguments and keywords.
CALLS = [
    ("categorical", (X,), {}),
    ("categorical", (X, 0), {}),
    ("categorical", (X, 0, (3, 1, 4)), {}),
    ("categorical", (X, -1, (3, 2)), {}),
    ("categorical", (X[:1], -1, (5, 2)), {}),
    ("categorical", (X, 1, (3, 2), False), {}),
    ("categorical", (X, 0, (2, 4)), dict(replace=False)),
    ("categorical", (X[0], -1, (0,)), {}),
    ("categorical", (X[0], -1, (0,), False), {}),
    ("bernoulli", (), {}),
    ("bernoulli", (P,), {}),
    ("bernoulli", (0.3, (2, 3)), {}),
    ("bernoulli", (P, (5, 2, 4)), {}),
    ("rademacher", (), {}),
    ("rademacher", ((2, 3), jnp.float32), {}),
    ("rademacher", ((2, 0), jnp.float16), {}),
    ("choice", (4,), {}),
    ("choice", (ROW, (2, 3)), {}),
    ("choice", (X, (5, 6), True, ROW[:2] / 2), {}),
    ("choice", (X, (3,), False), dict(axis=1)),
    ("choice", (X, (2, 2), False, S[0], -1), {}),
    ("choice", (X[0], (0,), False, S[0]), {}),
    ("choice", (X, (), False, None, 1), {}),
    ("permutation", (5,), {}),
    ("permutation", (X,), {}),
    ("permutation", (X, 1), {}),
    ("permutation", (X, -1, True), {}),
    ("binomial", (4, P), {}),
    ("binomial", (jnp.arange(2)[:, None], P), {}),
    ("binomial", (4, 0.3, (2, 3)), {}),
    ("binomial", (0, P, None, jnp.float16), {}),
    ("multinomial", (4, S), {}),
    ("multinomial", (jnp.arange(2), S), {}),
    ("multinomial", (4, S), dict(dtype=jnp.float16)),
    ("geometric", (P,), {}),
    ("geometric", (0.3, (2, 3)), {}),
]


@pytest.mark.x64
def test_shapes_and_types():
    """Shapes and types of `jax.random`, where those are floats; nothing is run."""
    for name, args, keywords in CALLS:
        draw, namesake = getattr(R, name), getattr(jax.random, name)
        found = jax.eval_shape(lambda key: draw(key, *args, **keywords), KEY)  # noqa: B023
        like = jax.eval_shape(lambda key: namesake(key, *args, **keywords), KEY)  # noqa: B023
        axis = args[1] if len(args) > 1 else -1
        last = (args[0].shape[axis],) if name == "categorical" else ()
        assert found.shape == like.shape + last, (name, args, keywords)
        if jnp.issubdtype(like.dtype, jnp.floating):
            # Without one that is asked for, it is that of the parameters.
            assert found.dtype in (like.dtype, jnp.float32), (name, args, keywords)
    # Here versions of JAX differ.
    counts = jax.eval_shape(lambda key: R.multinomial(key, 4, S[0], shape=(3, 2)), KEY)
    assert counts.shape == (3, 2, S.shape[-1])
    for shape, wanted in ((None, (2, 4)), ((3, 1, 4), (3, 1, 2, 4))):
        draws = jax.eval_shape(lambda k: R.top_k(k, X, 1, 0, shape), KEY)  # noqa: B023
        orders = jax.eval_shape(lambda k: R.orderings(k, X, 0, shape), KEY)  # noqa: B023
        assert (draws.shape, orders.shape) == (wanted, (*wanted, 2))


def test_narrow_types():
    x = X.astype(jnp.bfloat16)
    for name, draw in DRAWS.items():
        found = jax.eval_shape(functools.partial(draw, getattr(R, name)), x)
        assert found.dtype == jnp.bfloat16, name


def test_smooth_draws_are_concrete(x64):
    """Gumbel-softmax, and the binary concrete distribution, of the same noise."""
    x, p = np.asarray(X, np.float64), np.asarray(P, np.float64)
    noise = np.asarray(jax.random.gumbel(KEY, (3, 2, 4), jnp.float64))
    found = R.categorical(KEY, jnp.asarray(x), shape=(3, 2), softness=0.7)
    assert_close(found, scipy.special.softmax((x + noise) / 0.7, axis=-1))
    noise = np.asarray(jax.random.logistic(KEY, (2, 4), jnp.float64))
    expected = scipy.special.expit((scipy.special.logit(p) + noise) / 0.7)
    assert_close(R.bernoulli(KEY, jnp.asarray(p), softness=0.7), expected)


def test_scores_are_handed_to_operators():
    """Any method, mode and mask; weights are those of probabilities."""
    where, weights = jnp.array([True, True, True, False]), jnp.array([1.0, 0.0, 3.0, 2])
    keywords = dict(softness=0.6, mode="c1", where=where)

    @jax.jit
    def run(x):
        y = x + jax.random.gumbel(KEY, x.shape) + jnp.log(weights)
        given = dict(weights=weights, **keywords)
        return [
            R.categorical(KEY, x, method="neuralsort", **given),
            R.top_k(KEY, x, 1.5, method="hypersimplex", **given),
            R.orderings(KEY, x, **given),
        ], [
            sj.argmax(y, -1, method="neuralsort", **keywords),
            sj.top_k_mask(y, 1.5, method="hypersimplex", **keywords),
            sj.argsort(y, descending=True, **keywords),
        ]

    for found, expected in zip(*run(X), strict=True):
        assert_close(found, expected, atol=1e-5)


_WITH_PARAMETERS = [name for name in DRAWS if name != "rademacher"]


@pytest.mark.slow
@each("name", _WITH_PARAMETERS)
def test_straight_through(name):
    """Exact hard draws, with the derivatives of the soft ones of the same key."""
    x, given = X[0], dict(softness=0.6, mode="c1")

    def call(kind, x, **keywords):
        fn = getattr(R, name + kind)
        return DRAWS[name](lambda *a, **k: fn(*a, **k, **keywords), x)

    def total(kind, x):
        out = call(kind, x, **given)
        return jnp.sum(out * jnp.arange(1.0, 1 + out.size).reshape(out.shape)), out

    @jax.jit
    def run(x):
        through = jax.grad(lambda x: total("_st", x), has_aux=True)(x)
        soft, _ = jax.grad(lambda x: total("", x), has_aux=True)(x)
        return through, soft, call("", x, mode="hard")

    (slope, value), soft, hard = run(x)
    np.testing.assert_array_equal(value, hard)
    assert_close(slope, soft, atol=1e-5)
    assert np.any(slope != 0)


@each("name", _WITH_PARAMETERS, fast=("geometric", "binomial"))
def test_derivatives(x64, name):
    """Pathwise ones, against differences of draws with the same noise."""
    x = jnp.asarray(X[0], jnp.float64)

    @jax.jit
    def total(x):
        out = DRAWS[name](lambda *a, **k: getattr(R, name)(*a, softness=0.8, **k), x)
        return jnp.sum(out * jnp.arange(1.0, 1 + out.size).reshape(out.shape) ** 2)

    slope = jax.jit(jax.grad(total))(x)
    for i in range(2):
        moved = finite_difference(total, (x,), (np.eye(4)[i],))
        assert_close(slope[i], moved, atol=1e-6 * (1 + abs(moved)))


def test_soft_geometric_draws_are_counts():
    """At least 1 wherever they are near no step, in every mode."""

    @jax.jit
    def draw(p):
        return [
            R.geometric(KEY, p, (1000,), softness=s, mode=mode)
            for s in (0.1, 0.5)
            for mode in ("smooth", "c0", "c2", "quintic", "pseudohuber")
        ]

    for found in draw(0.9):
        assert np.all(found >= 1 - 1e-5)


@pytest.mark.slow
def test_trials_in_chunks(monkeypatch):
    """Counts of the same trials, however many fit into memory at a time."""

    def draw(p):
        p = p / jnp.sum(p)
        return R.binomial(KEY, np.array([3, 7, 5]), p), R.multinomial(KEY, 7, p)

    def run():
        jax.clear_caches()
        program = jax.jit(lambda p: (draw(p), jax.jacrev(draw)(p)))
        return jax.tree.leaves(program(ROW))

    whole = run()
    monkeypatch.setattr(chunks, "_BLOCK", 8)
    for found, expected in zip(run(), whole, strict=True):
        assert_close(found, expected, atol=1e-4)
    jax.clear_caches()


def test_keys():
    """Keys of both styles, none used twice, and all used up."""
    old = jax.random.PRNGKey(3)
    for name in ("categorical", "bernoulli_st"):
        draw = getattr(R, name)
        np.testing.assert_array_equal(draw(old, P), draw(KEY, P))
        np.testing.assert_array_equal(draw(np.asarray(old), P), draw(KEY, P))
    reuse = jax.errors.KeyReuseError
    with jax.debug_key_reuse(True):
        for name in ("categorical", "bernoulli", "binomial"):
            for end in ("", "_st"):
                draw, key = getattr(R, name + end), jax.random.key(4)
                DRAWS[name](lambda _, *a, **k: draw(key, *a, **k), X[0])  # noqa: B023
                with pytest.raises(reuse):
                    DRAWS[name](lambda _, *a, **k: draw(key, *a, **k), X[0])  # noqa: B023
    # Draws of one call are independent.
    many = R.bernoulli(KEY, 0.5, (20_000,), mode="hard").reshape(2, -1)
    assert abs(np.corrcoef(many)[0, 1]) < 0.05


EAGER = {name: (name, args, keywords) for name, args, keywords in reversed(CALLS)}
EAGER |= {
    "top_k": ("top_k", (X, 2), {}),
    "orderings": ("orderings", (X,), {}),
    "bernoulli": ("bernoulli", (P,), {}),
}


@each("name", list(EAGER), fast=("categorical", "bernoulli"))
def test_one_program(name):
    name, args, keywords = EAGER[name]
    jax.clear_caches()
    call = lambda: getattr(R, name)(KEY, *args, **keywords)  # noqa: E731
    assert programs(call) == 1
    assert programs(call) == 0


@pytest.mark.slow
def test_defaults():
    """Defaults are of the kind of operator that is handed the scores."""
    for kind, name in (
        ("max", "categorical"),
        ("comparison", "bernoulli"),
        ("elementwise", "geometric"),
        ("top_k", "top_k"),
        ("sort", "orderings"),
    ):
        with sj.defaults(softness=3.0, **{kind: dict(softness=0.5)}):
            found = DRAWS[name](getattr(R, name), X[0])
        np.testing.assert_array_equal(
            found,
            DRAWS[name](lambda *a: getattr(R, name)(*a, softness=0.5), X[0]),  # noqa: B023
        )


ERRORS = {
    "categorical: key must be a key of jax.random, got 3": lambda: R.categorical(3, X),
    "bernoulli: key must be a key of jax.random, got None": lambda: R.bernoulli(None),
    "categorical: key must be a key of jax.random, got Array": lambda: R.categorical(
        jnp.uint32(3), X
    ),
    "top_k: key must be a single key, got an array of shape": lambda: R.top_k(
        jax.random.split(KEY), X, 2
    ),
    r"shape=\(2, 3\) must be one that its parameters broadcast to": lambda: (
        R.categorical(KEY, X, -1, (2, 3))
    ),
    "bernoulli: shape must be None or a tuple": lambda: R.bernoulli(KEY, 0.5, 3),
    "rademacher: shape must be .*nonnegative": lambda: R.rademacher(KEY, (-1,)),
    "dtype must be a float type": lambda: R.rademacher(KEY, (), jnp.int32),
    "categorical: axis must be an integer": lambda: R.categorical(KEY, X, None),
    "choice: axis must be an integer": lambda: R.choice(KEY, X, axis=None),
    "permutation: axis must be an integer": lambda: R.permutation(KEY, X, None),
    "choice: a draw needs at least one category": lambda: R.choice(KEY, 0, (2,)),
    "categorical: a draw needs at least one": lambda: R.categorical(KEY, X[:, :0]),
    "axis=2 is out of bounds": lambda: R.orderings(KEY, X, 2),
    "3 draws without replacement": lambda: R.categorical(KEY, X, 0, (3, 4), False),
    r"bernoulli: p must be in \[0, 1\], got 1.5": lambda: R.bernoulli(KEY, 1.5),
    r"geometric: p must be in \[0, 1\], got -0.3": lambda: R.geometric(KEY, -X),
    "choice: p must be nonnegative": lambda: R.choice(KEY, 2, p=np.array([1, -1])),
    "choice: p must not be all 0": lambda: R.choice(KEY, 2, p=np.zeros(2)),
    r"choice: p must have the shape \(3,\)": lambda: R.choice(KEY, 3, p=np.ones(2)),
    "an integer that is known": lambda: R.permutation(KEY, 2.5),
    "n must be nonnegative and known": lambda: jax.jit(
        lambda n: R.binomial(KEY, n, 0.5)
    )(3),
    "n must be nonnegative and finite, got -1": lambda: R.multinomial(KEY, -1, S),
    "n must be a nonnegative number, got type complex": lambda: R.binomial(KEY, 1j, P),
    "k=5 must be from 0 to the size": lambda: R.top_k(KEY, X, 5),
    "softness must be positive": lambda: R.categorical(KEY, X, softness=-1),
    "softness of shape": lambda: R.bernoulli(KEY, 0.5, softness=np.ones(2)),
    r"weights must be nonnegative and finite, got -1": lambda: R.categorical(
        KEY, X, weights=-np.ones(4)
    ),
    "weights of shape": lambda: R.categorical(KEY, X, weights=np.ones(3)),
    "unexpected keyword argument 'soft'": lambda: R.categorical(KEY, X, soft=1),
    "has no soft indices": lambda: R.categorical(
        KEY, X, -1, (2, 2), False, method="fast_soft_sort"
    ),
    "mode='smoth'": lambda: R.geometric(KEY, 0.5, mode="smoth"),
}


@each("message", list(ERRORS))
def test_errors(message):
    with pytest.raises((TypeError, ValueError), match=message):
        ERRORS[message]()
