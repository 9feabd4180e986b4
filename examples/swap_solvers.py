"""Choose ten pixels to read digits by, with one solver after the other.

The data are 1797 handwritten digits of 8 x 8 pixels. Each pixel has a score; those of
the ten highest scores are all that a linear classifier is to see. `sj.top_k` makes this
choice soft, so that scores and classifier are learned together by gradient descent. In
the end the choice is made hard, a classifier is fitted to these ten pixels, and is
judged by digits it has never seen.

With `method="ot"`, the choice is an optimal transport plan, and many algorithms can
find it. They are swapped by one keyword, `solver`, and come from here or elsewhere:
Sinkhorn's from OTT-JAX, L-BFGS from Optimistix or JAXopt. The gradient is that of the
plan, not of the algorithm, so they differ in time and not in what is learned.

Run with `python examples/swap_solvers.py`.
"""

import functools
import time

import jax
import jax.numpy as jnp
import jaxopt
import numpy as np
import optax
import optimistix as optx
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from tqdm import tqdm

import softjax as sj

PIXELS = 10
SOFTNESS = 0.1
STEPS = 50

SOLVERS = {
    "None, the default": None,
    '"alternating"': "alternating",
    '"sinkhorn"': "sinkhorn",
    "optx.LBFGS": optx.LBFGS(rtol=1e-4, atol=1e-4),
    "jaxopt.LBFGS": jaxopt.LBFGS,
}


def load_data():
    """Images and digits for training and testing."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)
    train, test = np.split(np.random.default_rng(0).permutation(len(y)), [1200])
    return x[train], y[train], x[test], y[test]


def choose(scores, **keywords):
    """The part of each pixel that is among the best: in [0, 1], of sum `PIXELS`."""
    _, index = sj.top_k(jax.nn.sigmoid(scores), PIXELS, **keywords)
    assert index is not None  # as it is with methods that have values only
    return jnp.sum(index, axis=0)


def loss(parameters, x, y, solver):
    scores, weights, bias = parameters
    mask = choose(scores, method="ot", softness=SOFTNESS, solver=solver)
    logits = (x * mask) @ weights + bias
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))


def start(pixels, classes):
    """Scores, weights and bias to begin with."""
    first, second = jax.random.split(jax.random.key(0))
    scores = 0.1 * jax.random.normal(first, (pixels,))
    weights = 0.1 * jax.random.normal(second, (pixels, classes))
    return scores, weights, jnp.zeros(classes)


@functools.partial(jax.jit, static_argnames="solver")
def look_inside(scores, solver):
    """Steps and residual: the problem that `choose` poses, solved by itself."""
    masses = jnp.array([1] * PIXELS + [len(scores) - PIXELS])
    problem = sj.solvers.TransportProjection.on_line(
        -jax.nn.sigmoid(scores), jnp.linspace(0, 1, PIXELS + 1), masses, SOFTNESS
    )
    solution = sj.solvers.solve(problem, "smooth", solver)
    return solution.steps, solution.residual


def learn(name, solver, x, y):
    """Train; return the scores, the first gradient in them, and the time of a step."""
    optimizer = optax.adam(0.2)

    @jax.jit
    def step(parameters, state):
        gradient = jax.grad(loss)(parameters, x, y, solver)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(parameters, updates), state, gradient[0]

    parameters = start(x.shape[1], 10)
    state = optimizer.init(parameters)
    *_, gradient = jax.block_until_ready(step(parameters, state))  # compiles
    times = []
    for _ in tqdm(range(STEPS), desc=f"{name:<18}", leave=False):
        begin = time.perf_counter()
        parameters, state, _ = jax.block_until_ready(step(parameters, state))
        times.append(time.perf_counter() - begin)
    return parameters[0], gradient, np.median(times)


def main():
    x, y, x_test, y_test = load_data()

    def accuracy(scores):
        """Percent of new digits that a classifier gets right by the best pixels."""
        chosen = np.flatnonzero(choose(scores, mode="hard"))
        classifier = LogisticRegression(max_iter=2000).fit(x[:, chosen], y)
        return 100 * classifier.score(x_test[:, chosen], y_test)

    first_scores, *_ = start(x.shape[1], 10)
    print(f"Digits read from {PIXELS} of {x.shape[1]} pixels:")
    print(f"  {accuracy(first_scores):.1f} % with those of random scores")
    print(f"  {accuracy(x.std(axis=0)):.1f} % with those that vary most")
    print("and with those chosen by learned scores:\n")
    print(
        f"{'solver':<18} {'steps':>6} {'residual':>9} {'training step':>14} "
        f"{'accuracy':>9} {'gradient off by':>16}"
    )
    reference = None
    for name, solver in SOLVERS.items():
        steps, residual = look_inside(first_scores, solver)
        scores, gradient, seconds = learn(name, solver, x, y)
        reference = gradient if reference is None else reference
        off = jnp.max(jnp.abs(gradient - reference)) / jnp.max(jnp.abs(reference))
        print(
            f"{name:<18} {steps:6} {residual:9.0e} {1e3 * seconds:11.1f} ms "
            f"{accuracy(scores):7.1f} % {off:16.0e}"
        )


if __name__ == "__main__":
    main()
