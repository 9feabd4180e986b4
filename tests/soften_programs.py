"""Realistic hard programs, written as a user would, for `softjax.soften`.

Each is a function of floats only; what else it needs is made with it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


class Program(NamedTuple):
    """A hard function of an array, and where it is looked at.

    `flat`: its gradient is zero. `softness` suits its numbers. `forward_only`: JAX has
    no reverse mode for it.
    """

    fn: Callable
    x: np.ndarray
    flat: bool = True
    softness: float = 0.1
    tolerance: float = 2e-3
    forward_only: bool = False


RNG = np.random.default_rng(0)
POINTS = RNG.normal(size=(12, 2))
LABELS = (POINTS[:, 0] > 0.2).astype(int)


def decision_tree(thresholds):
    """Nodes in an array; a sample walks down by integer arithmetic."""
    features = jnp.array([0, 1, 0])
    leaves = jnp.array([0.0, 1.0, 0.5, 2.0])

    def predict(x):
        def walk(_, node):
            return 2 * node + 1 + (x[features[node]] > thresholds[node])

        return leaves[lax.fori_loop(0, 2, walk, 0) - 3]

    return jnp.mean(jax.vmap(predict)(POINTS))


def k_means_step(centers):
    distances = jnp.sum((POINTS[:, None] - centers) ** 2, axis=-1)
    members = jax.nn.one_hot(jnp.argmin(distances, axis=1), len(centers))
    sums = members.T @ POINTS
    return sums / jnp.maximum(members.sum(axis=0), 1)[:, None]


def ray_box(origin):
    direction = jnp.array([1.0, 0.5, 0.25])
    near, far = (b - origin for b in (-jnp.ones(3), jnp.ones(3)))
    t0, t1 = near / direction, far / direction
    enter = jnp.max(jnp.minimum(t0, t1))
    leave = jnp.min(jnp.maximum(t0, t1))
    return (enter <= leave) & (leave > 0)


def quantizer(x):
    levels = jnp.array([-1.0, -0.25, 0.3, 1.1])
    nearest = jnp.argmin(jnp.abs(x[:, None] - levels), axis=1)
    return levels[nearest]


def beam_search_step(logits):
    scores = jax.nn.log_softmax(logits, axis=-1) + jnp.array([[0.0], [-0.4], [-0.9]])
    best, where = lax.top_k(scores.ravel(), 2)
    parent, token = jnp.divmod(where, logits.shape[1])
    embedding = jnp.linspace(-1.0, 1.0, logits.shape[1])
    return best, parent.astype(float), embedding[token]


def pid_with_saturation(gains):
    def step(state, target):
        position, integral, last = state
        error = target - position
        drive = gains[0] * error + gains[1] * integral + gains[2] * (error - last)
        applied = jnp.clip(drive, -0.5, 0.5)
        integral = jnp.where(drive == applied, integral + 0.1 * error, integral)
        return (position + 0.3 * applied, integral, error), position

    start = (jnp.array(0.0), jnp.array(0.0), jnp.array(0.0))
    return lax.scan(step, start, jnp.ones(8))[1]


def rank_correlation(x):
    other = jnp.array([0.3, 1.4, -0.2, 0.9, 0.1])

    def ranks(v):
        return jnp.argsort(jnp.argsort(v)).astype(float)

    a, b = ranks(x) - 2, ranks(other) - 2
    return jnp.sum(a * b) / jnp.sqrt(jnp.sum(a**2) * jnp.sum(b**2))


def bouncing_ball(x):
    def bounce(state):
        return jnp.array([-state[0], -0.7 * state[1]])

    def step(state, _):
        state = state + 0.1 * jnp.array([state[1], -3.0])
        state = lax.cond(state[0] < 0, bounce, lambda state: state, state)
        return state, state[0]

    return lax.scan(step, x, None, length=7)[1]


def thresholded_loss(w):
    score = POINTS @ w
    return jnp.mean((score > 0).astype(int) != LABELS)


def histogram_features(x):
    counts, _ = jnp.histogram(x, bins=5, range=(-1.5, 1.5))
    return counts / len(x)


def median_filter(x):
    windows = jnp.stack([jnp.roll(x, shift) for shift in (-1, 0, 1)])
    return jnp.median(windows, axis=0)


def non_maximum_suppression(x):
    pooled = lax.reduce_window(x, -jnp.inf, lax.max, (3,), (1,), "SAME")
    return jnp.where((x == pooled) & (x > 0.3), 1.0, 0.0)


def nearest_neighbour(x):
    distances = jnp.linalg.norm(POINTS - x, axis=1)
    _, nearest = lax.top_k(-distances, 3)
    return jnp.mean(jnp.take(jnp.asarray(LABELS), nearest))


def spline_lookup(x):
    knots = jnp.array([0.0, 0.2, 0.5, 0.9, 1.0])
    slopes = jnp.array([1.0, -1.0, 0.5, 2.0])
    bin = jnp.clip(jnp.searchsorted(knots, x, side="right") - 1, 0, 3)
    return slopes[bin]


def viterbi(emissions):
    transitions = jnp.array([[0.0, -1.0, -2.0], [-0.7, 0.0, -0.7], [-2.0, -1.0, 0.0]])

    def forward(score, emission):
        candidates = score[:, None] + transitions
        best = jnp.max(candidates, axis=0) + emission
        return best, jnp.argmax(candidates, axis=0)

    score, back = lax.scan(forward, emissions[0], emissions[1:])

    def backward(state, pointers):
        return pointers[state], state

    last = jnp.argmax(score)
    first, path = lax.scan(backward, last, back, reverse=True)
    values = jnp.array([0.0, 1.0, 5.0])
    return values[jnp.concatenate([first[None], path])]


def early_exit(x):
    """A loop with a known number of steps at most, which stops counting earlier."""

    def go_on(state):
        return state[0] < 6

    def step(state):
        i, value, done = state
        done = done | (value > 1.0)
        return i + 1, jnp.where(done, value, value * 1.3 + x[1]), done

    return lax.while_loop(go_on, step, (0, x[0], jnp.array(False)))[1]


def hysteresis(x):
    def step(on, value):
        on = jnp.where(on, value > -0.3, value > 0.3)
        return on, on

    return lax.scan(step, jnp.array(False), x)[1]


def game_of_life(x):
    alive = (x > 0.5).astype(int)
    around = [
        jnp.roll(alive, (i, j), (0, 1))
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if (i, j) != (0, 0)
    ]
    neighbours = sum(around)
    return (neighbours == 3) | ((alive == 1) & (neighbours == 2))


def max_pool_network(kernel):
    image = jnp.asarray(RNG_IMAGE)[None, None]
    features = lax.conv(image, kernel[None, None], (1, 1), "SAME")
    features = jax.nn.relu(features)
    window = (1, 1, 2, 2)
    pooled = lax.reduce_window(features, -jnp.inf, lax.max, window, window, "VALID")
    return pooled[0, 0]


RNG_IMAGE = RNG.normal(size=(4, 4))


def relu_network(w):
    hidden = jax.nn.relu(POINTS @ w.reshape(2, 3))
    return jax.nn.relu(hidden @ jnp.array([1.0, -1.0, 0.5]))


def clipped_policy_objective(ratios):
    advantage = jnp.array([1.0, -0.5, 2.0, -1.0])
    clipped = jnp.clip(ratios, 0.8, 1.2)
    return jnp.minimum(ratios * advantage, clipped * advantage)


def robust_losses(x):
    huber = jnp.where(jnp.abs(x) <= 1.0, 0.5 * x**2, jnp.abs(x) - 0.5)
    return huber + jnp.maximum(0.0, 1.0 - x)


def dead_zone(x):
    return jnp.sign(x) * jnp.maximum(jnp.abs(x) - 0.4, 0.0) + (jnp.abs(x) > 0.4)


def argmax_policy(w):
    rewards = jnp.array([[1.0, 0.0, -1.0], [0.2, 0.5, 0.9]])
    states = jnp.array([[1.0, 0.5], [-0.3, 1.0]])
    actions = jnp.argmax(states @ w.reshape(2, 3), axis=1)
    return rewards[jnp.arange(2), actions].sum()


def top_k_accuracy(x):
    logits = x.reshape(4, 5)
    labels = jnp.array([0, 3, 1, 4])
    _, best = lax.top_k(logits, 2)
    return jnp.mean(jnp.any(best == labels[:, None], axis=1))


def max_drawdown(returns):
    wealth = jnp.cumsum(returns)
    peak = lax.cummax(wealth)
    return jnp.max(peak - wealth)


def tax(income):
    brackets = jnp.array([0.0, 1.0, 2.5, 4.0])
    rates = jnp.array([0.1, 0.2, 0.3, 0.4])
    place = jnp.searchsorted(brackets, income) - 1
    base = jnp.cumsum(jnp.append(0.0, jnp.diff(brackets) * rates[:-1]))
    owed = base[place] + (income - brackets[place]) * rates[place]
    return owed + jnp.where(income > 3.0, 0.5, 0.0)


def sign_gradient_step(x):
    return x - 0.1 * jnp.sign(jax.grad(lambda x: jnp.sum(x**4 - x**2))(x))


def straight_through_rounding(x):
    return x + lax.stop_gradient(jnp.round(x) - x)


def fixed_point(x):
    return jnp.round(x * 4) / 4 + jnp.floor(x) + (x // 0.5)


def interval_product(x):
    a, b = x[:2], x[2:]
    products = jnp.outer(jnp.sort(a), jnp.sort(b))
    return jnp.min(products), jnp.max(products)


def otsu(x):
    """The threshold that separates two classes best, among candidates."""
    candidates = jnp.array([-0.65, 0.05, 0.5])
    below = x[None, :] < candidates[:, None]
    share = jnp.mean(below, axis=1)

    def mean(mask):
        return jnp.sum(jnp.where(mask, x, 0.0), axis=1) / (jnp.sum(mask, axis=1) + 1e-3)

    between = share * (1 - share) * (mean(below) - mean(~below)) ** 2
    return candidates[jnp.argmax(between)]


def sampled_token(logits):
    """Temperature, a mask of the two best, and the Gumbel-max trick."""
    noise = jnp.array([0.1, 0.9, -0.2, 0.3])
    kept = logits >= lax.top_k(logits, 2)[0][-1] - 1e-3
    masked = jnp.where(kept, logits / 0.7, -jnp.inf)
    return jax.nn.one_hot(jnp.argmax(masked + noise), 4)


def triage(x):
    """Nested rules: the first that applies decides."""
    fever, pressure, age = x

    def adult(_):
        return lax.cond(pressure < 0.5, lambda _: 2.0, lambda _: 1.0, None)

    def urgent(_):
        return lax.cond(age > 0.7, lambda _: 4.0, lambda _: 3.0, None)

    return lax.cond((fever > 0.8) & (pressure < 0.6), urgent, adult, None)


def first_crossing(x):
    times = jnp.linspace(0.0, 1.0, 6)
    crossed = x > 0.5
    return jnp.where(jnp.any(crossed), times[jnp.argmax(crossed)], 1.0)


def discounted_rank(x):
    """Powers of how many are larger, and of the place of the largest."""
    return x[0] ** jnp.argmax(x) + 0.5 ** jnp.sum(x > 0.45) + jnp.sum(x) ** 2


def branches_of_rows(x):
    """`jax.vmap` makes selections of conditions, also of operands of branches."""
    signed = jax.vmap(lambda v: lax.cond(v > 0, lambda v: 2 * v, lambda v: -v, v))
    parts = [jnp.square, jnp.exp, lambda row: row[::-1]]
    rows = jax.vmap(lambda row: lax.switch(jnp.argmax(row), parts, row))
    pieces = jnp.piecewise(x, [x < 0, x > 0.5], [jnp.negative, jnp.sin, jnp.tanh])
    return signed(x), rows(x.reshape(2, 3)), pieces


def _line(n, scale=1.0):
    return scale * np.random.default_rng(n).normal(size=n)


PROGRAMS = {
    "argmax_policy": Program(argmax_policy, 0.3 * _line(6)),
    "beam_search_step": Program(beam_search_step, _line(12).reshape(3, 4), False),
    "bouncing_ball": Program(bouncing_ball, np.array([0.3, 0.1]), False),
    "branches_of_rows": Program(branches_of_rows, _line(6), False),
    "clipped_policy_objective": Program(
        clipped_policy_objective, np.array([1.3, 1.25, 0.9, 0.75]), False
    ),
    "dead_zone": Program(dead_zone, np.array([-1.0, -0.3, 0.2, 0.6]), False),
    "decision_tree": Program(decision_tree, np.array([0.1, -0.3, 0.8])),
    "discounted_rank": Program(discounted_rank, np.array([0.31, 0.7, 0.53]), False),
    "early_exit": Program(early_exit, np.array([0.2, 0.11]), False, forward_only=True),
    "first_crossing": Program(first_crossing, np.linspace(-0.3, 1.15, 6)),
    "fixed_point": Program(fixed_point, np.array([-0.9, 0.31, 0.8, 2.2]), True, 0.02),
    "game_of_life": Program(game_of_life, 0.5 + _line(25, 0.4).reshape(5, 5)),
    "histogram_features": Program(histogram_features, _line(9)),
    "hysteresis": Program(hysteresis, np.array([0.1, 0.5, -0.1, -0.6, 0.2, 0.4])),
    "interval_product": Program(
        interval_product, np.array([0.5, -1.0, 2.0, 0.3]), False
    ),
    "k_means_step": Program(k_means_step, np.array([[-0.5, 0.0], [0.7, 0.3]])),
    "max_drawdown": Program(max_drawdown, _line(8), False),
    "max_pool_network": Program(max_pool_network, _line(9).reshape(3, 3), False),
    "median_filter": Program(median_filter, _line(7), False),
    "nearest_neighbour": Program(nearest_neighbour, np.array([0.15, -0.2])),
    "non_maximum_suppression": Program(
        non_maximum_suppression, np.array([0.0, 1.0, 0.4, -0.2, 0.35, 0.1])
    ),
    "otsu": Program(otsu, np.array([-1.1, -0.9, -0.45, -0.2, 0.3, 0.75, 0.8])),
    "pid_with_saturation": Program(
        pid_with_saturation, np.array([0.9, 0.4, 0.1]), False
    ),
    "quantizer": Program(quantizer, np.array([-0.7, 0.1, 0.62, 2.0])),
    "rank_correlation": Program(rank_correlation, np.array([0.2, 1.1, 0.5, 0.6, -0.4])),
    "ray_box": Program(ray_box, np.array([-2.0, -0.7, 0.6])),
    "relu_network": Program(relu_network, _line(6), False),
    "robust_losses": Program(robust_losses, np.array([-1.6, -0.2, 0.7, 1.4]), False),
    "sampled_token": Program(sampled_token, np.array([-0.3, 0.6, -0.4, 1.1])),
    "sign_gradient_step": Program(
        sign_gradient_step, np.array([0.2, -0.4, 1.0]), False
    ),
    "spline_lookup": Program(spline_lookup, np.array([0.1, 0.44, 0.7, 0.97])),
    "straight_through_rounding": Program(
        straight_through_rounding, np.array([0.2, 0.7, 1.4]), False
    ),
    "tax": Program(tax, np.array([0.5, 1.7, 2.8, 5.0]), False),
    "thresholded_loss": Program(thresholded_loss, np.array([0.9, -0.4])),
    "top_k_accuracy": Program(top_k_accuracy, _line(20)),
    "triage": Program(triage, np.array([0.9, 0.55, 0.5])),
    "viterbi": Program(viterbi, _line(12).reshape(4, 3)),
}


def total(fn: Callable) -> Callable[..., Any]:
    """The sum of all that a program returns, weighted: no entry cancels another."""

    def summed(x):
        leaves = jax.tree.leaves(fn(x))
        parts = [jnp.ravel(jnp.asarray(leaf)) for leaf in leaves]
        flat = jnp.concatenate([part.astype(float) for part in parts])
        return jnp.sum(flat * jnp.cos(jnp.arange(flat.size)))

    return summed
