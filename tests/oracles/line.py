"""Entropic transport of many points on a line to as many anchors, by its dense plan."""

import numpy as np


def dense_line_plan(x, softness, steps: int = 100) -> np.ndarray:
    """The doubly stochastic plan from sorted x, ascending, to anchors in [0, 1].

    `P_ij = exp(f_i + g_j - (x_i - a_j)^2 / softness)`. Newton's method for g, each row
    normalized, from the hard plan's potentials; steps that do not raise the dual are
    shortened.
    """
    x = np.asarray(x, np.float64)
    n = len(x)
    a = np.arange(n) / max(n - 1, 1)
    # Costs relative to the hard plan, by sums of terms of one sign.
    gap = np.diff(a)[:, None] * 2 * (x[None] - ((x[1:] + x[:-1]) / 2)[:, None])
    above = np.cumsum(np.maximum(-gap, 0), axis=0)
    below = np.cumsum(np.maximum(gap, 0)[::-1], axis=0)[::-1]
    zeros = np.zeros((1, n))
    scores = -(np.concatenate([zeros, above]) + np.concatenate([below, zeros])).T
    scores /= softness

    def evaluate(g):
        t = scores + g
        top = t.max(axis=1, keepdims=True)
        total = np.exp(t - top).sum(axis=1, keepdims=True)
        dual = g.sum() - (top + np.log(total)).sum()
        return np.exp(t - top) / total, dual

    g = np.zeros(n)
    for _ in range(4):
        t = scores + g
        f = -np.log(np.exp(t - t.max(1, keepdims=True)).sum(1)) - t.max(1)
        t = scores + f[:, None]
        g = -np.log(np.exp(t - t.max(0)).sum(0)) - t.max(0)
    plan, dual = evaluate(g)
    for _ in range(steps):
        column = plan.sum(axis=0)
        gap = 1 - column
        if abs(gap).max() < 1e-11:
            break
        hessian = np.diag(column) - plan.T @ plan + 1e-14 * np.eye(n) + 1 / n
        step = np.linalg.solve(hessian, gap)
        scale = 1.0
        while scale > 1e-6:
            new, value = evaluate(g + scale * step)
            if value >= dual - 1e-12 * abs(dual):
                break
            scale /= 2
        g, plan, dual = g + scale * step, new, value
    assert abs(1 - plan.sum(axis=0)).max() < 1e-8, abs(1 - plan.sum(axis=0)).max()
    return plan


def dense_line_gradients(x, plan, softness, weights) -> dict[str, np.ndarray]:
    """Derivatives of `weights @ y`, of values `y = P^T x` and of places `y = P a`.

    Of its `plan`, in x and in the softness: `"values"`, `"values softness"`,
    `"places"`, and so on.
    """
    x, weights = np.asarray(x, np.float64), np.asarray(weights, np.float64)
    n = len(x)
    a = np.arange(n) / (n - 1)
    hessian = np.diag(plan.sum(axis=0)) - plan.T @ plan
    hessian += 1 / n + 1e-13 * np.eye(n)

    def pull_back(slope):
        # Rows are normalized, and then g is implicit in the sums of columns.
        moved = slope * plan
        moved = moved - plan * moved.sum(axis=1, keepdims=True)
        g = np.linalg.solve(hessian, -moved.sum(axis=0))
        moved = moved + plan * (g - (plan @ g)[:, None])
        of_softness = -2 / softness**2 * (moved * a * x[:, None]).sum()
        return 2 / softness * (moved * a).sum(axis=1), of_softness

    values, values_softness = pull_back(x[:, None] * weights)
    places, places_softness = pull_back(a * weights[:, None])
    return {
        "values": values + plan @ weights,
        "values softness": values_softness,
        "places": places,
        "places softness": places_softness,
    }
