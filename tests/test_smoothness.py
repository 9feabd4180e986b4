"""Orders of continuous derivatives of projections, by one-sided limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import softjax as sj
from softjax.solvers import (
    HypersimplexProjection,
    PNorm,
    SimplexProjection,
    TransportProjection,
    measure_smoothness,
    solve,
)

WEIGHTS = np.array([1.0, -2.0, 0.5, 3.0])
START = np.array([0.3, -0.2, 0.15, 0.6])
DIRECTION = np.array([1.0, -0.4, 0.2, -0.7])


def _simplex(mode, t):
    return solve(SimplexProjection(START + t * DIRECTION, 0.5), mode).value


def _hypersimplex(mode, t):
    # Of a sum so small that no entry reaches 1, where derivatives jump.
    return solve(HypersimplexProjection(START + t * DIRECTION, 0.9, 0.6), mode).value


def _full_hypersimplex(mode, t):
    return solve(HypersimplexProjection(START + t * DIRECTION, 2, 0.5), mode).value


def _mask(mode, t):
    return sj.top_k_mask(START + t * DIRECTION, 2, softness=0.25, mode=mode)


def _transport(mode, t):
    cost = np.outer(START, [1.0, 0.3, -1.0, 0.4])
    cost = cost + t * np.outer(DIRECTION, [0.2, -1.0, 0.4, 0.1])
    return solve(TransportProjection(cost, np.ones(4), np.ones(4), 1.0), mode).value[0]


def _along(fn):
    return jax.vmap(lambda t: jnp.sum(WEIGHTS * fn(t)))


_SLOW = [pytest.mark.slow]


# By default, `test_simplex.py` has it of the simplex.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("project", "q"),
    [
        pytest.param(project, q)
        for project in (_simplex, _hypersimplex, _transport)
        for q in (2, 3, 4, 5, 6)
        if project is _simplex or q <= 4
    ],
)
def test_theorem(project, q, x64):
    """The p-norm of 1/p + 1/q = 1 is smooth q - 2 times, and not once more."""
    mode = PNorm(q / (q - 1))
    fn = _along(lambda t: project(mode, t))
    # The support does change, and how often does not matter.
    assert measure_smoothness(fn, -1.03, 1.0, q) == q - 2


@pytest.mark.slow
def test_upper_bounds_are_kinks(x64):
    """The theorem is about where entries become 0, not about a bound above."""
    for q in (2, 4):
        mode = PNorm(q / (q - 1))
        fn = _along(lambda t, mode=mode: _full_hypersimplex(mode, t))
        assert measure_smoothness(fn, -1.03, 1.0, 2) == 0
    fn = _along(lambda t: _full_hypersimplex("quintic", t))
    assert measure_smoothness(fn, -1.03, 1.0, 3) == 2


@pytest.mark.parametrize(
    ("mode", "orders", "expected"),
    [
        pytest.param("c0", 1, 0, id="c0", marks=_SLOW),
        pytest.param("c1", 2, 1, id="c1", marks=_SLOW),
        pytest.param("c2", 3, 2, id="c2", marks=_SLOW),
        pytest.param("smooth", 2, np.inf, id="smooth", marks=_SLOW),
        pytest.param("quintic", 3, 2, id="quintic", marks=_SLOW),
    ],
)
def test_masks_are_as_smooth_as_their_mode_at_both_ends(mode, orders, expected, x64):
    t = np.linspace(-1, 1, 201)
    masks = jax.vmap(lambda t: _mask(mode, t))(t)
    if mode != "smooth":
        for end in (0, 1):
            assert np.any(np.diff(np.asarray(masks == end).astype(int), axis=0))
    fn = _along(lambda t: _mask(mode, t))
    assert measure_smoothness(fn, -1.03, 1.0, orders) == expected


def _operator(operator, tie, **keywords):
    x = np.array([0.2, 0.2 if tie else 0.5, 1.1, -0.9])
    v = np.array([1.0, -0.4, 0.3, 0.2]) * (0.02 if tie else 0.1)
    return _along(lambda t: operator(x + t * v, softness=0.3, **keywords))


@pytest.mark.slow
@pytest.mark.parametrize("operator", [sj.sort, sj.rank])
@pytest.mark.parametrize(
    ("method", "mode", "distinct", "tie"),
    [
        ("softsort", "smooth", np.inf, 0),
        ("neuralsort", "smooth", np.inf, 0),
        ("ot", "smooth", np.inf, np.inf),
        ("smooth_sort", "smooth", np.inf, np.inf),
        ("sorting_network", "smooth", np.inf, np.inf),
    ],
)
def test_ties(method, mode, distinct, tie, operator, x64):
    """Kinks are where distances have theirs."""
    for at_tie, expected in ((False, distinct), (True, tie)):
        fn = _operator(operator, at_tie, method=method, mode=mode)
        assert measure_smoothness(fn, -1.03, 1.0, 2) == expected


def test_what_is_measured(x64):
    """Functions whose smoothness is known."""
    for order in (0, 1, 2):
        fn = lambda t, order=order: jnp.where(t > 0.1, (t - 0.1) ** (order + 1), 0)  # noqa: E731
        assert measure_smoothness(fn, -1.0, 1.0, 3) == order
    # What rounding may leave of a derivative that is 0.
    fn = lambda t: t + 1e-12 * jnp.abs(t - 0.1) ** 3  # noqa: E731
    assert measure_smoothness(fn, -1.0, 1.0, 3) == np.inf
    assert measure_smoothness(lambda t: jnp.where(t > 0.1, 1.0, 0.0), -1.0, 1.0) == -1
    # Steep is not a jump.
    assert measure_smoothness(lambda t: jnp.tanh(300 * t), -1.0, 1.0) == np.inf
    assert measure_smoothness(jnp.abs, -1.0, 1.01) == 0
