"""The keyword `weights`: `op(x, weights=k)` is `op(repeat(x, k))` row by row."""

import math

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from cases import METHODS, REGULARIZERS
from facts import takes
from parametrize import each
from row_operators import ALL, INDICES, POSITIONS

import softjax as sj

SIZE = 6
# No more copies than elements, so that nothing is beyond the first units.
COUNTS = np.array([[1, 2, 0, 1, 0, 2], [0, 3, 0, 0, 1, 1], [0, 0, 0, 2, 0, 0]])
ASKED = dict(sort_descending="sort", min="max", argmin="argmax", ranking="rank")


def weighted(method):
    """The operators whose method takes weights."""
    takes = sj.methods.Method.takes_weights
    if method in METHODS:
        takes = sj.methods.get_method(method).takes_weights
    return {
        name: op
        for name, op in ALL.items()
        if method == "hard" or ASKED.get(name, name) in takes
    }


WEIGHTED = [method for method in METHODS if weighted(method)]
# More of them than there is mass, or elements.
CELLS = dict(ot=sj.methods.OptimalTransport(cells=11))


def _method(method):
    return {} if method == "hard" else dict(method=method)


def keywords_of(method, mode):
    method = CELLS.get(method, method)
    return dict(mode="hard") if method == "hard" else dict(method=method, mode=mode)


def compute(names, x, direction, weights=None, **keywords):
    """All results, and how they change along a direction."""

    @jax.jit
    def run(x, direction, weights):
        def results(x):
            return {
                name: op(x, weights=weights, **keywords) for name, op in names.items()
            }

        return jax.jvp(results, (x,), (direction,))

    return run(jnp.asarray(x), jnp.asarray(direction), weights)


def assert_copies(method, counts, atol, where=None, only=None, **keywords):
    """Values, and derivatives in x, are those of copies."""
    names, keywords = weighted(method), keywords | _method(method)
    names = names if only is None else {name: names[name] for name in only}
    rng = inputs.rng("copies")
    x, direction = rng.normal(size=(2, *counts.shape))
    hidden = x if where is None else np.where(where, x, np.nan)
    weights = jnp.asarray(counts, float)
    found = compute(names, hidden, direction, weights, where=where, **keywords)
    for row, copies in enumerate(counts):
        if where is not None:
            copies = np.where(where[row], copies, 0)
        owner = np.repeat(np.arange(len(copies)), copies)
        whole = compute(names, x[row, owner], direction[row, owner], **keywords)
        for order, (actual, exact) in enumerate(zip(found, whole, strict=True)):
            for name, out in actual.items():
                out, wanted = np.asarray(out[row]), np.asarray(exact[name])
                if name in INDICES:
                    wanted = wanted @ np.eye(len(copies))[owner]
                out = out[owner] if name in POSITIONS else out[: len(wanted)]
                np.testing.assert_allclose(
                    out, wanted, atol=atol, rtol=atol, err_msg=f"{name} {row} {order}"
                )


def takes_weights(method, case):
    """Targets of copies have no closed form for other links that are above 0."""
    if method == "fast_soft_sort" and math.isinf(case.at_zero):
        return case.exponential
    return takes(method, case)


PAIRS = [
    pytest.param(method, case, id=f"{method}-{case.name}")
    for method in WEIGHTED
    for case in REGULARIZERS
    if takes_weights(method, case)
]


@pytest.mark.slow
@pytest.mark.parametrize(("method", "case"), PAIRS)
def test_whole_weights_are_copies(x64, method, case):
    assert_copies(method, COUNTS, 1e-7, mode=case.regularizer, softness=0.4)


@pytest.mark.parametrize(("method", "name"), [("softsort", "sort"), ("ot", "rank")])
def test_some_are_copies(x64, method, name):
    assert_copies(method, COUNTS[:1], 1e-7, only=[name], softness=0.4)


@pytest.mark.slow
def test_hard_weights(x64):
    assert_copies("hard", COUNTS, 1e-12, mode="hard")


@pytest.mark.slow
@each("method", WEIGHTED, fast=("softsort",))
def test_standardized_weights(x64, method):
    assert_copies(method, COUNTS, 1e-7, standardize=True)


@pytest.mark.slow
@each("method", WEIGHTED, fast=("neuralsort",))
def test_weights_and_masks(x64, method):
    where = COUNTS != 3
    where[2, 0] = False
    assert_copies(method, COUNTS, 1e-7, where, softness=0.3)


@pytest.mark.slow
@pytest.mark.parametrize(("method", "case"), PAIRS)
def test_derivatives_in_weights(x64, method, case):
    """Right to finite differences, of x and weights together."""
    names = weighted(method)
    rng = inputs.rng("moves")
    x, *moves = rng.normal(size=(3, SIZE))
    # Such that no end of an element is one of a unit of mass.
    weights = np.array([0.713, 1.337, 0.457, 0.419, 0.857, 1.619])
    keywords = dict(mode=case.regularizer, softness=0.4, **_method(method))

    @jax.jit
    def run(x, weights):
        results = {
            name: op(x, weights=weights, **keywords) for name, op in names.items()
        }
        return {n: jnp.where(jnp.isfinite(v), v, 0) for n, v in results.items()}

    args, tangents = (x, weights), tuple(0.1 * m for m in moves)
    _, actual = jax.jvp(run, tuple(map(jnp.asarray, args)), tangents)
    expected = finite_difference(run, args, tangents)
    for name in actual:
        np.testing.assert_allclose(
            actual[name], expected[name], atol=3e-6, err_msg=name
        )


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["smooth", "c2"])
@pytest.mark.parametrize("method", WEIGHTED)
def test_second_derivatives_in_weights(x64, method, mode):
    """Along one direction of x and weights, and back to all of both."""
    names = weighted(method)
    rng = inputs.rng("second")
    x, *moves = rng.normal(size=(3, SIZE))
    weights = np.array([0.713, 1.337, 0.457, 0.419, 0.857, 1.619])
    keywords = dict(mode=mode, softness=0.4, **_method(method))
    slopes = {name: rng.normal(size=64) for name in names}

    @jax.jit
    def run(x, weights):
        def total(x, weights, name):
            out = names[name](x, weights=weights, **keywords).ravel()
            return jnp.where(jnp.isfinite(out), out, 0) @ slopes[name][: out.size]

        return {name: jax.grad(total, (0, 1))(x, weights, name) for name in names}

    args, tangents = (x, weights), tuple(0.1 * m for m in moves)
    _, actual = jax.jvp(run, tuple(map(jnp.asarray, args)), tangents)
    expected = finite_difference(run, args, tangents)
    for name in actual:
        for found, wanted in zip(actual[name], expected[name], strict=True):
            np.testing.assert_allclose(found, wanted, atol=2e-5, err_msg=name)


# As many as there are units of mass.
UNITS = ("sort", "sort_descending", "argsort", "top_k")


SWEEPS = [
    pytest.param("hard", "hard", id="hard"),
    *(
        pytest.param(
            method,
            case.regularizer,
            id=f"{method}-{case.name}",
            marks=pytest.mark.slow,
        )
        for method in WEIGHTED
        for case in REGULARIZERS
        if takes_weights(method, case)
    ),
]


@pytest.mark.parametrize(("method", "mode"), SWEEPS)
def test_continuous_in_a_weight(x64, method, mode):
    """Through 0 and whole numbers: no step is larger than a slope allows."""
    names = {name: op for name, op in weighted(method).items() if name not in UNITS}
    x = jnp.asarray(inputs.rng("sweep").normal(size=SIZE))
    rest = jnp.asarray([1.0, 0.6, 0.0, 0.4, 1.5, 1.0])
    keywords = keywords_of(method, mode)

    @jax.jit
    @jax.vmap
    def run(weight):
        weights = rest.at[2].set(weight)
        return {n: op(x, weights=weights, **keywords) for n, op in names.items()}

    weight = jnp.linspace(0, 3, 601)
    results = run(weight)
    for name, values in results.items():
        steps = np.abs(np.diff(np.asarray(values).reshape(601, -1), axis=0))
        assert np.all(np.isfinite(steps)), name
        # A maximum jumps to an element that comes to be there, and its share does too.
        steps = steps[1:] if name in ("max", "min", "argmax", "argmin") else steps
        assert steps.max() < (0.3 if name in ("rank", "ranking") else 0.05), name


MANY, FOUR = np.array([3, 2, 1, 4]), inputs.rng("many").normal(size=4)


@pytest.mark.slow
@each("mode", ["smooth", "c0", "c1"])
def test_units_of_mass_beyond_the_elements(x64, mode):
    """Ranks are those of copies, and what is sorted of the first ones, by cells."""
    owner, keywords = np.repeat(np.arange(4), MANY), dict(mode=mode, softness=0.4)

    @jax.jit
    def run(x, weights=None):
        method = "ot" if weights is None else CELLS["ot"]
        both = keywords | dict(weights=weights, method=method)
        return sj.rank(x, **both), sj.sort(x, **both), sj.argsort(x, **both)

    rank, values, index = run(jnp.asarray(FOUR), jnp.asarray(MANY, float))
    copies = run(jnp.asarray(FOUR[owner]))
    assert_close(rank[owner], copies[0], atol=1e-8)
    assert_close(values, copies[1][:4], atol=1e-8)
    assert_close(index, (copies[2] @ np.eye(4)[owner])[:4], atol=1e-8)


def test_more_mass_than_cells_is_refused():
    """Where it is known; else ranks are NaN. Rounding is no mass."""
    with pytest.raises(
        ValueError, match=r"ranking: a row has a mass of 10, .*cells=10"
    ):
        sj.ranking(FOUR, weights=MANY, method="ot")
    five = sj.methods.OptimalTransport(cells=5)
    with pytest.raises(ValueError, match=r"rank:.* 5 units.*'fast_soft_sort'"):
        sj.rank(FOUR, weights=MANY, method=five, axis=0)
    rank = jax.jit(lambda w: sj.rank(FOUR.astype(np.float32), weights=w, method="ot"))
    assert np.all(np.isnan(rank(1.0 * MANY)))
    assert np.all(np.isfinite(rank(MANY * 0.4000001)))
    for bad, error in ((0, ValueError), (2.0, TypeError), (True, TypeError)):
        with pytest.raises(error, match="OptimalTransport: cells must be"):
            sj.methods.OptimalTransport(cells=bad)


@pytest.mark.slow
def test_more_copies_than_elements():
    """Sorted values are those of the first units of mass."""
    x, counts = FOUR.astype(np.float32), MANY
    whole = np.repeat(x, counts)
    for method in ("softsort", "neuralsort"):
        found = sj.sort(x, method=method, weights=counts, descending=True)
        copies = sj.sort(whole, method=method, descending=True)
        assert_close(found, copies[:4], atol=1e-5)
    for method in ("ot", "hypersimplex"):
        for k in (3, 7.5, 12):
            mask = sj.top_k_mask(x, k, method=method, weights=counts)
            copies = sj.top_k_mask(whole, min(k, 10), method=method)
            assert_close(np.repeat(mask, counts), copies, atol=1e-5)


@each("mode", ["smooth", "c0", "hard"], fast=("hard",))
def test_infinite_elements_with_weights(mode):
    x = np.array([np.inf, 0.3, -np.inf, 0.1, -np.inf, np.inf], np.float32)
    counts = np.array([2, 1, 1, 0, 2, 0])
    owner = np.repeat(np.arange(6), counts)
    for name, op in ALL.items():
        keywords = dict(mode=mode, method="softsort")
        found, whole = op(x, weights=counts, **keywords), op(x[owner], **keywords)
        found, whole = np.asarray(found), np.asarray(whole)
        if name in INDICES:
            whole = whole @ np.eye(6)[owner]
        found = found[owner] if name in POSITIONS else found[: len(whole)]
        np.testing.assert_allclose(found, whole, atol=1e-5, err_msg=name)


@each("method", WEIGHTED, fast=("softsort",))
def test_infinite_elements_of_any_weight(method):
    """Soft indices sum to 1, though an infinite element has but a part of a unit."""
    x = np.array([0.3, np.inf, -0.2, -np.inf, 0.1])
    weights = [[1, 0.5, 1, 0.25, 2], [0.5, 0.25, 0.25, 0.5, 0.5], [0, 0.5, 0, 1.5, 0]]
    names = [name for name in weighted(method) if name in INDICES]
    for mode in ("smooth", "c0"):
        given = dict(weights=jnp.asarray(weights), **keywords_of(method, mode))
        for name in names:
            index = ALL[name](np.broadcast_to(x, (3, 5)), **given)
            total = np.asarray(index).sum(axis=-1)
            if name == "argsort":  # of which there is none for units beyond the mass
                total = np.where(total == 0, 1, total)
            np.testing.assert_allclose(total, 1, atol=1e-5, err_msg=f"{name} {mode}")


def test_median_and_quantile_of_weights():
    """NumPy's quantiles, and the mean of what has half of the mass on either side."""
    x = np.array([3.0, 1.0, 4.0, 1.5, 9.0])
    weights = np.array([0.2, 1.0, 0.5, 0.3, 0.1])
    for q in (0.0, 0.2, 0.5, 0.9, 1.0):
        found = sj.quantile(
            x, q, weights=weights, quantile_method="inverted_cdf", mode="hard"
        )
        expected = np.quantile(x, q, weights=weights, method="inverted_cdf")
        assert_close(found, np.float32(expected))
    assert sj.median_newton(x, weights=weights, mode="hard") == 1.5
    assert sj.median_newton(x[:2], weights=np.ones(2), mode="hard") == 2
    copies = sj.median_newton(np.repeat(x, [2, 1, 1, 3, 1]))
    weighted = sj.median_newton(x, weights=np.array([2, 1, 1, 3, 1]))
    assert_close(weighted, copies, atol=1e-4)


@pytest.mark.slow
def test_any_axis_and_shape():
    """Weights broadcast to the input, or have the operated axis alone, as numpy's."""
    x = inputs.rng("shapes").normal(size=(2, 3, 4)).astype(np.float32)
    weights = np.array([1.0, 2.0, 0.5], np.float32)
    found = sj.median(x, axis=1, weights=weights)
    assert_close(found, sj.median(x, axis=1, weights=weights[:, None]))
    assert found.shape == (2, 4)
    assert_close(found[1, 2], sj.median(x[1, :, 2], weights=weights), atol=1e-6)
    assert_close(sj.rank(x, weights=2), sj.rank(x, weights=jnp.full((4,), 2.0)))
    assert_close(sj.max(x, axis=(0, 2), weights=1), sj.max(x, axis=(0, 2)), atol=1e-6)
    rows = jax.vmap(lambda x, w: sj.rank(x, weights=w))(x[0], np.abs(x[1]))
    assert_close(rows[1], sj.rank(x[0, 1], weights=np.abs(x[1, 1])), atol=1e-5)
    half = sj.sort(x.astype(np.float16), weights=np.ones(4))
    assert half.dtype == np.float16


def test_rows_without_mass():
    x = jnp.array([[0.3, 0.5], [0.1, 0.2]])
    weights = jnp.array([[0.0, 0.0], [1.0, 2.0]])
    assert sj.max(x, axis=1, weights=weights)[0] == -np.inf
    assert np.isnan(sj.median(x, axis=1, weights=weights)[0])
    assert np.all(sj.rank(x, weights=weights)[0] == 1)
    # Traced weights that are none make their own row NaN.
    out = jax.jit(lambda w: sj.max(x, axis=1, weights=w))(weights.at[0, 0].set(-1.0))
    assert np.isnan(out[0])
    assert np.isfinite(out[1])


def test_no_gradient_through_the_index():
    x = jnp.array([0.2, 1.0, 0.7])
    gradient = jax.grad(lambda w: sj.max(x, weights=w, gated_grad=False))(jnp.ones(3))
    assert np.all(gradient == 0)


def test_errors():
    x = jnp.arange(3.0)
    with pytest.raises(ValueError, match=r"sort: weights must be nonnegative.*-1"):
        sj.sort(x, weights=np.array([1.0, -1.0, 2.0]))
    with pytest.raises(ValueError, match=r"max: weights of shape \(2,\).*\(3,\)"):
        sj.max(x, weights=np.ones(2))
    with pytest.raises(ValueError, match=r"median: weights count copies.*only 1 of"):
        sj.median(x, weights=jnp.array([0.5, 0.25, 0.25]))
    # Of which the sum is more than 1, by rounding.
    with pytest.raises(ValueError, match=r"sort: weights count copies.*only 1 of"):
        sj.sort(jnp.arange(4.0), weights=jnp.array([0.1, 0.4, 0.4, 0.1]))
    with pytest.raises(TypeError, match=r"rank: weights must be.*complex"):
        sj.rank(x, weights=np.ones(3, complex))
    with pytest.raises(ValueError, match=r"fit along axis 0 and along the last"):
        sj.max(jnp.ones((3, 3)), axis=0, weights=np.ones(3))
    # Of which only ratios matter.
    assert sj.max(x, weights=jnp.array([0.5, 0.25, 0.25])) > 1.9
    with pytest.raises(
        ValueError, match=r"quantile: quantile_method='inverted_cdf'.*Opt"
    ):
        sj.quantile(x, 0.5, weights=x, quantile_method="inverted_cdf", method="ot")
    levels = dict(quantile_method="inverted_cdf", mode="hard")
    assert sj.quantile(x, 0.5, weights=jnp.array([0.5, 0.25, 0.25]), **levels) == 0
