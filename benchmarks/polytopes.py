"""Steps and times of projections onto polytopes: by an oracle, and by constraints.

Run: `python -m benchmarks.polytopes`. In float32, times are minima of several calls
that take turns.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from softjax import solvers, structured as st

from ._wolfe import plain_projection


def milliseconds(*programs: Callable[[], Any], budget: float = 0.2) -> list[float]:
    """The least time of a call of each that is compiled already, taken in turns.

    A turn is a call after one that does not count. `budget` is in seconds, for each.
    """
    times: list[list[float]] = [[] for _ in programs]
    while len(times[0]) < 7 or sum(map(sum, times)) < budget * len(programs):
        for program, taken in zip(programs, times, strict=True):
            jax.block_until_ready(program())
            started = time.perf_counter()
            jax.block_until_ready(program())
            taken.append(time.perf_counter() - started)
    return [1e3 * min(taken) for taken in times]


def oracles(rng: np.random.Generator) -> dict[str, tuple[st.Structure, Any]]:
    """Structures, and scores of normal numbers."""
    shapes = {
        "one of 50": (st.KSubset(1), (50,)),
        "5 of 50": (st.KSubset(5), (50,)),
        "matching, 8": (st.Matching(), (8, 8)),
        "spanning tree, 10": (st.SpanningTree(10), (45,)),
        "knapsack, 30": (st.Knapsack(tuple(range(1, 31)), 120), (30,)),
        "grid path, 12 x 12": (st.GridPath(), (12, 12)),
    }
    found: dict[str, tuple[st.Structure, Any]] = {
        name: (structure, jnp.asarray(rng.normal(size=shape), jnp.float32))
        for name, (structure, shape) in shapes.items()
    }
    unary, edges = rng.normal(size=(20, 5)), rng.normal(size=(19, 5, 5))
    chain = tuple(jnp.asarray(z, jnp.float32) for z in (unary, edges))
    return found | {"chain, 20 x 5": (st.Chain(), chain)}


def print_oracles(max_atoms: int | None) -> None:
    """Of `ActiveSet`, Wolfe's algorithm in its plain form, and `FrankWolfe`.

    Gradients are taken with and without the question whether the solution is inside of
    a larger face; the plain form does not ask.
    """
    print(
        f"{'c0':<18} {'softness':>8} {'steps':>5} {'atoms':>5} {'gap':>6} {'ms':>6} "
        f"{'gradient':>9} {'no question':>11} {'plain ms':>9} {'gradient':>9} "
        f"{'Frank-Wolfe: steps':>19} {'gap':>6} {'ms':>6}"
    )
    solver = solvers.ActiveSet(max_atoms=max_atoms)
    unasked = dataclasses.replace(solver, faces=0)
    pairwise = solvers.FrankWolfe()
    for name, (structure, scores) in oracles(np.random.default_rng(0)).items():
        for softness in (1.0, 0.1):

            def problem(z, softness=softness, structure=structure):
                return solvers.OracleProjection(z, softness, structure.oracle)

            def values(solver, problem=problem, scores=scores):
                def project(z):
                    found = solvers.solve(problem(z), "c0", solver)
                    steps, gap = found.steps, found.residual
                    return found.dual.weights, steps, gap, found.value

                return functools.partial(jax.jit(project), scores)

            def slopes(project, scores=scores):
                def square(z):
                    return sum(jnp.sum(y**2) for y in jax.tree.leaves(project(z)))

                return functools.partial(jax.jit(jax.value_and_grad(square)), scores)

            def projection(solver, problem=problem):
                return lambda z: solvers.evaluate(
                    problem(z), "c0", solvers.Primal(), solver
                )

            plain = plain_projection(structure.oracle, softness, max_atoms or 64)
            ours, theirs = values(solver), values(pairwise)
            weights, steps, gap, _ = ours()
            _, their_steps, their_gap, _ = theirs()
            value, slope, no_question, plain_value, plain_slope = milliseconds(
                ours,
                slopes(projection(solver)),
                slopes(projection(unasked)),
                functools.partial(jax.jit(plain), scores),
                slopes(plain),
            )
            (their_value,) = milliseconds(theirs)
            print(
                f"{name:<18} {softness:>8} {steps:>5} {jnp.sum(weights > 0):>5} "
                f"{gap:6.0e} {value:6.2f} {slope:9.2f} {no_question:11.2f} "
                f"{plain_value:9.2f} {plain_slope:9.2f} "
                f"{their_steps:>19} {their_gap:6.0e} {their_value:6.2f}",
                flush=True,
            )


def grid_arcs(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Tails and heads of arcs to the right and down."""
    node = np.arange(n * n).reshape(n, n)
    tail = np.concatenate([node[:, :-1].ravel(), node[:-1].ravel()])
    head = np.concatenate([node[:, 1:].ravel(), node[1:].ravel()])
    return tail, head


def programs(rng: np.random.Generator) -> dict[str, tuple[np.ndarray, dict[str, Any]]]:
    """Linear programs: scores and constraints."""
    simplex, one = np.ones((1, 20)), np.ones(1)
    pairs = np.kron(np.eye(6), np.ones(6)), np.kron(np.ones(6), np.eye(6))
    tail, head = grid_arcs(8)
    ends = np.zeros(64)
    ends[0], ends[-1] = 1, -1
    grid = dict(A=solvers.Incidence(tail, head, 64), b=ends)
    sizes = rng.uniform(0.2, 1, (3, 15))
    load = dict(G=sizes, h=0.3 * sizes.sum(1), upper=1.0)
    return {
        "simplex, 20": (rng.normal(size=20), dict(A=simplex, b=one)),
        "5 of 20": (rng.normal(size=20), dict(A=simplex, b=5 * one, upper=1.0)),
        "transport, 6 x 6": (
            -2 * rng.uniform(size=36),
            dict(A=np.concatenate(pairs), b=np.ones(12)),
        ),
        "path, 8 x 8 grid": (-rng.uniform(0.2, 1, tail.size), grid),
        "3 knapsacks, 15": (rng.uniform(size=15), load),
    }


def print_programs() -> None:
    print(
        f"\n{'':<20} {'mode':<7}", *(f"{f'softness {s}':>20}" for s in (1, 0.1, 0.01))
    )
    for name, (scores, constraints) in programs(np.random.default_rng(0)).items():
        for mode in ("smooth", "c0", "c1"):
            cells = []
            for softness in (1.0, 0.1, 0.01):

                @jax.jit
                def project(z, softness=softness, mode=mode, constraints=constraints):
                    problem = solvers.LinearProgram(z, softness=softness, **constraints)
                    found = solvers.solve(problem, mode)
                    return found.steps, found.converged, found.value

                z = jnp.asarray(scores, jnp.float32)
                steps, converged, _ = project(z)
                (took,) = milliseconds(functools.partial(project, z))
                mark = "" if converged else " not converged"
                cells.append(f"{f'{steps} steps, {took:.2f} ms{mark}':>20}")
            print(f"{name:<20} {mode:<7}", *cells, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-atoms", type=int, help="places of the active set")
    print_oracles(parser.parse_args().max_atoms)
    print_programs()
