"""References in float64, independent of the library: NumPy, SciPy and closed forms."""

import contextlib
import itertools
from collections.abc import Callable

import jax
import numpy as np
import scipy.integrate
import scipy.optimize
import scipy.special

Link = Callable[[np.ndarray], np.ndarray]


def x64() -> contextlib.AbstractContextManager:
    """A context in which JAX computes in 64 bits."""
    return jax.enable_x64(True)


def rng(*seed: int | str) -> np.random.Generator:
    """A generator of numbers that only this seed determines, in any process."""
    words = [n for part in seed for n in str(part).encode()]
    return np.random.default_rng(words)


def tolerance(dtype) -> float:
    """Absolute error that is allowed to a value of order 1."""
    return 3e-6 if np.dtype(dtype) == np.float32 else 1e-10


def assert_close(actual, expected, *, atol: float | None = None, rtol: float = 0.0):
    """Equal shapes and, up to a tolerance that goes with the type, equal entries."""
    actual = np.asarray(actual)
    expected = np.asarray(expected)
    assert actual.shape == expected.shape
    atol = tolerance(actual.dtype) if atol is None else atol
    np.testing.assert_allclose(actual, expected, atol=atol, rtol=rtol)


# Links


def power_link(p: float) -> Link:
    return lambda t: np.maximum(t, 0.0) ** (1 / (p - 1))


def exp_link(t):
    return np.exp(np.minimum(t, 700.0))


def smoothstep(s, coefficients):
    s = np.clip(s, 0.0, 1.0)
    return sum(c * s**power for power, c in coefficients.items())


def cubic_link(t):
    return smoothstep(np.asarray(t) + 0.5, {2: 3, 3: -2})


def quintic_link(t):
    return smoothstep(np.asarray(t) + 0.5, {3: 10, 4: -15, 5: 6})


def pseudohuber_link(t):
    # (1 + sin a) / 2 with tan a = 2t; the complement keeps small values accurate.
    return np.cos(np.pi / 4 - np.arctan(2 * np.asarray(t)) / 2) ** 2


def tsallis_link(alpha: float) -> Link:
    if alpha == 1:
        return lambda t: exp_link(np.asarray(t) - 1)
    outside = 0.0 if alpha > 1 else np.inf

    def link(t):
        base = (alpha - 1) * np.asarray(t, np.float64) + 1 / alpha
        inside = base > 0
        power = np.where(inside, base, 1) ** (1 / (alpha - 1))
        return np.where(inside, power, outside)

    return link


def entmax_oracle(z, softness, alpha: float) -> np.ndarray:
    """The projection of z onto the simplex with the Tsallis entropy of alpha > 1.

    Of the entries above 0, the smallest one, v, is found by bisection, and the others
    follow from it: `y_i^(a - 1) - v^(a - 1)` is `(a - 1)` times the difference of
    scores. No digits are lost, as they are in a dual, however steep the link is.
    """
    z = np.asarray(z, np.float64)
    out = np.zeros_like(z)
    p = alpha - 1
    for row in np.ndindex(z.shape[:-1]):
        scores = np.sort(z[row])[::-1] / np.broadcast_to(softness, z.shape)[row][0]

        def rest(v, size, scores=scores):
            above = p * (scores[:size] - scores[size - 1])
            return (above + v**p) ** (1 / p)

        for size in range(len(scores), 0, -1):
            if rest(0.0, size).sum() <= 1:
                break
        low, high = 0.0, 1.0
        for _ in range(200):
            v = (low + high) / 2
            low, high = (low, v) if rest(v, size).sum() > 1 else (v, high)
        out[row][np.argsort(-z[row])[:size]] = rest(low, size)
    return out


def barrier_link(t):
    t = np.asarray(t, np.float64)
    return np.where(t < 0, -1 / np.where(t < 0, t, -1), np.inf)


def expm1_link(t):
    return np.expm1(np.clip(t, 0.0, 700.0))


def mixed_link(t):
    """`y + log y = t` is solved by the Wright omega function."""
    return np.real(scipy.special.wrightomega(np.asarray(t, np.float64)))


# Simplex projections


def simplex_oracle(
    z, softness, link: Link, lower: float = -1.0, upper: float = 1.0, where=None
) -> np.ndarray:
    """`argmax_{y in simplex} <z, y> - softness R(y)` along the last axis.

    Row by row, theta with `sum_i link(z_i / softness - theta) = 1` is found by Brent's
    method, in a bracket that starts from [lower, upper] and is widened as needed.
    """
    z = np.asarray(z, np.float64)
    softness = np.broadcast_to(np.asarray(softness, np.float64), (*z.shape[:-1], 1))
    where = np.broadcast_to(True if where is None else where, z.shape)
    out = np.zeros_like(z)
    for row in np.ndindex(z.shape[:-1]):
        mask = where[row]
        if mask.sum() <= 1:
            out[row] = mask
            continue
        scores = (z[row][mask] - z[row][mask].max()) / softness[row]

        def excess(theta, scores=scores):
            return np.sum(link(scores - theta)) - 1

        low, high = lower, upper
        while excess(low) < 0:
            low -= high - low
        while excess(high) > 0:
            high += high - low
        theta = scipy.optimize.brentq(excess, low, high, xtol=1e-15, rtol=1e-15)
        y = link(scores - theta)
        out[row][mask] = y / y.sum()
    return out


def hypersimplex_oracle(z, k, softness, link: Link, where=None) -> np.ndarray:
    """`argmax <z, y> - softness R(y)` over `0 <= y <= 1` with `sum y = k`.

    Row by row, theta with `sum_i min(link(z_i / softness - theta), 1) = k` is found by
    bisection. k is in (0, n), a number or of shape `*batch 1`.
    """
    z = np.asarray(z, np.float64)
    rows = (*z.shape[:-1], 1)
    softness = np.broadcast_to(np.asarray(softness, np.float64), rows)
    k = np.broadcast_to(np.asarray(k, np.float64), rows)
    where = np.broadcast_to(True if where is None else where, z.shape)
    out = np.zeros_like(z)
    for row in np.ndindex(z.shape[:-1]):
        mask, total = where[row], k[row].item()
        # From the last entry of the hard mask, or spreads of 1e10 would be rounded.
        last = np.sort(z[row][mask])[-int(np.ceil(total))]
        scores = (z[row][mask] - last) / softness[row]

        def project(theta, scores=scores):
            return np.minimum(link(scores - theta), 1)

        low, high = -1.0, 1.0
        while project(low).sum() < total:
            low *= 2
        while project(high).sum() > total:
            high *= 2
        for _ in range(100):
            theta = (low + high) / 2
            above = project(theta).sum() > total
            low, high = (theta, high) if above else (low, theta)
        out[row][mask] = project(theta)
    return out


PRIMAL: dict[str, Link] = {
    "smooth": lambda y: y * np.log(np.maximum(y, 1e-300)) - y,
    "c0": lambda y: y**2 / 2,
    "c1": lambda y: np.maximum(y, 0) ** 1.5 / 1.5,
    "c2": lambda y: np.maximum(y, 0) ** (4 / 3) * 3 / 4,
    "pseudohuber": lambda y: -np.sqrt(np.clip(y * (1 - y), 1e-300, None)) / 2,
}
"""r itself, of modes for which it has a closed form."""


def two_sided_oracle(z, k, softness, link: Link) -> np.ndarray:
    """Masks with sum k of two-point projections of all scores with one threshold."""

    def row(z):
        z = np.asarray(z, np.float64) / softness

        def mask(threshold):
            return two_point_oracle(z - threshold, link)

        reach = 1.0
        while (
            np.sum(mask(-reach + np.min(z))) < k or np.sum(mask(reach + np.max(z))) > k
        ):
            reach *= 2
        threshold = scipy.optimize.brentq(
            lambda t: np.sum(mask(t)) - k,
            np.min(z) - reach,
            np.max(z) + reach,
            xtol=1e-14,
            rtol=1e-14,
        )
        return mask(threshold)

    return np.apply_along_axis(row, -1, np.asarray(z))


def primal_optimum(z, k, softness, r: Link):
    """The loss `softness R(y) - <z, y>`, and its minimum over 0 <= y <= 1, sum y = k.

    By sequential quadratic programming on the primal problem.
    """

    def loss(y):
        return softness * np.sum(r(y)) - z @ y

    best = scipy.optimize.minimize(
        loss,
        np.full(len(z), k / len(z)),
        method="SLSQP",
        bounds=[(0, 1)] * len(z),
        constraints=dict(type="eq", fun=lambda y: y.sum() - k),
        options=dict(ftol=1e-14, maxiter=500),
    )
    return loss, best.x


def two_point_oracle(t, link: Link) -> np.ndarray:
    """First entry of the projection of [t, 0], at unit softness."""
    t = np.asarray(t, np.float64)
    return simplex_oracle(np.stack([t, 0 * t], axis=-1), 1.0, link)[..., 0]


def transition_scale(at_zero: float, at_one: float) -> float:
    """What softness is multiplied by in elementwise operators."""
    width = at_one - at_zero
    return max(5 / width, 1.0)


def heaviside_oracle(x, softness, link: Link, at_zero: float, at_one: float):
    """The soft step: bounded transitions fill [-5 softness, 5 softness]."""
    scale = softness * transition_scale(at_zero, at_one)
    return two_point_oracle(np.asarray(x, np.float64) / scale, link)


def relu_oracle(x, softness, link: Link, at_zero: float, at_one: float) -> np.ndarray:
    """The integral of the soft step from -inf."""
    scale = softness * transition_scale(at_zero, at_one)
    return scale * softplus_oracle(np.asarray(x, np.float64) / scale, link)


@np.vectorize
def _inverse(link: Link, y: float) -> float:
    low, high = -1.0, 1.0
    while link(low) > y:
        low *= 2
    while link(high) < y:
        high *= 2
    return scipy.optimize.brentq(lambda t: link(t) - y, low, high, xtol=1e-15)


def gradient_oracle(y, link: Link) -> np.ndarray:
    """`r'(y)` for 0 < y < 1, where the link is y."""
    return _inverse(link, y)


def _quad(fn: Callable[[float], float], lower: float, upper: float) -> float:
    return scipy.integrate.quad(fn, lower, upper, epsabs=1e-12, limit=200)[0]


def value_oracle(y, link: Link) -> np.ndarray:
    """`r(y) - r(0)`, the integral of the inverse link."""
    integral = np.vectorize(lambda y: _quad(lambda u: _inverse(link, u), 0, y))
    return integral(y)


def conjugate_oracle(t, link: Link, at_zero: float) -> np.ndarray:
    """`r*(t)`, the integral of the link from -inf, where it is 0 up to r'(0)."""
    integral = np.vectorize(
        lambda t: _quad(link, at_zero, t) if t > at_zero else 0.0, otypes=[float]
    )
    return integral(t)


def softplus_oracle(t, link: Link) -> np.ndarray:
    """The integral of the two-point step of unit softness from -inf to t.

    The step at t is y where `t = r'(y) - r'(1 - y)`. So, by Young's formula, it is
    `t y` minus the integral of that from 0 to y: over a finite interval, and errors in
    y do not matter to first order.
    """

    def tail(t):
        y = float(two_point_oracle(t, link))
        if y == 0:
            return 0.0
        area = _quad(lambda u: _inverse(link, u) - _inverse(link, 1 - u), 0, y)
        return t * y - area

    t = np.asarray(t, np.float64)
    # At t and -t, the integrals differ by t.
    return np.maximum(t, 0) + np.vectorize(tail, otypes=[float])(-np.abs(t))


# Optimal transport


def _fit_rows(scores, target, link: Link) -> np.ndarray:
    """f with `sum_j link(scores_ij + f_i) = target_i`, by bisection."""
    reach = np.ones(len(target))
    middle = -scores.max(axis=1)

    def excess(f):
        return link(scores + f[:, None]).sum(axis=1) - target

    while np.any(excess(middle + reach) < 0) or np.any(excess(middle - reach) > 0):
        reach *= 2
    lower, upper = middle - reach, middle + reach
    for _ in range(100):
        f = (lower + upper) / 2
        above = excess(f) > 0
        lower, upper = np.where(above, lower, f), np.where(above, f, upper)
    return (lower + upper) / 2


def transport_oracle(cost, mu, nu, softness, link: Link) -> np.ndarray:
    """`argmin_P <C, P> + softness R(P)` with marginals of unit mass, one problem.

    P is the optimum if, and only if, it is `link(f_i + g_j - C_ij / softness)` and has
    the marginals. Sweeps of alternating projections come near g; a least-squares solver
    makes the marginals exact.
    """
    scores = -np.asarray(cost, np.float64) / softness
    used = np.asarray(nu) > 0
    columns = scores[:, used]
    goal = np.asarray(nu, np.float64)[used]

    def plan(g):
        f = _fit_rows(columns + g, mu, link)
        return link(columns + g + f[:, None])

    def gap(g):
        return plan(np.append(0.0, g)).sum(axis=0)[1:] - goal[1:]

    g = np.zeros(len(goal))
    for _ in range(100):
        f = _fit_rows(columns + g, mu, link)
        g = _fit_rows((columns + f[:, None]).T, goal, link)
        g -= g[0]
    if len(goal) > 1:
        options = dict(xtol=1e-15, ftol=1e-15, gtol=1e-15)
        g[1:] = scipy.optimize.least_squares(gap, g[1:], method="lm", **options).x
    out = np.zeros_like(scores)
    out[:, used] = plan(g)
    np.testing.assert_allclose(out.sum(axis=0), nu, atol=1e-9)
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
        between = ordered[np.clip([before - 1, before], 0, n - 1)].mean(axis=0)
        step = np.diff(anchors) * (anchors[1:] + anchors[:-1] - 2 * between)
        cost -= np.append(0.0, np.cumsum(step))
        cost -= cost.min(axis=1, keepdims=True)
        nu = np.asarray(counts) / n
        plan = transport_oracle(cost, np.full(n, 1 / n), nu, softness, link)
        out[row] = n * plan.T
    return out


# Isotonic regression


def permutahedron_oracle(
    z, w, softness, link: Link, at_zero: float, where=None
) -> np.ndarray:
    """Projection of z / softness onto the permutations of w, along the last axis.

    Row by row: from the largest score on, each entry is pooled with the block before it
    as long as their values do not descend. The value v of a block B is found by Brent's
    method in

    - `sum_B phi(s_i - v) = sum_B w_i`, phi the link as a function that is odd about
        r'(0) = `at_zero` where that is finite; y = phi(s - v);
    - `sum_B phi(s_i - v) = sum_B phi(w_i)` where it is not; y = s - v.
    """
    z, w = np.asarray(z, np.float64), np.asarray(w, np.float64)
    softness = np.broadcast_to(np.asarray(softness, np.float64), (*z.shape[:-1], 1))
    where = np.broadcast_to(True if where is None else where, z.shape)
    out = np.zeros_like(z)
    for row in np.ndindex(z.shape[:-1]):
        (inside,) = np.nonzero(where[row])
        if inside.size == 0:
            continue
        order = inside[np.argsort(-z[row][inside], kind="stable")]
        scores = z[row][order] / softness[row]
        targets = -np.sort(-w[row][inside])
        out[row][order] = _pool(scores, targets, link, at_zero)
    return out


def _pool(s, w, link: Link, at_zero: float) -> np.ndarray:
    """The projection of descending scores onto the permutations of descending w."""

    def extended(u):
        return np.where(u < at_zero, -link(2 * at_zero - u), link(u))

    odd = np.isfinite(at_zero)

    def place(start, end):
        """`s_start - v` for the value v of a block."""
        scores, targets = s[start:end] - s[start], w[start:end]
        if link is exp_link:
            logsumexp = scipy.special.logsumexp
            return logsumexp(targets) - logsumexp(scores)
        if odd:
            return _find(lambda c: np.sum(extended(scores + c)) - targets.sum())
        if end == start + 1:
            return targets[0]
        return _find(lambda c: np.sum(link(scores + c)) - link(targets).sum())

    blocks: list[tuple[int, float]] = []  # where it starts, and its place
    for i in range(len(s)):
        start, here = i, place(i, i + 1)
        while blocks and s[start] - here >= s[blocks[-1][0]] - blocks[-1][1]:
            start, _ = blocks.pop()
            here = place(start, i + 1)
        blocks.append((start, here))
    ends = [start for start, _ in blocks[1:]] + [len(s)]
    u = np.zeros_like(s)
    for (start, here), end in zip(blocks, ends, strict=True):
        u[start:end] = s[start:end] - s[start] + here
    return extended(u) if odd else u


def _find(excess: Callable[[float], float]) -> float:
    """The root of an increasing function."""
    low, high = -1.0, 1.0
    while excess(low) > 0:
        low *= 2
    while excess(high) < 0:
        high *= 2
    return scipy.optimize.brentq(excess, low, high, xtol=1e-15, rtol=1e-15)


# Soft permutation matrices, dense and ascending: row i is for the i-th smallest


def softsort_oracle(x, softness, link: Link, queries=None) -> np.ndarray:
    """Projections of `-|q_i - x_j| / softness`, q the sorted x unless given."""
    x = np.asarray(x, np.float64)
    queries = (
        np.sort(x, axis=-1) if queries is None else np.asarray(queries, np.float64)
    )
    z = -np.abs(queries[..., :, None] - x[..., None, :])
    return simplex_oracle(z, np.asarray(softness)[..., None], link)


def neuralsort_oracle(x, softness, link: Link, positions=None) -> np.ndarray:
    """Projections of `((2i - n - 1) x_j - sum_l |x_j - x_l|) / softness`, i = 1..n."""
    x = np.asarray(x, np.float64)
    n = x.shape[-1]
    positions = np.arange(1, n + 1) if positions is None else np.asarray(positions)
    deviations = np.abs(x[..., :, None] - x[..., None, :]).sum(-1)
    z = (2 * positions - n - 1)[:, None] * x[..., None, :] - deviations[..., None, :]
    return simplex_oracle(z, np.asarray(softness)[..., None], link)


def softsort_rank_oracle(x, softness, link: Link) -> np.ndarray:
    """`sum_j y_ij j`, rows y_i for x_i over the ascending anchors."""
    x = np.asarray(x, np.float64)
    rows = softsort_oracle(np.sort(x, axis=-1), softness, link, queries=x)
    return rows @ np.arange(1.0, x.shape[-1] + 1)


def neuralsort_rank_oracle(x, softness, link: Link) -> np.ndarray:
    """`sum_i P_ij i / sum_i P_ij`, P the soft permutation matrix."""
    rows = neuralsort_oracle(x, softness, link)
    positions = np.arange(1.0, rows.shape[-1] + 1)[:, None]
    return (rows * positions).sum(-2) / rows.sum(-2)


# Sorting networks: row i is for the i-th largest


def bitonic(start: int, n: int, descending: bool = True):
    """Pairs of places, (of the larger, of the smaller), that sort n, a power of two."""
    if n == 1:
        return
    half = n // 2
    yield from bitonic(start, half, True)
    yield from bitonic(start + half, half, False)
    yield from _merge(start, n, descending)


def _merge(start: int, n: int, descending: bool):
    half = n // 2
    for i in range(start, start + half):
        yield (i, i + half) if descending else (i + half, i)
    if half > 1:
        yield from _merge(start, half, descending)
        yield from _merge(start + half, half, descending)


def odd_even(n: int):
    """The same for any n, of neighbours."""
    for first in range(n):
        for i in range(first % 2, n - 1, 2):
            yield i, i + 1


def sorting_network_oracle(x, softness, case, network="bitonic", where=None):
    """Soft permutation matrices `*batch n n`, one soft exchange after the other.

    `case` gives the link of a regularizer, and the ends of its transition. What is not
    there counts for nothing: the others come first, as if they were all.
    """
    x = np.asarray(x, np.float64)
    n = x.shape[-1]
    out = np.zeros((*x.shape, n))
    if where is not None:
        for row in np.ndindex(x.shape[:-1]):
            (place,) = np.nonzero(where[row])
            if place.size:
                inner = sorting_network_oracle(x[row][place], softness, case, network)
                out[row][: place.size, place] = inner
        return out
    size = 1
    while size < n:
        size *= 2
    pairs = list(bitonic(0, size) if network == "bitonic" else odd_even(n))
    size = size if network == "bitonic" else n
    for row in np.ndindex(x.shape[:-1]):
        matrix = np.eye(size, n)
        there = np.arange(size) < n
        for up, down in pairs:
            if there[up] and there[down]:
                difference = (matrix[up] - matrix[down]) @ x[row]
                p = heaviside_oracle(difference, softness, case.link, *case.ends)
            else:
                p = float(there[up] or not there[down])
            matrix[[up, down]] = np.array([[p, 1 - p], [1 - p, p]]) @ matrix[[up, down]]
            there[[up, down]] = there[[up, down]][:: 1 if p else -1]
        out[row] = matrix[:n]
    return out


# Sums over all subsets, one by one


def _subsets(x, k: int) -> tuple[np.ndarray, np.ndarray]:
    """All subsets of k entries, as rows of a mask, and the sums of x over them."""
    chosen = np.array(list(itertools.combinations(range(len(x)), k)), int)
    mask = np.zeros((len(chosen), len(x)), bool)
    mask[np.arange(len(chosen))[:, None], chosen] = True
    return mask, np.sum(np.where(mask, x, 0), axis=-1)


def subset_sums_oracle(x) -> np.ndarray:
    """The logarithms of the sums of `exp(sum_S x)` over all S of k = 1, ..., n."""
    sums = (_subsets(x, k)[1] for k in range(1, len(x) + 1))
    return np.array([scipy.special.logsumexp(s) for s in sums])


def inclusion_oracle(x) -> np.ndarray:
    """Rows k = 1, ..., n: how probable it is that an entry is one of k drawn ones."""
    rows = []
    for k in range(1, len(x) + 1):
        mask, sums = _subsets(x, k)
        rows.append(scipy.special.softmax(sums) @ mask)
    return np.array(rows)


def majorization_oracle(z, w, softness) -> np.ndarray:
    """Newton's method with backtracking on the primal, in the partial sums of y."""
    z, w = np.asarray(z, np.float64), np.asarray(w, np.float64)
    m = len(w) - 1
    bounds = softness * subset_sums_oracle(w / softness)
    total, bounds = np.sum(w), bounds[:m]
    bend = 2 * np.eye(m) - np.eye(m, k=1) - np.eye(m, k=-1)
    end = np.zeros(m)
    end[m - 1 :] = total

    def slacks(sums):
        return bounds - sums, bend @ sums - end

    def objective(sums):
        s, d = slacks(sums)
        if min(np.min(s, initial=1), np.min(d, initial=1)) <= 0:
            return np.inf
        penalty = sum(np.sum(t * np.log(t) - t) for t in (s, d))
        return softness * penalty - (z[:-1] - z[1:]) @ sums

    # Half way from equal entries to where the bounds are tight.
    sums = (bounds + total * np.arange(1, m + 1) / (m + 1)) / 2
    for _ in range(500):
        s, d = slacks(sums)
        force = (z[:-1] - z[1:]) / softness + np.log(s) - bend @ np.log(d)
        step = np.linalg.solve(np.diag(1 / s) + bend @ np.diag(1 / d) @ bend, force)
        if np.max(np.abs(step), initial=0) <= 1e-13 * np.max(np.abs(w)):
            break
        share = 1.0
        # Where less is to be gained than rounding shows, the full step is taken.
        goal = objective(sums) + 1e-11 * np.max(np.abs(bounds), initial=softness)
        while objective(sums + share * step) > goal and share > 1e-12:
            share /= 2
        sums = sums + share * step
    return np.diff(np.concatenate([[0], sums, [total]]))


# Derivatives


def finite_difference(fn, args: tuple, tangents: tuple, step: float = 1e-4):
    """The derivative of `fn(*args)` along `tangents`, to fourth order in the step.

    Central differences with one step of Richardson extrapolation. `fn` must compute in
    float64 and be smooth within the step; it may return a pytree of arrays.
    """

    def at(h):
        moved = [
            np.asarray(a, np.float64) + h * np.asarray(t)
            for a, t in zip(args, tangents, strict=True)
        ]
        return fn(*moved)

    def central(h):
        difference = jax.tree.map(
            lambda a, b: np.asarray(a, np.float64) - np.asarray(b, np.float64),
            at(h),
            at(-h),
        )
        return jax.tree.map(lambda d: d / (2 * h), difference)

    return jax.tree.map(
        lambda fine, coarse: (4 * fine - coarse) / 3, central(step / 2), central(step)
    )
