"""Turn values in [0, 1] gradually into a one-hot vector, with gradients all the way.

A question from a forum: a softmax of p x goes to a one-hot vector as p grows, but it
starts from equal shares. What starts from the values themselves? The answer given there
is a power map, `1 - (1 - x)^p` for the largest value and `x^p` for the others: the
values themselves at p = 1, and a one-hot vector in the limit. It treats the largest
apart, and what it yields sums to anything.

A top-k mask has both ends too, without a special case. With r'(x) as scores, softness 1
and k = sum x, it is x itself, since the threshold is 0 then. With softness going to 0
and k going to 1 it becomes the one-hot vector of the largest. On the way, it sums to k.
So a schedule for one number s from 1 to 0 anneals it:

    y(s) = top_k_mask(r'(x), k=1 + s (sum x - 1), softness=s)

This prints values and gradients of both on the way, and draws the curves. Equal largest
values both go to 1 by the power map, and share the 1 by the mask.

Run with `python examples/annealing.py`.
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from tqdm import tqdm

import softjax as sj
from softjax.solvers import BinaryEntropy, PNorm, Regularizer

VALUES = jnp.asarray([0.05, 0.25, 0.50, 0.75, 0.95])
STEPS = 100
LAST = 0.02

# From 1 to `LAST`, by a constant factor each step.
SCHEDULE = optax.exponential_decay(1.0, STEPS, LAST)


def power_map(x: jax.Array, s: jax.Array) -> jax.Array:
    """The answer of the forum, with p = 1 / s."""
    return jnp.where(x == jnp.max(x), 1 - (1 - x) ** (1 / s), x ** (1 / s))


def anneal(x: jax.Array, s: jax.Array, mode: Regularizer) -> jax.Array:
    """x for s = 1, and nearly one-hot for a small s."""
    k = 1 + s * (jnp.sum(x) - 1)
    return sj.top_k_mask(
        mode.gradient(x), k, softness=s, mode=mode, method="hypersimplex"
    )


PATHS = {
    "power map": power_map,
    "top-k mask, c0": lambda x, s: anneal(x, s, PNorm(2)),
    "top-k mask, binary entropy": lambda x, s: anneal(x, s, BinaryEntropy()),
}


def follow(path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The schedule, the curves, and how the largest entry moves with each value."""
    step = jax.jit(lambda s: (path(VALUES, s), jax.jacobian(path)(VALUES, s)[-1]))
    scales = np.array([SCHEDULE(i) for i in range(STEPS + 1)])
    steps = [step(s) for s in tqdm(scales, leave=False)]
    curves, gradients = (np.stack(part) for part in zip(*steps, strict=True))
    return scales, curves, gradients


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=Path("annealing.png"))
    args = parser.parse_args()
    figure, axes = plt.subplots(
        2, len(PATHS), figsize=(11, 6), sharex=True, sharey="row", layout="constrained"
    )
    print(f"Values {np.asarray(VALUES)}, annealed from s = 1 to s = {LAST}:")
    for (name, path), column in zip(PATHS.items(), axes.T, strict=True):
        scales, curves, gradients = follow(path)
        print(f"\n{name}\n   s    {'y':<35} sum   gradient of the largest entry")
        for i in range(0, STEPS + 1, STEPS // 4):
            y = " ".join(f"{v:6.3f}" for v in curves[i])
            gradient = " ".join(f"{v:7.3f}" for v in gradients[i])
            print(f"{scales[i]:5.3f} {y} {curves[i].sum():6.3f}   {gradient}")
        column[0].set_title(name)
        column[0].plot(scales, curves)
        column[0].plot(np.ones(len(VALUES)), VALUES, "k.")
        column[1].plot(scales, gradients)
        column[1].set_xlabel("s")
        column[1].set_xscale("log")
        column[1].invert_xaxis()
    axes[0, 0].set_ylabel("y")
    axes[1, 0].set_ylabel("derivatives of the largest y")
    figure.savefig(args.output, dpi=120)
    print(f"\nSaved {args.output}")


if __name__ == "__main__":
    main()
