"""Softened programs: values, gradients, and how far those can be trusted.

Prints a table of the programs of the tests, `tests/soften_programs.py`, and of
functions that others wrote, as far as their libraries are installed (Optax, Rax, RLax,
Distrax; none of them is needed). For each: the largest error of the value at a
thousandth of the softness; the norm of the hard gradient and of the soft one; and the
cosine of each to the gradient of the program smoothed by noise, `E f(x + sigma Z)` with
sigma the standard deviation of the logistic distribution of that softness, estimated
from `--samples` points. The last column says how large the error of that estimate is,
as the cosine of two halves of the samples. A dash stands for a gradient that is zero.

With `--learn`, it learns the thresholds of a decision tree instead.
"""

import argparse
import importlib
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import softjax as sj

sys.path.append(str(Path(__file__).parents[1] / "tests"))
_programs = importlib.import_module("soften_programs")
PROGRAMS, Program, total = _programs.PROGRAMS, _programs.Program, _programs.total

LOGISTIC = np.pi / np.sqrt(3)


def libraries() -> Iterator[tuple[str, Any]]:
    """Functions of libraries, unchanged, at points where they have kinks or jumps."""
    scores = np.array([0.4, 0.95, 0.1, 0.75, 0.5])
    labels = jnp.array([1.0, 0.0, 2.0, 1.0, 0.0])
    if optax := _library("optax"):
        targets = jnp.sign(labels - 0.5)
        yield "optax.hinge", Program(lambda x: optax.hinge_loss(x, targets), scores)
        yield "optax.huber", Program(lambda x: optax.huber_loss(x, labels), scores)
        yield (
            "optax.clip",
            Program(lambda x: optax.clip(0.5).update(x, optax.EmptyState())[0], scores),
        )
        logits = np.sin(3.0 * np.arange(12.0)).reshape(1, 4, 3)
        yield (
            "optax.ctc",
            Program(
                lambda x: optax.ctc_loss(
                    x, jnp.zeros((1, 4)), jnp.array([[1, 2]]), jnp.zeros((1, 2))
                ),
                logits,
            ),
        )
    if rax := _library("rax"):
        for name in ("ndcg", "mrr", "precision", "ap"):
            metric = getattr(rax, f"{name}_metric")
            relevance = labels if name == "ndcg" else jnp.minimum(labels, 1)
            yield (
                f"rax.{name}",
                Program(lambda x, m=metric, r=relevance: m(x, r, topn=2), scores),
            )
    if rlax := _library("rlax"):
        advantages = jnp.array([1.0, -0.5, 2.0, -1.0, 0.3])
        yield (
            "rlax.clipped_surrogate",
            Program(
                lambda x: rlax.clipped_surrogate_pg_loss(x, advantages, 0.2),
                0.5 + scores,
            ),
        )
        yield (
            "rlax.q_learning",
            Program(lambda q: rlax.q_learning(q, 1, 0.5, 0.9, q[::-1]), scores),
        )
        yield (
            "rlax.categorical_l2_project",
            Program(
                lambda z: rlax.categorical_l2_project(
                    z, jnp.full(5, 0.2), jnp.linspace(0.0, 1.0, 4)
                ),
                scores,
            ),
        )
        yield (
            "rlax.epsilon_greedy",
            Program(lambda q: rlax.epsilon_greedy(0.1).probs(q), scores),
        )
    if distrax := _library("distrax"):
        parameters = jnp.sin(jnp.arange(10.0))

        def spline(x):
            bijector = distrax.RationalQuadraticSpline(parameters, 0.0, 1.0)
            return bijector.forward(x)

        yield "distrax.spline", Program(spline, scores)
        yield "distrax.greedy", Program(lambda x: distrax.Greedy(x).probs, scores)


def _library(name: str):
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"{name} is not installed", file=sys.stderr)
        return None


def smoothed_gradients(fn: Callable, x: jax.Array, sigma: float, samples: int):
    """Two estimates of the gradient of `E fn(x + sigma Z)`, by pairs of opposites."""

    @jax.jit
    def estimate(key):
        z = jax.random.normal(key, (samples // 4, *x.shape))
        ahead, behind = (
            jax.lax.map(fn, x + s * sigma * z, batch_size=1024) for s in (1, -1)
        )
        shape = (-1, *(1,) * x.ndim)
        return jnp.mean((ahead - behind).reshape(shape) * z, axis=0) / (2 * sigma)

    return [np.asarray(estimate(key)) for key in jax.random.split(jax.random.key(0))]


def cosine(a, b) -> float:
    norm = np.linalg.norm(a) * np.linalg.norm(b)
    return float(np.sum(a * b) / norm) if norm > 0 else np.nan


def row(name: str, program: Any, samples: int) -> tuple:
    x = jnp.asarray(program.x, jnp.float32)
    fn, softness = total(program.fn), program.softness
    grad = jax.jacfwd if program.forward_only else jax.grad

    def soft(s):
        return sj.soften(fn, s, on_unsupported="ignore")

    def both(x):
        values = fn(x), soft(softness / 1000)(x)
        return *values, grad(fn)(x), grad(soft(softness))(x)

    hard, small, before, after = jax.jit(both)(x)
    halves = smoothed_gradients(fn, x, LOGISTIC * softness, samples)
    truth = (halves[0] + halves[1]) / 2
    left = len(sj.soften.report(program.fn)(x).hard)
    cosines = (cosine(g, truth) for g in (before, after))
    norms = (float(np.linalg.norm(g)) for g in (before, after))
    return name, abs(float(hard - small)), *norms, *cosines, cosine(*halves), left


def learn(steps: int = 300) -> None:
    """Thresholds of a decision tree, from the outputs of one with other thresholds."""
    points = jax.random.uniform(jax.random.key(0), (400, 2), minval=-1.0)
    leaves = jnp.array([0.0, 1.0, 0.5, 2.0])

    def tree(thresholds, points):
        def predict(x):
            node = jnp.where(x[0] > thresholds[0], 2, 1)
            right = x[1] > thresholds[node]
            return leaves[2 * (node - 1) + right]

        return jax.vmap(predict)(points)

    wanted = tree(jnp.array([0.2, -0.4, 0.5]), points)

    def loss(thresholds, softness):
        soft = sj.soften(tree, softness)(thresholds, points)
        return jnp.mean((soft - wanted) ** 2)

    step = jax.jit(lambda t, s: t - 0.2 * jax.grad(loss)(t, s))
    thresholds = jnp.array([-0.5, 0.3, -0.2])
    print("error of the hard tree before:", _error(tree, thresholds, points, wanted))
    for i in range(steps):
        thresholds = step(thresholds, 0.1 * 0.99**i)
    print("after:", _error(tree, thresholds, points, wanted), "thresholds", thresholds)


def _error(tree, thresholds, points, wanted) -> float:
    return round(float(jnp.mean((tree(thresholds, points) - wanted) ** 2)), 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--samples", type=int, default=200_000)
    parser.add_argument("--only", nargs="+", help="parts of names")
    parser.add_argument("--learn", action="store_true")
    args = parser.parse_args()
    if args.learn:
        learn()
        return
    columns = ("error", "|hard|", "|soft|", "cos hard", "cos soft", "of halves", "left")
    print(f"{'program':<28}" + "".join(f"{c:>10}" for c in columns))
    for name, program in [*PROGRAMS.items(), *libraries()]:
        if args.only and not any(part in name for part in args.only):
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _, error, *numbers, left = row(name, program, args.samples)
        cells = "".join(
            f"{'-' if np.isnan(n) else format(n, '.3f'):>10}" for n in numbers
        )
        print(f"{name:<28}{error:>10.1e}{cells}{left:>10}", flush=True)


if __name__ == "__main__":
    main()
