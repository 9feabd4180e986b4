"""Weights beside infinite elements, and where sums of them are rounded."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
from assertions import assert_close, finite_difference
from cases import INDEX_METHODS, METHODS
from parametrize import each
from row_operators import ALL

import softjax as sj
from softjax.losses import rank_loss, simplex_loss, top_k_loss

INF = np.inf
ASKED = dict(sort_descending="sort", min="max", argmin="argmax", ranking="rank")


def _weighted(method):
    """The operators of a method that take weights."""
    takes = sj.methods.get_method(method).takes_weights
    return {name: op for name, op in ALL.items() if ASKED.get(name, name) in takes}


TAKE_WEIGHTS = [method for method in METHODS if _weighted(method)]


@each("method", TAKE_WEIGHTS, fast=("fast_soft_sort",))
def test_weights_of_one_are_none(method):
    x = np.array(
        [
            [0.3, INF, 0.9, -0.2],
            [0.3, -INF, 0.9, -0.2],
            [INF, -INF, 0.9, -0.2],
            [INF, -INF, INF, -0.2],
        ],
        np.float32,
    )

    @jax.jit
    def run(x, weights):
        keywords = dict(method=method, softness=0.5)
        names = _weighted(method).items()
        return [
            {name: op(x, weights=w, **keywords) for name, op in names}
            for w in (None, weights)
        ]

    plain, weighted = run(x, jnp.ones_like(x))
    for name, expected in plain.items():
        np.testing.assert_allclose(weighted[name], expected, atol=2e-5, err_msg=name)


@each("weighted", [False, True], fast=("False",))
def test_argquantile_moves_with_the_level_beside_infinity(weighted, x64):
    x = jnp.array([0.0, 1.0, INF, 0.6])
    w = np.array([0.8, 1.2, 1.15, 0.9])
    direction = inputs.rng("level").normal(size=4) * weighted
    index = lambda w, q: sj.argquantile(  # noqa: E731
        x, q, weights=w if weighted else None
    )
    run = jax.jit(lambda w, q: index(w, q))
    args, tangents = (w, np.array(0.8)), (direction, np.array(1.0))
    _, found = jax.jit(lambda *t: jax.jvp(run, args, t))(*tangents)
    assert np.max(np.abs(found)) > 0.1
    assert_close(found, finite_difference(run, args, tangents), atol=1e-7)


def test_logarithms_of_argquantiles_beside_infinity():
    x = jnp.array([0.0, 1.0, INF])
    logs = lambda q: sj.argquantile(x, q, return_log_probs=True)  # noqa: E731
    slope = jax.jacobian(logs)(0.75)
    assert_close(slope, [-4, -4, 4], atol=1e-4)


MODES = {"smooth": "smooth", "c0": "c0", "tsallis": sj.solvers.Tsallis(0.5)}


@each("mode", list(MODES), fast=("tsallis",))
def test_only_ratios_of_weights_matter_to_the_first(mode):
    """The soft index of inf is whole, also where it has less than a unit of mass."""
    ids = jnp.zeros(4, int)

    @jax.jit
    def run(x, w):
        keywords = dict(weights=w, mode=MODES[mode])
        logs = dict(return_log_probs=True, **keywords)
        return [
            sj.argmax(x, **keywords),
            sj.argmin(-x, **keywords),
            jnp.exp(sj.argmax(x, **logs)),
            sj.segment.argmax(x, ids, 1, **keywords),
            sj.segment.argmin(-x, ids, 1, **keywords),
            jnp.exp(sj.segment.argmax(x, ids, 1, **logs)),
        ], [sj.max(x, **keywords), sj.segment.max(x, ids, 1, **keywords)[0]]

    one = np.array([0.0, INF, 1.0, -0.5], np.float32)
    two = np.array([0.0, INF, 1.0, INF], np.float32)
    weights = np.array([1.0, 0.5, 1.0, 0.125], np.float32)
    for x, scale in ((one, 1), (two, 1), (one, 1e-3), (one, [1, 1e-6, 1, 1])):
        w = weights * np.asarray(scale, np.float32)
        expected = np.where(np.isinf(x), w, 0) / np.sum(w[np.isinf(x)])
        for given in (x, np.where(np.isinf(x), np.float32(1e6), x)):
            indices, values = run(given, w)
            # The larger the smaller the mass of what is far away is.
            atol = 1e-5 if np.any(np.isinf(given)) or mode == "smooth" else 1e-2
            for index in indices:
                assert_close(index, expected, atol=atol)
                assert_close(np.sum(index), 1, atol=1e-5)
            if np.any(np.isinf(given)):
                np.testing.assert_array_equal(values, INF)


@each("mode", ["smooth", "hard"])
def test_medians_by_newton_have_half_on_either_side(mode):
    """A median is infinite where infinite elements have half of the mass."""
    run = jax.jit(lambda x, w: sj.median_newton(x, weights=w, mode=mode))
    for x, w in (
        ([1, 2, 3, INF], [0.3, 0.3, 0.3, 0.1]),
        ([0, 1, 2, INF], [5.2, 0.0, 0.0, 4.8]),
        ([0, 1, 2, -INF], [5.2, 0.0, 0.0, 4.8]),
        ([-INF, 0, 1, 1], [2, 1, 1, 0.5]),
    ):
        x, w = np.array(x, np.float32), np.array(w, np.float32)
        found = run(x, w)
        assert np.isfinite(found)
        far = np.where(np.isinf(x), np.sign(x) * 1e4, x)
        assert_close(found, run(far, w), atol=1e-5)
    for x, w, expected in (
        ([0, 1, 2, INF], [4.8, 0, 0, 5.2], INF),
        ([0, 1, 2, -INF], [1, 0, 0, 1], -INF),
        ([-INF, 0, 1, 1], [2, 1, 1, 0], -INF),
    ):
        assert run(np.array(x, np.float32), np.array(w, np.float32)) == expected


@each("method", ["hard", *INDEX_METHODS[:3]], fast=("hard", "softsort"))
def test_rounded_sums_leave_finite_values_finite(method):
    """Ten times 0.1 is a unit of mass, next to which the others have theirs."""
    keywords = dict(method=method)
    if method == "hard":
        keywords = dict(mode="hard")

    @jax.jit
    def run(x, w):
        given = dict(weights=w, softness=1e-3, **keywords)
        return {
            "sort": sj.sort(x, descending=True, **given),
            "top_k": sj.top_k(x, 3, **given)[0],
            "median": sj.median(x, **given),
            "quantile": sj.quantile(x, 0.5, **given),
        }

    for count, part in ((10, 0.1), (7, 1 / 7)):
        for sign in (1, -1):
            x = np.array([INF] * count + [2.0, 1.0], np.float32) * sign
            w = np.array([part] * count + [1, 1], np.float32)
            expected = np.sort(np.array([INF, 2, 1]) * sign)[::-1]
            out = run(x, w)
            assert_close(out["sort"][:3], expected, atol=1e-3)
            assert np.all(out["sort"][3:] == -INF)
            assert_close(out["top_k"], expected, atol=1e-3)
            assert_close(out["median"], expected[1], atol=1e-3)
            assert_close(out["quantile"], expected[1], atol=1e-3)


def test_rounded_sums_of_segments_leave_finite_values_finite():
    x = jnp.array([INF] * 10 + [2.0, 1.0])
    w, ids = jnp.array([0.1] * 10 + [1.0, 1.0]), jnp.zeros(12, int)
    keywords = dict(weights=w, softness=1e-3)
    for keyword in (dict(mode="hard"), dict(method="neuralsort")):
        values = sj.segment.top_k(x, ids, 3, 1, **keyword, **keywords)
        assert_close(values[0], [INF, 2, 1], atol=1e-3)
        assert_close(
            sj.segment.median(x, ids, 1, **keyword, **keywords), [2], atol=1e-3
        )
    rest = [0.5, 1.0, 0.5, 1 + 4e-6]
    for x, w in (([INF] * 10 + [2, 1], [0.1] * 10 + [1, 1]), ([0, 0.4, 1, INF], rest)):
        given = dict(weights=jnp.array(w), method="softsort")
        x, ids = jnp.array(x), jnp.zeros(len(x), int)
        found = sj.segment.median(x, ids, 1, **given)
        assert_close(found[0], sj.median(x, **given), atol=1e-4)


LOSSES = {
    "simplex_loss": lambda z, t, w: simplex_loss(z, t / jnp.sum(t), weights=w),
    "top_k_loss": lambda z, t, w: top_k_loss(z, t, 1.5, weights=w),
    "rank_loss": lambda z, t, w: rank_loss(z, 4 * t, weights=w),
}


@each("name", list(LOSSES), fast=("simplex_loss",))
def test_weights_of_fenchel_young_losses_are_constant(name):
    z, t = jnp.array([0.3, -1.0, 0.7]), jnp.array([0.2, 0.5, 0.4])
    run = jax.jit(jax.grad(LOSSES[name], (0, 2)))
    of_z, of_w = run(z, t, jnp.array([1.0, 2.0, 0.5]))
    assert np.any(of_z != 0)
    np.testing.assert_array_equal(of_w, 0)


@each("method", ["hard", "softsort", "neuralsort"], fast=("softsort",))
def test_points_of_weights_beside_infinity(method):
    """An element at a point is one, however near an infinite one is."""
    keywords = dict(mode="hard") if method == "hard" else dict(method=method)
    levels = jnp.array([0.2, 0.45, 0.7, 0.9])

    @jax.jit
    def run(x, w):
        given = dict(weights=w, quantile_method="inverted_cdf", softness=1e-3)
        given |= keywords
        return sj.quantile(x, levels, **given), sj.argquantile(x, levels, **given)

    for x in ([1, 2, -INF, 3], [1, 2, INF, 3], [1, INF, -INF, 3]):
        x = np.array(x)
        for w in (np.ones(4), np.array([0.6, 1.2, 1.7, 0.8])):
            expected = np.quantile(x, levels, weights=w, method="inverted_cdf")
            values, index = run(x.astype(np.float32), w.astype(np.float32))
            np.testing.assert_allclose(values, expected, atol=1e-3)
            assert_close(index, expected[:, None] == x, atol=1e-3)


@each("method", ["hard", *INDEX_METHODS[:3]], fast=("hard", "softsort"))
def test_sums_that_round_up_to_more_than_whole(method):
    """A unit of nothing but rounding is beyond the last one, and not 0."""
    keywords = dict(mode="hard") if method == "hard" else dict(method=method)
    run = jax.jit(lambda x, w: sj.sort(x, weights=w, softness=1e-3, **keywords))
    rng = inputs.rng("rounded sums")
    for _ in range(20):
        x = rng.uniform(4, 6, size=12).astype(np.float32)
        count, w = rng.integers(2, 12), rng.uniform(size=12)
        w = (w / w.sum() * count).astype(np.float32)
        out = run(x, w)
        assert np.all(out[:count] > 3.9)
        np.testing.assert_array_equal(out[count:], INF)


@each("method", ["hard", *INDEX_METHODS[:3]], fast=("hard", "softsort"))
def test_more_mass_than_units_have_room(method):
    """A quantile of hundreds of millions of copies is that of fewer."""
    keywords = dict(mode="hard") if method == "hard" else dict(method=method)
    x, w = jnp.array([0.2, 1.0, 0.7, 0.4]), jnp.array([1.0, 2.0, 1.0, 1.0])

    @jax.jit
    def run(w):
        given = dict(weights=w, softness=1e-2, **keywords)
        return sj.quantile(x, jnp.array([0, 0.5, 1]), **given), sj.median(x, **given)

    for scale in (1e6, 1e7, 1e9):
        values, median = run(scale * w)
        assert_close(values, [0.2, 0.7, 1.0], atol=1e-3)
        assert_close(median, 0.7, atol=1e-3)


@each("method", ["hard", *INDEX_METHODS[:3]], fast=("hard", "softsort"))
def test_first_units_are_of_what_is_present(method):
    """Of a unit of which -inf has a part, the rest is in `top_k`."""
    x, w = jnp.array([1.0, -INF]), jnp.array([0.5, 1.2])
    keywords = dict(mode="hard") if method == "hard" else dict(method=method)
    values, index = sj.top_k(x, 2, weights=w, softness=1e-3, **keywords)
    np.testing.assert_array_equal(values, [1, -INF])
    assert_close(index, np.eye(2))
    if method in ("hard", "neuralsort"):
        ids = jnp.zeros(2, int)
        values = sj.segment.top_k(x, ids, 2, weights=w, softness=1e-3, **keywords)
        np.testing.assert_array_equal(values[0], [1, -INF])


def test_gradients_of_hard_weights_beside_infinity():
    """Finite, also where results that are infinite are left out."""
    x, ids = jnp.array([0.3, INF, -0.2, -INF, 0.1]), jnp.zeros(5, int)
    hard, levels = dict(mode="hard"), jnp.array([0.0, 0.3, 0.9])

    @jax.jit
    @jax.grad
    def gradient(w):
        given = dict(weights=w, **hard)
        results = (
            sj.sort(x, **given),
            sj.top_k(x, 4, **given)[0],
            sj.quantile(x, levels, **given),
            sj.segment.top_k(x, ids, 4, 1, **given),
            sj.segment.quantile(x, ids, levels, 1, **given),
        )
        return sum(jnp.sum(jnp.where(jnp.isfinite(y), y, 0)) for y in results)

    assert np.all(np.isfinite(gradient(jnp.linspace(0.6, 1.4, 5))))


def test_shares_of_segments_are_those_of_rows_beside_infinity():
    """Less than a unit of mass that is inf, beside which nothing finite has a share."""
    x, w = jnp.array([INF, -INF, -1.9]), jnp.array([0.7, 1.5, 1.6])
    keywords = dict(weights=w, method="neuralsort", mode="c0")
    index = sj.segment.argmax(x, jnp.zeros(3, int), 1, **keywords)
    assert_close(index, [1, 0, 0])
    assert_close(sj.argmax(x, **keywords), [1, 0, 0])


def test_what_is_absent_has_no_derivative_under_a_floor():
    x = jnp.array([-INF, 0.5, 0.2])
    logs = lambda w: sj.argmax(  # noqa: E731
        x, weights=w, return_log_probs=True, log_prob_eps=0.01
    )
    jacobian = jax.jacobian(logs)(jnp.array([1.0, 2.0, 0.5]))
    assert np.all(jacobian[0] == 0)
    assert np.all(jacobian[1:, 1:] != 0)


def test_cells_may_be_a_number_of_numpy():
    x, counts = jnp.array([0.2, 1.0, 0.7]), np.array([3, 1, 2])
    method = sj.methods.OptimalTransport(cells=counts.sum())
    assert type(method.cells) is int
    ranks = sj.rank(x, weights=counts, method=method)
    assert np.all(np.isfinite(ranks))


def test_hard_units_begin_at_the_end_that_is_first():
    """Also where a method is named whose ascending values are read backwards."""
    x = jnp.array([0.2, 1.0, 0.7])
    for weights in (jnp.array([0.5, 1.2, 0.6]), jnp.array([1.0, 0.0, 1.0])):
        expected = sj.sort(x, weights=weights, mode="hard")
        for method in METHODS:
            found = sj.sort(x, weights=weights, mode="hard", method=method)
            np.testing.assert_array_equal(found, expected)
