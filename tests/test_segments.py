"""Operators over segments: those along an axis, on each segment alone."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats
from assertions import assert_close
from cases import REGULARIZERS
from parametrize import each, pick

import softjax as sj
from softjax import segment, solvers

SOFTNESS = 0.4
LEVELS = np.array([[0.0, 0.3], [0.5, 1.0]])
_rng = inputs.rng("segments")
# Segments that are odd, empty, alone and even; and elements of none.
IDS = _rng.permutation(np.repeat([0, 2, 3, -1, 4], [5, 1, 4, 1, 2]))
COUNT = 4
X, DIRECTION, SLOPE = _rng.normal(size=(3, len(IDS)))
OUTSIDE = (IDS < 0) | (IDS >= COUNT)

# Operators with a value of each segment, and those with one of each element.
OF_SEGMENTS = {
    "max": lambda x, *ids, **kw: segment.max(x, *ids, **kw),
    "min": lambda x, *ids, **kw: segment.min(x, *ids, **kw),
    "median": lambda x, *ids, **kw: segment.median(x, *ids, **kw),
    "quantile": lambda x, ids, m, **kw: jnp.moveaxis(
        segment.quantile(x, ids, LEVELS, m, **kw), -1, 0
    ),
    "top_k": lambda x, ids, m, **kw: segment.top_k(x, ids, 3, m, **kw),
}
OF_ELEMENTS = {
    "argmax": lambda x, *ids, **kw: segment.argmax(x, *ids, **kw),
    "argmin": lambda x, *ids, **kw: segment.argmin(x, *ids, **kw),
}
SORTED = {
    "sort": lambda x, *ids, **kw: segment.sort(x, *ids, **kw),
    "rank": lambda x, *ids, **kw: segment.rank(x, *ids, **kw),
    "ranking": lambda x, *ids, **kw: segment.ranking(x, *ids, descending=False, **kw),
}
ALONE = {
    "max": lambda x, **kw: sj.max(x, **kw),
    "min": lambda x, **kw: sj.min(x, **kw),
    "median": lambda x, **kw: sj.median(x, **kw),
    "quantile": lambda x, **kw: sj.quantile(x, LEVELS, **kw),
    "top_k": lambda x, **kw: sj.top_k(x, min(3, x.size), **kw)[0],
    "argmax": lambda x, **kw: sj.argmax(x, **kw),
    "argmin": lambda x, **kw: sj.argmin(x, **kw),
    "sort": lambda x, **kw: sj.sort(x, **kw),
    "rank": lambda x, **kw: sj.rank(x, **kw),
    "ranking": lambda x, **kw: sj.ranking(x, descending=False, **kw),
}
NOTHING = dict(max=-np.inf, min=np.inf, median=np.nan, quantile=np.nan, top_k=-np.inf)


def operators(method):
    names = OF_SEGMENTS | OF_ELEMENTS
    return names if method == "neuralsort" else names | SORTED


def part(name, out, here, s):
    """The part of a result that belongs to a segment."""
    return np.asarray(out)[s] if name in OF_SEGMENTS else np.asarray(out)[here]


def with_slope(fn, *pairs):
    """Results of all operators, and their slopes."""
    return jax.jit(lambda *pairs: jax.jvp(fn, *zip(*pairs, strict=True)))(*pairs)


# Formulas of NumPy's, of a row and of its sorted values s, from the largest.


def _softmax(scores):
    return scipy.special.softmax(scores / SOFTNESS, axis=-1)


def _softsort_row(s, at):
    low = np.floor(at).astype(int)
    high = np.minimum(low + 1, len(s) - 1)
    return _softmax(-np.abs(s[low] + (at - low) * (s[high] - s[low]) - s))


def _neuralsort_row(s, at):
    return _softmax((len(s) - 1 - 2 * at) * s - np.abs(s[:, None] - s).sum(axis=0))


def reference(name, x, method):
    """A smooth operator on a row."""
    if name in ("min", "argmin"):
        other = reference(name.replace("min", "max"), -x, method)
        return other if name == "argmin" else -other
    s, n = np.sort(x)[::-1], len(x)
    row = dict(softsort=_softsort_row, neuralsort=_neuralsort_row)[method]
    rows = np.stack([row(s, np.asarray(i)) for i in range(n)])
    if name in ("argmax", "max"):
        return rows[0] @ s if name == "max" else rows[0][np.argsort(np.argsort(-x))]
    if name == "median":
        return row(s, np.asarray((n - 1) / 2)) @ s
    if name == "quantile":
        # Soft values from the smallest, between which NumPy interpolates.
        return np.interp(LEVELS * (n - 1), np.arange(n), (rows @ s)[::-1])
    if name == "top_k":
        return (rows @ s)[:3]
    if name == "sort":
        return (rows @ s)[::-1]
    positions = scipy.stats.rankdata(-s)
    if name == "ranking":
        positions = n - positions
    return (rows @ positions)[np.argsort(np.argsort(-x))]


@each("method", ["softsort", "neuralsort"], fast=("softsort",))
def test_closed_forms(x64, method):
    """Values by their formulas, and slopes by differences of those."""
    names = operators(method)

    def results(x):
        keywords = dict(method=method, softness=SOFTNESS)
        return {name: op(x, IDS, COUNT, **keywords) for name, op in names.items()}

    found, slope = with_slope(results, (X, DIRECTION))
    step = 1e-6
    for name in names:
        if name not in OF_SEGMENTS:
            assert np.all(np.asarray(found[name])[OUTSIDE] == 0)
            assert np.all(np.asarray(slope[name])[OUTSIDE] == 0)
        for s in range(COUNT):
            here = s == IDS
            out, move = (part(name, y, here, s) for y in (found[name], slope[name]))
            if not here.any():
                if name in NOTHING:
                    np.testing.assert_array_equal(
                        out, np.full(out.shape, NOTHING[name])
                    )
                    assert np.all(move == 0)
                continue
            exact, after, before = (
                reference(name, X[here] + t * DIRECTION[here], method)
                for t in (0, step, -step)
            )
            if name == "top_k":
                assert np.all(out[len(exact) :] == -np.inf)
                out, move = out[: len(exact)], move[: len(exact)]
            np.testing.assert_allclose(out, exact, atol=1e-12, err_msg=name)
            wanted = (after - before) / (2 * step)
            np.testing.assert_allclose(move, wanted, atol=1e-7, err_msg=name)


def test_hard_operators(x64):
    x = X.copy()
    x[np.flatnonzero(IDS == 0)[:2]] = 0.3, 0.3  # equals
    x[np.flatnonzero(IDS == 3)[:2]] = np.inf, -np.inf
    x[OUTSIDE] = np.nan

    @jax.jit
    def results(x):
        names = operators("softsort")
        return {n: op(x, IDS, COUNT, mode="hard") for n, op in names.items()}

    found = results(x)
    for s in (0, 2, 3):
        here = s == IDS
        row, n = x[here], here.sum()
        out = {name: part(name, y, here, s) for name, y in found.items()}
        assert out["max"] == row.max()
        assert out["min"] == row.min()
        assert out["median"] == np.median(row)
        np.testing.assert_array_equal(out["argmax"], np.arange(n) == row.argmax())
        np.testing.assert_array_equal(out["argmin"], np.arange(n) == row.argmin())
        np.testing.assert_array_equal(out["sort"], np.sort(row))
        np.testing.assert_array_equal(out["top_k"][:n], np.sort(row)[::-1][:3])
        np.testing.assert_array_equal(out["rank"], scipy.stats.rankdata(-row))
        np.testing.assert_array_equal(out["ranking"], scipy.stats.rankdata(row) - 1)
        if s != 3:  # between infinities NumPy's is NaN
            np.testing.assert_allclose(out["quantile"], np.quantile(row, LEVELS))
    assert all(np.all(np.asarray(found[n])[OUTSIDE] == 0) for n in OF_ELEMENTS | SORTED)


def assert_as_alone(method, ids, x, direction, weights=None, names=None, **keywords):
    """Results and slopes are those of the operators on each segment."""
    names = operators(method) if names is None else names
    move = None if weights is None else 0.1 * direction
    keywords |= dict(method=method, softness=SOFTNESS)

    def run(functions, *ids):
        def results(x, w=None):
            more = {} if w is None else dict(weights=w)
            return {n: functions[n](x, *ids, **keywords, **more) for n in names}

        return results

    pairs = [(x, direction)] if weights is None else [(x, direction), (weights, move)]
    found = with_slope(run(OF_SEGMENTS | OF_ELEMENTS | SORTED, ids, COUNT), *pairs)
    for s in range(COUNT):
        here = s == ids
        if not here.any():
            continue
        few = [tuple(jnp.asarray(a)[here] for a in pair) for pair in pairs]
        for actual, exact in zip(found, with_slope(run(ALONE), *few), strict=True):
            for name in names:
                out, wanted = part(name, actual[name], here, s), exact[name]
                out = out[: len(wanted)] if name == "top_k" else out
                np.testing.assert_allclose(out, wanted, atol=1e-9, err_msg=name)


@pytest.mark.slow
@each("case", REGULARIZERS)
@pytest.mark.parametrize("method", ["softsort", "neuralsort"])
def test_each_segment_alone(x64, method, case):
    assert_as_alone(method, IDS, X, DIRECTION, mode=case.regularizer)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["smooth", "c0", "c2"])
@pytest.mark.parametrize("method", ["softsort", "neuralsort"])
def test_weights(x64, method, mode):
    weights = inputs.rng("segment weights").uniform(0.6, 2, size=len(IDS))
    names = operators(method)
    if method == "softsort":
        names = dict.fromkeys(("max", "argmax", "argmin", "median", "rank", "ranking"))
    assert_as_alone(method, IDS, X, DIRECTION, weights, names, mode=mode)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["smooth", "c0", "c1"])
def test_long_segments(x64, mode):
    """Windows do not see over the ends of segments, whatever is behind them."""
    rng = inputs.rng("long segments")
    ids = rng.permutation(np.repeat([0, 1, 3], [70, 40, 1]))
    x, direction = rng.normal(size=(2, len(ids)))
    x[ids == 1] += 1e6
    names = dict.fromkeys(("sort", "rank", "ranking"))
    assert_as_alone("softsort", ids, x, direction, names=names, mode=mode)


@pytest.mark.parametrize("method", ["ot", "hypersimplex"])
def test_masks(x64, method):
    k = np.array([1.5, 2.0, 0.7, 9.0])

    def masks(x, k):
        keywords = dict(method=method, softness=SOFTNESS, mode="c0")
        return segment.top_k_mask(x, IDS, k, COUNT, **keywords)

    mask, slope = with_slope(masks, (X, DIRECTION), (k, np.full(4, 0.1)))
    scale = 2 if method == "ot" else 1
    assert np.all(np.asarray(mask)[OUTSIDE] == 0)
    for s in (0, 2, 3):
        here = s == IDS
        number = min(k[s], here.sum())
        assert_close(np.asarray(mask)[here].sum(), number, atol=1e-12)
        # The Euclidean projection onto 0 <= y <= 1 with this sum, by bisection.

        def project(x, number):
            low, high = -99.0, 99.0
            for _ in range(90):
                theta = (low + high) / 2
                y = np.clip(x / (scale * SOFTNESS) - theta, 0, 1)
                low, high = (theta, high) if y.sum() > number else (low, theta)
            return y

        wanted = project(X[here], number)
        assert_close(np.asarray(mask)[here], wanted, atol=1e-10)
        step = 1e-6
        if number == k[s]:
            after, before = (
                project(X[here] + t * DIRECTION[here], number + 0.1 * t)
                for t in (step, -step)
            )
            wanted = (after - before) / (2 * step)
            assert_close(np.asarray(slope)[here], wanted, atol=1e-5)


@pytest.mark.slow
def test_masks_nan_and_infinities():
    """In float32: a mask hides anything, and NaN stays in its segment."""
    x = np.asarray(X, np.float32)
    first, last = (np.flatnonzero(s == IDS) for s in (0, 3))
    x[first[0]] = np.nan
    x[last[:2]] = np.inf, -np.inf
    where = np.arange(len(x)) != first[0]
    names = operators("softsort")

    @jax.jit
    def results(x, where):
        def total(x):
            out = {n: op(x, IDS, COUNT, where=where) for n, op in names.items()}
            leaves = jax.tree.leaves(out)
            return sum(jnp.sum(jnp.where(jnp.isfinite(y), y, 0)) for y in leaves), out

        return jax.grad(total, has_aux=True)(x)

    gradient, out = results(x, where)
    assert gradient.dtype == jnp.float32
    assert np.all(np.isfinite(gradient))
    assert gradient[first[0]] == 0
    assert out["rank"][first[0]] == 5  # behind the four others
    assert out["ranking"][first[0]] == 4
    assert out["argmax"][first[0]] == 0
    few = jnp.asarray(x[first[1:]])
    assert_close(out["sort"][first], [*sj.sort(few), np.inf], atol=1e-5)
    assert_close(out["max"][0], sj.max(few), atol=1e-6)
    np.testing.assert_array_equal(out["argmax"][last], [1, 0, 0, 0])
    np.testing.assert_array_equal(out["argmin"][last], [0, 1, 0, 0])
    assert out["max"][3] == np.inf
    assert out["min"][3] == -np.inf
    assert_close(out["rank"][last[:2]], [1, 4])
    assert_close(out["sort"][last][jnp.array([0, 3])], [-np.inf, np.inf])
    _, out = results(x, np.ones(len(x), bool))
    for name, y in out.items():
        bad = np.isnan(np.asarray(y))
        assert np.all(part(name, bad, IDS == 0, 0))
        assert not np.any(part(name, bad, IDS == 3, 3))


@pytest.mark.slow
def test_other_axes_and_sorted_ids():
    """Further axes are independent; ids may be known to ascend, and to be all."""
    x = jnp.asarray(np.stack([X, DIRECTION], axis=-1), jnp.float32)
    order = np.argsort(IDS, kind="stable")
    whole = segment.sort(x, IDS, COUNT)
    assert whole.dtype == jnp.float32
    columns = [segment.sort(x[:, i], IDS, COUNT) for i in range(2)]
    assert_close(whole, jnp.stack(columns, axis=-1), atol=1e-6)
    keywords = dict(indices_are_sorted=True)
    ascending = segment.sort(x[order], IDS[order], COUNT, **keywords)
    assert_close(ascending, whole[order], atol=1e-6)
    rows = segment.max(x, IDS, COUNT, where=OUTSIDE | (IDS == 0))
    assert np.all(np.isneginf(rows[1:]))

    def shape(fn):
        return jax.eval_shape(fn, x).shape

    levels = shape(lambda x: segment.quantile(x, IDS, LEVELS, COUNT))
    assert levels == (*LEVELS.shape, COUNT, 2)
    assert shape(lambda x: segment.top_k(x, IDS, 3)) == (IDS.max() + 1, 3, 2)
    mapped = shape(jax.vmap(lambda x: segment.rank(x, IDS, COUNT), -1, -1))
    assert mapped == x.shape


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: segment.max(X, IDS[:3]), ValueError, "segment_ids of shape"),
        (lambda: segment.max(X, X), TypeError, "must be integers"),
        (lambda: segment.max(X, IDS, 2.5), TypeError, "num_segments"),
        (lambda: segment.max(X, IDS, -1), ValueError, "num_segments=-1"),
        (lambda: jax.jit(segment.max)(X, IDS), ValueError, "num_segments must"),
        (lambda: segment.max(X, IDS, where=X), TypeError, "use weights="),
        (lambda: segment.max(X, IDS, where=IDS[:2] > 0), ValueError, "where of shape"),
        (lambda: segment.max(X, IDS, weights=-IDS), ValueError, "nonnegative"),
        (lambda: segment.max(X, IDS, axis=0), TypeError, "'axis'"),
        (lambda: segment.median(X, IDS, weights=0.1 + 0 * X), ValueError, "only 0.5"),
        (lambda: segment.max(X, IDS, softness=0), ValueError, "softness"),
        (lambda: segment.max(X, IDS, method="ot"), ValueError, "segment.pad"),
        (lambda: segment.rank(X, IDS, method="neuralsort"), ValueError, "segment.pad"),
        (lambda: segment.sort(X, IDS, weights=X**2), ValueError, "segment.pad"),
        (lambda: segment.top_k(X, IDS, 0), ValueError, "k=0"),
        (lambda: segment.quantile(X, IDS, 2.0), ValueError, "q must lie"),
        (lambda: segment.top_k_mask(X, IDS, -1), ValueError, "k=-1"),
        (lambda: segment.top_k_mask(X, IDS, np.ones(2)), ValueError, "segments"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.slow
def test_problems_with_any_solver():
    """A solver of rows is given a row for each segment."""
    optimistix = pytest.importorskip("optimistix")
    bisection = optimistix.Bisection(rtol=1e-6, atol=1e-6)
    x = jnp.asarray(X, jnp.float32)
    for problem in (
        solvers.SegmentedSimplexProjection(x, SOFTNESS, IDS, COUNT),
        solvers.SegmentedHypersimplexProjection(x, 0.8, SOFTNESS, IDS, COUNT),
    ):
        for case in pick(REGULARIZERS, "smooth", "c1"):
            found = solvers.solve(problem, case.regularizer, bisection)
            exact = solvers.solve(problem, case.regularizer)
            assert_close(found.value, exact.value, atol=1e-5)
            assert np.all(exact.converged)


@pytest.mark.slow
def test_straight_through():
    hard = functools.partial(segment.max, segment_ids=IDS, num_segments=COUNT)
    x = jnp.asarray(X, jnp.float32)
    out, pull = jax.vjp(sj.st(hard), x)
    np.testing.assert_array_equal(out, hard(x, mode="hard"))
    _, soft = jax.vjp(hard, x)
    assert_close(pull(jnp.ones(COUNT))[0], soft(jnp.ones(COUNT))[0])
