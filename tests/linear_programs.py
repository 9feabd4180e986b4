"""Linear programs of several kinds, and compiled solutions, for the tests of them."""

import functools
from typing import Any, NamedTuple

import inputs
import jax
import numpy as np

from softjax.solvers import LinearProgram, solve


class Program(NamedTuple):
    """A linear program of arrays in float64, without its softness."""

    name: str
    z: np.ndarray
    A: Any = None
    b: Any = None
    G: Any = None
    h: Any = None
    upper: Any = None

    @property
    def constraints(self) -> dict:
        return {k: getattr(self, k) for k in ("A", "b", "G", "h", "upper")}


def incidence(tail, head, nodes):
    """The node-arc incidence matrix."""
    node = np.arange(nodes)[:, None]
    return (node == tail).astype(float) - (node == head)


def grid_arcs(n: int):
    """Tails and heads of arcs to the right and down in a grid, and its size."""
    node = np.arange(n * n).reshape(n, n)
    tail = np.concatenate([node[:, :-1].ravel(), node[:-1].ravel()])
    head = np.concatenate([node[:, 1:].ravel(), node[1:].ravel()])
    return tail, head, n * n


def _unit_flow(nodes: int):
    return np.eye(nodes)[0] - np.eye(nodes)[-1]


def grid_path(n: int) -> Program:
    tail, head, nodes = grid_arcs(n)
    z = -inputs.rng("grid", n).uniform(0.2, 1, len(tail))
    return Program("grid", z, incidence(tail, head, nodes), _unit_flow(nodes))


def graph_path(nodes: int, arcs: int) -> Program:
    """A path in a graph of random arcs, with cycles, beside one through all nodes."""
    rng, first = inputs.rng("graph"), np.arange(nodes - 1)
    more = rng.integers(0, nodes, (2, arcs - nodes + 1))
    tail = np.concatenate([first, more[0]])
    head = np.concatenate([first + 1, more[1]])
    z = -rng.uniform(0.2, 1, arcs)
    return Program("graph", z, incidence(tail, head, nodes), _unit_flow(nodes))


def simplex(n: int) -> Program:
    z = inputs.rng("simplex").normal(size=n)
    return Program("simplex", z, np.ones((1, n)), np.ones(1))


def hypersimplex(n: int, k: int) -> Program:
    z = inputs.rng("hypersimplex").normal(size=n)
    return Program("hypersimplex", z, np.ones((1, n)), np.full(1, k), upper=1.0)


def transport(n: int) -> Program:
    """Sums of the rows of a plan, and then of its columns."""
    rng = inputs.rng("transport")
    mu, nu = rng.uniform(0.5, 1.5, (2, n))
    eye, one = np.eye(n), np.ones((1, n))
    A = np.concatenate([np.kron(eye, one), np.kron(one, eye)])
    b = np.concatenate([mu, nu * mu.sum() / nu.sum()])
    return Program("transport", -2 * rng.uniform(size=n * n), A, b)


def knapsack(m: int, n: int) -> Program:
    rng = inputs.rng("knapsack")
    G = rng.uniform(0.2, 1, (m, n))
    return Program("knapsack", rng.uniform(size=n), G=G, h=0.3 * G.sum(1), upper=1.0)


def mixed() -> Program:
    """Constraints of all kinds, of which some bind and some do not."""
    rng = inputs.rng("mixed")
    A, G = rng.uniform(0.3, 1, (2, 2, 8))
    y = rng.uniform(0.1, 0.8, 8)
    h = G @ y * np.array([0.8, 1.5])
    return Program("mixed", 0.3 * rng.normal(size=8), A, A @ y, G, h, np.full(8, 0.9))


SMALL = [grid_path(3), knapsack(2, 6), mixed(), transport(3)]

LARGE = [
    simplex(20),
    hypersimplex(20, 5),
    transport(6),
    grid_path(8),
    graph_path(40, 160),
    knapsack(3, 15),
]


# With a batch of scores of 4 entries, and a softness.
ARRAYS = dict(
    A=np.array([[1.0, 0.4, 1.5, 0.9]]),
    b=np.array([[1.2], [1.5]]),
    G=np.array([[0.3, 1.0, -0.2, 0.1], [1.0, 0.2, 0.3, 0.7]]),
    h=np.array([0.25, 2.4]),
    upper=np.array([0.5, 1.3, 2.0, 0.9]),
)


def with_arrays(arrays: dict) -> LinearProgram:
    keywords = {k: arrays[k] for k in ("G", "h", "upper")}
    return LinearProgram(
        arrays["z"], arrays["A"], arrays["b"], arrays["softness"], **keywords
    )


@functools.cache
def compiled(mode: Any, solver: Any = None, upper: Any = None):
    """Solutions of one program, whose bounds are known if they are one `upper`."""

    @jax.jit
    def compute(z, softness, constraints):
        if upper is not None:
            constraints = dict(constraints, upper=upper)
        A, b = constraints.pop("A", None), constraints.pop("b", None)
        problem = LinearProgram(z, A, b, softness, **constraints)
        found = solve(problem, mode, solver)
        return dict(
            value=found.value,
            dual=found.dual,
            residual=found.residual,
            converged=found.converged,
            steps=found.steps,
        )

    return compute


def solved(program: Program, mode: Any, softness: float, solver: Any = None) -> dict:
    given = {k: x for k, x in program.constraints.items() if x is not None}
    out = compiled(mode, solver)(program.z, softness, given)
    return {k: np.asarray(x) for k, x in out.items()}
