"""Steps and times of projections onto polytopes: by an oracle, and by constraints.

Run: `python -m benchmarks.polytopes`. In float32, times are minima of several calls.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from softjax import solvers, structured as st


def milliseconds(fn: Callable[..., Any], *args: Any, budget: float = 0.1) -> float:
    """The least time of a call that is compiled already, of calls for some seconds."""
    jax.block_until_ready(fn(*args))
    times: list[float] = []
    while len(times) < 7 or sum(times) < budget:
        started = time.perf_counter()
        jax.block_until_ready(fn(*args))
        times.append(time.perf_counter() - started)
    return 1e3 * min(times)


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
    print(
        f"{'c0':<20} {'softness':>8} {'steps':>6} {'atoms':>6} {'gap':>8} {'ms':>7} "
        f"{'gradient':>9}   {'Frank-Wolfe: steps':>18} {'gap':>8} {'ms':>7}"
    )
    for name, (structure, scores) in oracles(np.random.default_rng(0)).items():
        for softness in (1.0, 0.1):
            cells = []
            active_set = solvers.ActiveSet(max_atoms=max_atoms)
            for solver in (active_set, solvers.FrankWolfe()):

                def problem(z, softness=softness, structure=structure):
                    return solvers.OracleProjection(z, softness, structure.oracle)

                def project(z, solver=solver, problem=problem):
                    found = solvers.solve(problem(z), "c0", solver)
                    return found.dual.weights, found.steps, found.residual, found.value

                def square(z, solver=solver, problem=problem):
                    y = solvers.evaluate(problem(z), "c0", solvers.Primal(), solver)
                    return sum(jnp.sum(y**2) for y in jax.tree.leaves(y))

                program = jax.jit(project)
                weights, steps, gap, _ = program(scores)
                took = milliseconds(program, scores)
                if solver is active_set:
                    slope = milliseconds(jax.jit(jax.value_and_grad(square)), scores)
                    atoms = int(jnp.sum(weights > 0))
                    cells += [
                        f"{steps:>6} {atoms:>6} {gap:8.0e} {took:7.2f} {slope:9.2f}"
                    ]
                else:
                    cells.append(f"{steps:>18} {gap:8.0e} {took:7.2f}")
            print(f"{name:<20} {softness:>8} {'   '.join(cells)}", flush=True)


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
                took = milliseconds(project, z)
                mark = "" if converged else " not converged"
                cells.append(f"{f'{steps} steps, {took:.2f} ms{mark}':>20}")
            print(f"{name:<20} {mode:<7}", *cells, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--max-atoms", type=int, help="places of the active set")
    print_oracles(parser.parse_args().max_atoms)
    print_programs()
