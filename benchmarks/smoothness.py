"""Smoothness of projections and sorted values: measured, not cited.

Prints two tables. The first: how many times projections are continuously
differentiable with the p-norms of q = 2, ..., 6, along a path on which their support
changes: q - 2 times, by the theorem. An upper bound, which a mask has, is another
matter. The second: how many times soft sorted values, or ranks, are, by every method in
several modes, along a path on which the order stays the same, and along one on which
two elements meet. All is computed in float64, with automatic differentiation; a dash
means that the method does not take the mode, and 3+ that no derivative up to the third
jumps.

With `--figure`, it draws the derivatives of orders q - 2 and q - 1 of a projection onto
the simplex instead.
"""

import argparse
import os
from collections.abc import Callable
from pathlib import Path

# Programs of this script run once, so that optimizing them takes longer than it saves.
# JAX reads the variable when it is imported. Importers of this file measure times.
if __name__ == "__main__":
    os.environ.setdefault(
        "XLA_FLAGS",
        "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true",
    )

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from tqdm import tqdm

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
MODES = ("smooth", "c0", "c1", "c2", "cubic", "quintic", "pseudohuber")
ORDERS = 3


def simplex(mode, t):
    return solve(SimplexProjection(START + t * DIRECTION, 0.5), mode).value


def hypersimplex(mode, t):
    # The sum is so small that no entry reaches 1.
    return solve(HypersimplexProjection(START + t * DIRECTION, 0.9, 0.6), mode).value


def full_hypersimplex(mode, t):
    return solve(HypersimplexProjection(START + t * DIRECTION, 2, 0.5), mode).value


def mask(mode, t):
    return sj.top_k_mask(START + t * DIRECTION, 2, softness=0.25, mode=mode)


def transport(mode, t):
    cost = np.outer(START, [1.0, 0.3, -1.0, 0.4])
    cost = cost + t * np.outer(DIRECTION, [0.2, -1.0, 0.4, 0.1])
    plan = solve(TransportProjection(cost, np.ones(4), np.ones(4), 1.0), mode).value
    return plan[0]


PROJECTIONS = {
    "simplex": simplex,
    "hypersimplex": hypersimplex,
    "hypersimplex, where entries reach 1": full_hypersimplex,
    "mask, where entries reach 0 and 1": mask,
    "transport": transport,
}


def along(fn: Callable) -> Callable:
    """A weighted sum of the entries of `fn`, as an elementwise function of t."""
    return jax.vmap(lambda t: jnp.sum(WEIGHTS * fn(t)))


def projection_smoothness(name: str, q: int) -> float:
    """Smoothness of a projection on a path so long that entries become 0."""
    mode = PNorm(q / (q - 1))
    fn = along(lambda t: PROJECTIONS[name](mode, t))
    return measure_smoothness(fn, -1.03, 1.0, q)


def operator_smoothness(
    operator: Callable, mode: str, method: str, tie: bool, orders: int = ORDERS
) -> float:
    x = np.array([0.2, 0.2, 1.1, -0.9]) if tie else np.array([0.2, 0.5, 1.1, -0.9])
    v = np.array([1.0, -0.4, 0.3, 0.2])
    # With a tie, so short that hardly anything else happens on it; without, so long
    # that the first two nearly meet.
    lower, upper = (-0.0206, 0.02) if tie else (-0.6, 0.2)

    def fn(t):
        return operator(x + t * v, softness=0.3, mode=mode, method=method)

    return measure_smoothness(along(fn), lower, upper, orders)


def describe(smoothness: float, orders: int = ORDERS) -> str:
    if np.isinf(smoothness):
        return f"{orders}+"
    return "jumps" if smoothness < 0 else str(int(smoothness))


def print_projections() -> None:
    print("| projection | " + " | ".join(f"q = {q}" for q in range(2, 7)) + " |")
    print("| --- |" + " --- |" * 5)
    for name in PROJECTIONS:
        row = [projection_smoothness(name, q) for q in range(2, 7)]
        print(f"| {name} | " + " | ".join(map(describe, row)) + " |", flush=True)


def print_operators(operator: Callable) -> None:
    print("| method | elements | " + " | ".join(MODES) + " |")
    print("| --- | --- |" + " --- |" * len(MODES), flush=True)
    rows = [(m, tie) for m in sj.methods.METHODS for tie in (False, True)]
    for method, tie in tqdm(rows):
        cells = []
        for mode in MODES:
            try:
                found = operator_smoothness(operator, mode, method, tie)
            except ValueError:
                cells.append("-")
            else:
                cells.append(describe(found))
        words = "two meet" if tie else "distinct"
        tqdm.write(f"| `{method}` | {words} | " + " | ".join(cells) + " |")


def derivative(fn: Callable) -> Callable:
    return lambda t: jax.jvp(fn, (t,), (jnp.ones_like(t),))[1]


def draw(path: Path) -> None:
    """Draw derivatives of the first entry of a projection whose support changes."""
    figure, axes = plt.subplots(
        2, 5, figsize=(13, 5), sharex=True, layout="constrained"
    )
    t = np.linspace(-1.0, 1.0, 2001)
    for column, q in zip(axes.T, range(2, 7), strict=True):
        mode = PNorm(q / (q - 1))
        fn = jax.vmap(lambda t, mode=mode: simplex(mode, t)[0])
        for _ in range(q - 2):
            fn = derivative(fn)
        for axis, order in zip(column, (q - 2, q - 1), strict=True):
            axis.plot(t, jax.jit(fn)(t), lw=1.5)
            axis.set_title(f"q = {q}: derivative of order {order}", fontsize=10)
            fn = derivative(fn)
    axes[0, 0].set_ylabel("continuous")
    axes[1, 0].set_ylabel("jumps")
    for axis in axes[1]:
        axis.set_xlabel("along the path")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"Saved {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path, help="draw, and save here")
    parser.add_argument("--operator", choices=("sort", "rank"), default="sort")
    args = parser.parse_args()
    with jax.enable_x64(True):
        if args.figure:
            draw(args.figure)
            return
        print_projections()
        print()
        print_operators(getattr(sj, args.operator))


if __name__ == "__main__":
    main()
