"""Defaults in a context: what operators take, and which programs they share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from cases import OPERATORS
from parametrize import each

import softjax as sj

X = jnp.array([0.2, 1.0, 0.7, 0.4])
IDS = jnp.array([0, 0, 1, 1])
GRID = sj.structured.GridPath()
COSTS = jnp.array([[0.2, 1.0, 0.7], [0.9, 0.5, 0.3]])
OTHERS = {
    "elementwise": {
        "abs": lambda **kw: sj.abs(X, **kw),
        "clip": lambda **kw: sj.clip(X, 0.3, 0.8, **kw),
        "floor": lambda **kw: sj.floor(X, **kw),
        "maximum": lambda **kw: sj.maximum(X, 0.6, **kw),
        "hard_silu": lambda **kw: sj.nn.hard_silu(X, **kw),
        "sigmoidal": lambda **kw: sj.sigmoidal(X, **kw),
    },
    "comparison": {
        "greater": lambda **kw: sj.greater(X, 0.6, **kw),
        "isclose": lambda **kw: sj.isclose(X, 0.6, **kw),
        "searchsorted": lambda **kw: sj.numpy.searchsorted(X[:2], X, **kw),
        "histogram": lambda **kw: sj.histogram(X, X[:2], **kw)[0],
    },
    "max": {
        "segment.max": lambda **kw: sj.segment.max(X, IDS, 2, **kw),
        "cummax": lambda **kw: sj.cummax(X, **kw),
        "nanargmin": lambda **kw: sj.nanargmin(X, **kw),
    },
    "sort": {
        "segment.sort": lambda **kw: sj.segment.sort(X, IDS, **kw),
        "partition": lambda **kw: sj.partition(X, 1, **kw),
    },
    "quantile": {
        "median_newton": lambda **kw: sj.median_newton(X, **kw),
        "nanmedian": lambda **kw: sj.nanmedian(X, **kw),
    },
    "top_k": {
        "segment.top_k": lambda **kw: sj.segment.top_k(X, IDS, 1, 2, **kw),
        "segment.top_k_mask": lambda **kw: sj.segment.top_k_mask(X, IDS, 1, 2, **kw),
    },
    "structured": {
        "argmax": lambda **kw: sj.structured.argmax(GRID, COSTS, **kw),
        "entropy": lambda **kw: sj.structured.entropy(GRID, COSTS, **kw),
        "top_k": lambda **kw: sj.structured.top_k(GRID, COSTS, 2, **kw).structures,
    },
    "rank": {"spearman": lambda **kw: sj.losses.spearman(X, -X, **kw)},
}


def kind_of(name):
    name = name.removeprefix("arg").removesuffix("_values").removesuffix("_index")
    return dict(
        max="max", min="max", rank="rank", ranking="rank", sort="sort", top_k="top_k"
    ).get(name, "top_k" if name.endswith("mask") else "quantile")


CALLS = [
    *(
        (kind_of(op.name), op.name, lambda op=op, **kw: op.call(X, **kw))
        for op in OPERATORS
    ),
    *((kind, name, fn) for kind, names in OTHERS.items() for name, fn in names.items()),
]


FAST = {"argmax", "sort", "rank", "quantile", "top_k_mask", "clip", "greater"}
FAST |= {"sigmoidal", "segment.max"}


@pytest.mark.parametrize(
    ("kind", "call"),
    [
        pytest.param(k, fn, id=name, marks=[] if name in FAST else pytest.mark.slow)
        for k, name, fn in CALLS
    ],
)
def test_every_operator(kind, call):
    """Arguments beat defaults of a kind, which beat those of all operators."""
    plain, other = call(), call(softness=0.5, mode="c1")
    assert not np.array_equal(plain, other)
    with sj.defaults(softness=0.5, mode="c1"):
        np.testing.assert_array_equal(call(), other)
        np.testing.assert_array_equal(call(softness=0.1, mode="smooth"), plain)
    with sj.defaults(softness=3.0, mode="c0", **{kind: dict(softness=0.5, mode="c1")}):
        np.testing.assert_array_equal(call(), other)
    wrong = "rank" if kind == "sort" else "sort"
    with sj.defaults(**{wrong: dict(softness=0.5, mode="c1")}):
        np.testing.assert_array_equal(call(), plain)
    np.testing.assert_array_equal(call(), plain)


def test_methods_that_there_are():
    with sj.defaults(method="fast_soft_sort"):
        np.testing.assert_array_equal(sj.sort(X), sj.sort(X, method="fast_soft_sort"))
        plain = sj.argsort(X, method="softsort")
        np.testing.assert_array_equal(sj.argsort(X), plain)
        plain = sj.segment.sort(X, IDS, method="softsort")
        np.testing.assert_array_equal(sj.segment.sort(X, IDS), plain)
        np.testing.assert_array_equal(
            sj.top_k_mask(X, 2), sj.top_k_mask(X, 2, method="ot")
        )
    with sj.defaults(method="hypersimplex"):
        plain = sj.top_k_mask(X, 2, method="hypersimplex")
        np.testing.assert_array_equal(sj.top_k_mask(X, 2), plain)
        np.testing.assert_array_equal(sj.median(X), sj.median(X, method="neuralsort"))
    with sj.defaults(method="ot", structured=dict(method="marginals")):
        plain = sj.structured.argmax(GRID, COSTS, method="marginals")
        np.testing.assert_array_equal(sj.structured.argmax(GRID, COSTS), plain)
    with sj.defaults(method="ot"):
        plain = sj.structured.argmax(GRID, COSTS, method="recursion")
        np.testing.assert_array_equal(sj.structured.argmax(GRID, COSTS), plain)
    with sj.defaults(mode="hard"):
        np.testing.assert_array_equal(sj.sort(X), jnp.sort(X))
        assert sj.softrelu(X)[0] > X[0]


def test_contexts_inside_of_others():
    with sj.defaults(softness=0.5, rank=dict(mode="c1")):
        with sj.defaults(mode="c0", rank=dict(softness=1.0)):
            inner = sj.rank(X), sj.sort(X)
        outer = sj.rank(X)
    np.testing.assert_array_equal(inner[0], sj.rank(X, softness=1.0, mode="c1"))
    np.testing.assert_array_equal(inner[1], sj.sort(X, softness=0.5, mode="c0"))
    np.testing.assert_array_equal(outer, sj.rank(X, softness=0.5, mode="c1"))

    @sj.defaults(softness=0.5)
    def decorated():
        return sj.sort(X)

    np.testing.assert_array_equal(decorated(), sj.sort(X, softness=0.5))
    np.testing.assert_array_equal(decorated(), sj.sort(X, softness=0.5))


@each("transform", [jax.jit, jax.vmap, jax.grad, jax.checkpoint])
def test_a_program_of_the_users_own(transform):
    """One function in two contexts is traced for each, and for each once."""
    traced = []

    def fn(x):
        traced.append(None)
        return jnp.sum(sj.sort(x)[..., 1] * 2.0)

    x = X[None] if transform is jax.vmap else X
    run = jax.jit(transform(fn))
    found = {}
    for softness in (0.1, 0.5, 0.1, 0.5):
        with sj.defaults(softness=softness):
            found.setdefault(softness, []).append(run(x))
    for softness, outs in found.items():
        expected = transform(lambda x: 2 * sj.sort(x, softness=softness)[..., 1])(x)  # noqa: B023
        for out in outs:
            assert_close(out, expected, atol=1e-6)
    assert len(traced) == 2


@pytest.mark.slow
def test_a_traced_softness(x64):
    traced, x = [], jnp.asarray([0.2, 1.0, 0.7, 0.4])

    @jax.jit
    def anneal(softness):
        traced.append(None)
        with sj.defaults(softness=softness):
            return jnp.sum(sj.greater(x, 0.4) * jnp.arange(4.0) + sj.relu(x - 0.5))

    with jax.checking_leaks():
        value, slope = jax.value_and_grad(anneal)(0.3)
    expected = finite_difference(anneal, (0.3,), (1.0,))
    assert_close(slope, expected, atol=1e-7)
    plain = sj.greater(x, 0.4, softness=0.3) * jnp.arange(4.0) + sj.relu(
        x - 0.5, softness=0.3
    )
    assert_close(value, jnp.sum(plain), atol=1e-9)
    anneal(0.4)
    count = len(traced)
    anneal(0.2)
    assert len(traced) == count


def test_objects_without_a_hash():
    mode = sj.solvers.Tsallis(jnp.asarray(1.5))
    with sj.defaults(mode=mode, softness=np.array([0.5], np.float32)):
        found = sj.argmax(X)
    np.testing.assert_array_equal(found, sj.argmax(X, mode=mode, softness=0.5))


@pytest.mark.parametrize(
    "make",
    [lambda: jnp.float32(0.3), lambda: np.asarray([0.3]), lambda: [0.3]],
    ids=["jax", "numpy", "list"],
)
def test_equal_arrays_share_a_program(make):
    traced = []
    run = jax.jit(lambda x: (traced.append(None), sj.relu(x))[1])
    for _ in range(2):
        with sj.defaults(softness=make()):
            found = run(X)
        np.testing.assert_allclose(found, sj.relu(X, softness=0.3), rtol=1e-6)
    with sj.defaults(softness=2 * jnp.asarray(make())):
        np.testing.assert_allclose(run(X), sj.relu(X, softness=0.6), rtol=1e-6)
    assert len(traced) == 2


def test_straight_through():
    with sj.defaults(straight_through=True, softness=0.3):
        value, slope = jax.value_and_grad(lambda x: sj.max(x))(X)
        step = sj.greater(X, 0.6)
        # It has no hard mode.
        soft = sj.sigmoidal(X)
    assert value == 1.0
    assert_close(slope, jax.grad(lambda x: sj.max(x, softness=0.3))(X))
    np.testing.assert_array_equal(step, [0, 1, 1, 0])
    np.testing.assert_array_equal(soft, sj.sigmoidal(X, softness=0.3))


def test_errors():
    for keywords, error, message in (
        (dict(softness=-1.0), ValueError, "softness must be positive"),
        (dict(mode="c"), ValueError, "mode='c' is not known"),
        (dict(method="x"), ValueError, "method='x' is not known"),
        (dict(softnes=1.0), TypeError, "'softnes' is not known. Allowed: softness"),
        (dict(sort=0.1), TypeError, "sort must be a dictionary of defaults, got 0.1"),
        (dict(sort=dict(rank=1)), TypeError, "'rank' is not known"),
        (dict(structured=dict(method="x")), ValueError, "method='x' is not known"),
        (dict(structured=dict(method="ot")), ValueError, "method='ot' is not known"),
        (dict(straight_through=1), TypeError, "straight_through must be True or"),
    ):
        with pytest.raises(error, match=message), sj.defaults(**keywords):
            pass
    with pytest.raises(ZeroDivisionError), sj.defaults(softness=0.5):
        1 / 0  # noqa: B018
    np.testing.assert_array_equal(sj.sort(X), sj.sort(X, softness=0.1))
