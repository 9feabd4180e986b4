"""Optimal transport plans, and soft indices that are plans on a line."""

import numpy as np
import scipy.optimize

from .links import Link


def _fit_rows(scores, target, link: Link, weights=1.0) -> np.ndarray:
    """f with `sum_j weights_j link(scores_ij + f_i) = target_i`, by bisection."""
    reach = np.ones(len(target))
    middle = -scores.max(axis=1)

    def excess(f):
        return (weights * link(scores + f[:, None])).sum(axis=1) - target

    while np.any(excess(middle + reach) < 0) or np.any(excess(middle - reach) > 0):
        reach *= 2
    lower, upper = middle - reach, middle + reach
    for _ in range(100):
        f = (lower + upper) / 2
        above = excess(f) > 0
        lower, upper = np.where(above, lower, f), np.where(above, f, upper)
    return (lower + upper) / 2


def transport_oracle(
    cost, mu, nu, softness, link: Link, weights: np.ndarray | None = None
) -> np.ndarray:
    """`argmin_P <C, P> + softness R(P)` with marginals of unit mass, one problem.

    With weights, each row is that of one copy of so many.

    P is the optimum if, and only if, it is `link(f_i + g_j - C_ij / softness)` and has
    the marginals. Sweeps of alternating projections come near g; a least-squares solver
    makes the marginals exact.
    """
    scores = -np.asarray(cost, np.float64) / softness
    used = np.asarray(nu) > 0
    weights = np.ones(len(scores)) if weights is None else weights
    columns = scores[:, used]
    goal = np.asarray(nu, np.float64)[used]

    def plan(g):
        f = _fit_rows(columns + g, mu, link)
        return link(columns + g + f[:, None])

    def gap(g):
        return weights @ plan(np.append(0.0, g))[:, 1:] - goal[1:]

    g = np.zeros(len(goal))
    for _ in range(100):
        f = _fit_rows(columns + g, mu, link)
        g = _fit_rows((columns + f[:, None]).T, goal, link, weights)
        g -= g[0]
    if len(goal) > 1:
        options = dict(xtol=1e-15, ftol=1e-15, gtol=1e-15)
        g[1:] = scipy.optimize.least_squares(gap, g[1:], method="lm", **options).x
    out = np.zeros_like(scores)
    out[:, used] = plan(g)
    np.testing.assert_allclose(weights @ out, nu, atol=1e-9)
    np.testing.assert_allclose(out.sum(axis=1), mu, atol=1e-9)
    return out


def line_oracle(x, counts, softness, link: Link) -> np.ndarray:
    """Soft indices `*batch m n`: n times the plan from x to m anchors in [0, 1].

    The largest elements go to the first anchors, `counts` of them.
    """
    x = np.asarray(x, np.float64)
    n = x.shape[-1]
    anchors = np.linspace(0, 1, len(counts))
    out = np.zeros((*x.shape[:-1], len(counts), n))
    for row in np.ndindex(x.shape[:-1]):
        cost = (-x[row][:, None] - anchors) ** 2
        # Less the potentials of the hard plan, to begin near the optimum.
        before = np.cumsum(counts)[:-1]
        ordered = np.sort(-x[row])
        beside = np.clip([np.ceil(before) - 1, np.floor(before)], 0, n - 1)
        between = ordered[beside.astype(int)].mean(axis=0)
        step = np.diff(anchors) * (anchors[1:] + anchors[:-1] - 2 * between)
        cost -= np.append(0.0, np.cumsum(step))
        cost -= cost.min(axis=1, keepdims=True)
        nu = np.asarray(counts) / n
        plan = transport_oracle(cost, np.full(n, 1 / n), nu, softness, link)
        out[row] = n * plan.T
    return out
