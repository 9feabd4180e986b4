"""Matrices of every kind, flows in networks, and what is refused."""

import jax
import jax.numpy as jnp
import jaxopt
import lineax as lx
import numpy as np
import optimistix as optx
import oracles
import pytest
from assertions import assert_close
from cases import REGULARIZERS
from jax.experimental import sparse
from linear_programs import SMALL, graph_path, grid_arcs, incidence
from parametrize import pick

import softjax as sj
from softjax.solvers import (
    Incidence,
    LinearProgram,
    ProjectedNewton,
    choose_solver,
    min_cost_flow,
    shortest_path,
    solve,
)

TAIL, HEAD, NODES = grid_arcs(3)
(GRID,) = pick(SMALL, "grid")


def _kinds():
    A = jnp.asarray(GRID.A)
    padded = sparse.BCOO.fromdense(A, nse=30)
    # One entry in two parts, which add up.
    data = padded.data.at[-1].set(0.25).at[0].add(-0.25)
    indices = padded.indices.at[-1].set(padded.indices[0])
    return dict(
        dense=A,
        incidence=Incidence(TAIL, HEAD, NODES),
        bcoo=sparse.BCOO((data, indices), shape=A.shape),
        lineax=lx.MatrixLinearOperator(A),
        function=lx.FunctionLinearOperator(
            lambda y: A @ y, jax.eval_shape(lambda: A[0])
        ),
    )


@pytest.mark.slow
def test_kinds_agree(x64):
    """Solutions and gradients of flows."""

    @jax.jit
    def compute(z, b):
        def total(z, b, A):
            y = solve(LinearProgram(z, A, b, 0.3), "c1").value
            return jnp.sum(jnp.sin(3 * y)), y

        out = {}
        for name, A in _kinds().items():
            (slope, more), y = jax.grad(total, (0, 1), has_aux=True)(z, b, A)
            # A move of all b alike is of no flow.
            out[name] = y, slope, more - jnp.mean(more)
        return out

    out = compute(GRID.z, GRID.b)
    expected = out["dense"]
    assert all(np.max(np.abs(x)) > 0.1 for x in expected)
    for found in out.values():
        for a, b in zip(found, expected, strict=True):
            assert_close(a, b, atol=1e-8)


def test_matrices_on_one_another(x64):
    """Rows of any two kinds, equalities and inequalities."""
    cap = jnp.eye(len(TAIL))[:1]

    @jax.jit
    def compute(z, b):
        out = []
        # Flow may be lost at nodes on the way, and the first arc is half open.
        for A in (GRID.A, Incidence(TAIL, HEAD, NODES)):
            problem = LinearProgram(z, cap, 0.1, 0.3, G=A, h=b + 0.1)
            out.append(solve(problem, "c1").value)
        return out

    dense, other = compute(GRID.z, GRID.b)
    expected = oracles.linear_program_oracle(
        "c1", GRID.z, np.asarray(cap), np.array([0.1]), 0.3, GRID.A, GRID.b + 0.1
    )
    assert_close(dense, expected, atol=1e-6)
    assert_close(other, dense, atol=1e-9)


@pytest.mark.slow
def test_products(x64):
    """Every product of a matrix is that of its dense entries, for a batch."""
    rng = np.random.default_rng(0)
    tail, head = rng.integers(0, 4, (2, 9))  # with arcs from a node to itself
    head[0] = tail[0]
    dense = incidence(tail, head, 4)
    y, x, weight = (jnp.asarray(rng.uniform(size=(2, 3, n))) for n in (9, 4, 9))
    programs = [
        Incidence(tail, head, 4),
        sparse.BCOO.fromdense(jnp.asarray(dense), nse=20),
        lx.MatrixLinearOperator(jnp.asarray(dense)),
        dense,
    ]
    for given in programs:
        matrix = LinearProgram(y, given, 0.0).matrix
        gram = np.einsum("in,abn,jn->abij", dense, weight, dense)
        assert matrix.shape == dense.shape
        assert_close(matrix.dense(jnp.dtype(float)), dense)
        assert_close(matrix.apply(y), y @ dense.T)
        assert_close(matrix.apply_transpose(x), x @ dense)
        assert_close(matrix.gram(weight), gram)
        both = LinearProgram(y, given, 0.0, G=given, h=1.0).matrix
        assert_close(both.apply(y), np.tile(y @ dense.T, 2))
        assert_close(both.gram(weight), np.tile(gram, (2, 2)))
        if isinstance(given, lx.MatrixLinearOperator):
            continue
        assert_close(matrix.diagonal(weight), np.diagonal(gram, axis1=-2, axis2=-1))
        assert_close(matrix.sizes(y), y @ np.abs(dense).T)


@pytest.mark.slow
def test_many_rows(x64):
    """300 nodes, by conjugate gradients: shortest paths of scipy's Dijkstra."""
    program = graph_path(300, 1200)
    tail, head = np.argmin(program.A, 0), np.argmax(program.A, 0)
    tail, head = head, tail
    loops = np.max(program.A, 0) == 0
    tail[loops] = head[loops] = 0

    @jax.jit
    def compute(z):
        graph = Incidence(tail, head, 300)

        def value(z):
            return solve(LinearProgram(z, graph, program.b, 0.01), "c0").value

        solver = ProjectedNewton(linear="cholesky")
        other = solve(LinearProgram(z, graph, program.b, 0.01), "c0", solver).value
        return value(z), other, jax.jvp(value, (z,), (z,))[1]

    y, other, slope = compute(program.z)
    expected = oracles.vertex_oracle(program.z, program.A, program.b)
    expected[loops] = y[loops]
    assert_close(y, other, atol=1e-9)
    assert_close(program.z @ y, program.z @ expected, atol=1e-2)
    assert np.all(np.isfinite(slope))


def test_flows(x64):
    """Paths between nodes of a batch, and flows of bounded capacity."""
    cost = jnp.asarray(np.stack([-GRID.z, 1 + GRID.z]))
    source, target = np.array([0, 1]), np.array([8, 5])

    @jax.jit
    def compute(cost):
        path = shortest_path(cost, TAIL, HEAD, source, target, softness=1e-3, mode="c0")
        supply = jnp.asarray(3 * GRID.b)
        flow = min_cost_flow(cost, TAIL, HEAD, supply, 2.0, softness=1e-3, mode="c0")
        return path, flow

    path, flow = compute(cost)
    places = np.eye(NODES)
    for i in range(2):
        b = places[source[i]] - places[target[i]]
        hard = oracles.vertex_oracle(-np.asarray(cost[i]), GRID.A, b)
        assert_close(path[i], hard, atol=1e-8)
        hard = oracles.vertex_oracle(
            -np.asarray(cost[i]), GRID.A, 3 * GRID.b, upper=2.0
        )
        assert_close(flow[i], hard, atol=1e-8)


def test_vmap_of_flows(x64):
    """Over costs, ends and graphs."""
    tails, heads = np.stack([TAIL, HEAD]), np.stack([HEAD, TAIL])
    ends = np.array([[0, 8], [8, 0]])

    @jax.jit
    @jax.vmap
    def paths(cost, tail, head, ends):
        return shortest_path(
            cost, tail, head, *ends, nodes=NODES, softness=0.3, mode="c1"
        )

    y = paths(np.stack([-GRID.z] * 2), tails, heads, ends)
    expected = oracles.linear_program_oracle("c1", GRID.z, GRID.A, GRID.b, 0.3)
    assert_close(y, np.stack([expected] * 2), atol=1e-6)


@pytest.mark.parametrize(
    "solver",
    [
        pytest.param(optx.BFGS(1e-10, 1e-10), id="optx.BFGS"),
        pytest.param(
            jaxopt.BFGS(jnp.sum, tol=1e-11), id="jaxopt.BFGS", marks=pytest.mark.slow
        ),
    ],
)
def test_minimisers(solver, x64):
    """Minimisers of other packages, for equalities and bounds."""
    z = jnp.asarray(np.stack([GRID.z, -1 - GRID.z]))

    @jax.jit
    def compute(z):
        problem = LinearProgram(z, GRID.A, GRID.b, 0.5, upper=0.6)
        found = solve(problem, "smooth", solver)
        return found.value, found.converged, solve(problem, "smooth").value

    value, converged, expected = compute(z)
    assert np.all(converged)
    assert_close(value, expected, atol=1e-5)


def test_minimisers_do_not_take_inequalities():
    problem = LinearProgram(jnp.ones(3), G=jnp.ones((1, 3)), h=1.0)
    for solver in (optx.BFGS(1e-6, 1e-6), jaxopt.LBFGS, "newton", "semi_dual"):
        with pytest.raises(TypeError, match="cannot solve a LinearProgram") as error:
            choose_solver(solver, problem, sj.solvers.Entropy())
        assert str(error.value).endswith("Solvers that can: 'projected_newton'.")
    equal = LinearProgram(jnp.ones(3), jnp.ones((1, 3)), 1.0)
    with pytest.raises(TypeError, match=r"'projected_newton', .*optimistix\.BFGS"):
        choose_solver("newton", equal, sj.solvers.Entropy())
    chosen = choose_solver(None, problem, sj.solvers.Entropy())
    assert chosen == ProjectedNewton()


@pytest.mark.slow
def test_bounded_links_need_a_bound():
    z, row = jnp.ones(3), jnp.ones((1, 3))
    for case in REGULARIZERS:
        known = LinearProgram(z, row, 1.0, upper=np.ones(3))
        assert choose_solver(None, known, case.regularizer) == ProjectedNewton()
        for upper in (None, 2.0):
            problem = LinearProgram(z, row, 1.0, upper=upper)
            if case.bounded:
                with pytest.raises(ValueError, match="at most 1"):
                    problem.specialize(case.regularizer)
            else:
                problem.specialize(case.regularizer)
    with pytest.raises(ValueError, match="not as a traced array"):
        jax.jit(lambda u: solve(LinearProgram(z, row, 1.0, upper=u), "cubic").value)(
            1.0
        )


_Z, _ROW = np.ones((2, 3)), np.ones((1, 3))
_WRONG = {
    "z must have": lambda: LinearProgram(np.ones((2, 0)), _ROW, 1.0),
    "A is given, and b": lambda: LinearProgram(_Z, _ROW),
    "b is given, and A": lambda: LinearProgram(_Z, None, 1.0),
    "G is given, and h": lambda: LinearProgram(_Z, G=_ROW),
    "h is given, and G": lambda: LinearProgram(_Z, h=1.0),
    r"A .*\(4, 1, 3\)": lambda: LinearProgram(_Z, np.ones((4, 1, 3)), 1.0),
    r"A .*\(3,\)": lambda: LinearProgram(_Z, np.ones(3), 1.0),
    r"G .*column for each of the 3.* got 2": lambda: LinearProgram(
        _Z, G=np.ones((1, 2)), h=1.0
    ),
    r"b of shape \(3,\)": lambda: LinearProgram(_Z, _ROW, np.ones(3)),
    r"upper of shape \(2,\)": lambda: LinearProgram(_Z, upper=np.ones(2)),
    "upper must be nonnegative, got -1": lambda: LinearProgram(_Z, upper=-1.0),
    r"softness of shape \(2,\)": lambda: LinearProgram(_Z, _ROW, 1.0, np.ones(2)),
    "BCOO of two sparse": lambda: LinearProgram(
        _Z, sparse.BCOO.fromdense(jnp.ones((2, 1, 3)), n_batch=1), 1.0
    ),
    "type of z": lambda: LinearProgram(
        _Z, lx.MatrixLinearOperator(jnp.ones((1, 3), jnp.float16)), 1.0
    ),
    "same shape": lambda: Incidence([0, 1], [1], 2),
    "one axis": lambda: Incidence([[0]], [[1]], 2),
    "head must be nodes from 0 to 1, got 2": lambda: Incidence([0], [2], 2),
    "tail must be nodes from 0 to 1, got -1": lambda: Incidence([-1], [1], 2),
    "linear='lu'": lambda: ProjectedNewton(linear="lu"),
    "source must be a node from 0 to 1, got 2": lambda: shortest_path(
        jnp.ones(1), [0], [1], 2, 1
    ),
    "nodes must be given": lambda: jax.jit(
        lambda t: shortest_path(jnp.ones(1), t, [1], 0, 1)
    )(jnp.array([0])),
    "supply must": lambda: min_cost_flow(jnp.ones(1), [0], [1], 1.0),
}
_WRONG_TYPES = {
    "A must be": lambda: LinearProgram(_Z, sj.solvers.Entropy(), 1.0),
    "G must be": lambda: LinearProgram(_Z, G="rows", h=1.0),
    "head must be integers": lambda: Incidence([0], [1.0], 2),
    "target must be an integer": lambda: shortest_path(jnp.ones(1), [0], [1], 0, 1.0),
}


@pytest.mark.parametrize("message", [*_WRONG, *_WRONG_TYPES])
def test_errors(message):
    kind = ValueError if message in _WRONG else TypeError
    with pytest.raises(kind, match=message):
        (_WRONG | _WRONG_TYPES)[message]()
