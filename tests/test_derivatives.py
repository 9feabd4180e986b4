"""Every problem, in every mode of differentiation, with respect to everything."""

from collections.abc import Callable
from typing import NamedTuple

import assertions
import coupled
import inputs
import jax
import jax.numpy as jnp
import linear_programs
import lineax as lx
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from cases import REGULARIZERS, Mixed
from jax.flatten_util import ravel_pytree
from parametrize import each, pick

from softjax.solvers import (
    HypersimplexProjection,
    MajorizationProjection,
    NeuralSortRows,
    OracleProjection,
    PermutahedronProjection,
    PNorm,
    Problem,
    Regularizer,
    SimplexProjection,
    SoftSortRows,
    TransportProjection,
    get_regularizer,
    solve,
)
from softjax_solvers._operators.solve import linear_solve


class ProblemCase(NamedTuple):
    """A problem, the arrays that it is made of, and the regularizers that it takes."""

    name: str
    make: Callable[[dict], Problem]
    arrays: dict
    takes: Callable[[str], bool] = lambda name: True


_rng = inputs.rng("contract")
_z = _rng.normal(size=(2, 4))
_support = np.sort(_rng.normal(size=(2, 4)))
_queries = _rng.normal(size=(2, 3))
_softness = np.array([[0.9], [2.3]])
_values = _rng.normal(size=(2, 4))
_w = np.array([[2.0, 0.3, -1.0, 0.9], [0.1, -0.2, 1.5, 0.4]])
_where = np.array([[True, True, False, True], [True, True, True, False]])


def _total_one(x):
    return x / jnp.sum(x, axis=-1, keepdims=True)


def _two_of(scores):
    """The largest two, as a vertex of the hypersimplex."""
    return jnp.zeros(scores.size).at[jax.lax.top_k(scores, 2)[1]].set(1)


_BOUNDED = [case.name for case in REGULARIZERS if case.bounded]

PROBLEMS = [
    ProblemCase(
        "simplex",
        lambda a: SimplexProjection(a["z"], a["softness"]),
        dict(z=_z, softness=_softness, values=_values),
    ),
    ProblemCase(
        "simplex_masked",
        lambda a: SimplexProjection(a["z"], a["softness"], _where),
        dict(z=_z, softness=_softness, values=_values),
    ),
    ProblemCase(
        "hypersimplex",
        lambda a: HypersimplexProjection(a["z"], a["k"], a["softness"]),
        dict(z=_z, k=np.array([[2.6], [2.0]]), softness=_softness, values=_values),
    ),
    ProblemCase(
        "sorted",
        lambda a: SoftSortRows(None, a["support"], a["softness"]),
        dict(support=_support, softness=_softness, values=_values),
    ),
    ProblemCase(
        "sorted_queries",
        lambda a: SoftSortRows(a["queries"], a["support"], a["softness"]),
        dict(queries=_queries, support=_support, softness=_softness, values=_values),
    ),
    ProblemCase(
        "sorted_masked",
        lambda a: SoftSortRows(a["queries"], a["support"], a["softness"], _where),
        dict(queries=_queries, support=_support, softness=_softness, values=_values),
    ),
    ProblemCase(
        "deviations",
        lambda a: NeuralSortRows(None, a["support"], a["softness"]),
        dict(support=_support, softness=_softness, values=_values),
    ),
    ProblemCase(
        "deviations_between",
        lambda a: NeuralSortRows(a["positions"], a["support"], a["softness"]),
        dict(
            positions=np.array([0.3, 1.6]),
            support=_support,
            softness=_softness,
            values=_values,
        ),
    ),
    ProblemCase(
        "permutahedron",
        lambda a: PermutahedronProjection(a["z"], a["w"], a["softness"]),
        dict(z=_z, w=_w, softness=_softness, values=_values),
        lambda name: name not in _BOUNDED,
    ),
    ProblemCase(
        "majorization",
        lambda a: MajorizationProjection(
            jnp.sort(a["z"])[:, ::-1], jnp.sort(a["w"])[:, ::-1], a["softness"]
        ),
        dict(z=_z, w=_w, softness=_softness, values=_values),
        lambda name: name == "smooth",
    ),
    ProblemCase(
        "transport",
        lambda a: TransportProjection(
            a["cost"], _total_one(a["mu"]), _total_one(a["nu"]), a["softness"][:, 0]
        ),
        dict(
            cost=_rng.normal(size=(2, 3, 4)) ** 2,
            mu=_rng.uniform(0.5, 1, size=3),
            nu=_rng.uniform(0.5, 1, size=(2, 4)),
            softness=_softness,
            values=_values,
        ),
    ),
    ProblemCase(
        "linear_program",
        linear_programs.with_arrays,
        dict(linear_programs.ARRAYS, z=_z, softness=_softness, values=_values),
        lambda name: name not in _BOUNDED,
    ),
    ProblemCase(
        "oracle",
        lambda a: OracleProjection(a["z"], a["softness"], _two_of),
        dict(z=_z[1], softness=np.array(0.9), values=_values[0]),
    ),
    *(ProblemCase(*case) for case in coupled.DERIVATIVES),
]


class Parametric(NamedTuple):
    """A regularizer, possibly of a parameter that is differentiated too."""

    name: str
    make: Callable[[dict], Regularizer]
    parameters: dict


REGULARIZER_CASES = [
    *(Parametric(c.name, lambda _, c=c: c.regularizer, {}) for c in REGULARIZERS),
    Parametric("pnorm_p", lambda a: PNorm(a["p"]), dict(p=np.array(1.37))),
    Parametric("user_weight", lambda a: Mixed(a["weight"]), dict(weight=np.array(1.6))),
]

# By default, one problem of one dual a row. Derivatives of the others are part of those
# of operators, in `test_operators.py`, and of files of their own.
pairs = [
    pytest.param(
        problem,
        regularizer,
        id=f"{problem.name}-{regularizer.name}",
        marks=[]
        if (problem.name, regularizer.name) == ("simplex", "pnorm_p")
        else [pytest.mark.slow],
    )
    for problem in PROBLEMS
    for regularizer in REGULARIZER_CASES
    if problem.takes(regularizer.name)
]


def flat_function(problem: ProblemCase, regularizer: Parametric):
    """A solution and its expectation as a function of one vector, and that vector."""
    x, unravel = ravel_pytree(
        {
            k: jnp.asarray(v)
            for k, v in (problem.arrays | regularizer.parameters).items()
        }
    )

    def fn(x):
        arrays = unravel(x)
        solution = solve(problem.make(arrays), regularizer.make(arrays))
        return ravel_pytree((solution.value, solution.expectation(arrays["values"])))[0]

    return fn, x


@pytest.mark.parametrize(("problem", "regularizer"), pairs)
def test_first_and_second_order(problem, regularizer, x64):
    fn, x = flat_function(problem, regularizer)
    rng = inputs.rng(problem.name)
    direction = jnp.asarray(rng.normal(size=x.shape))
    weights = jnp.asarray(rng.normal(size=jax.eval_shape(fn, x).shape))

    def total(x):
        return weights @ fn(x)

    def along(x):
        return jax.jvp(total, (x,), (direction,))[1]

    @jax.jit
    def derivatives(x):
        gradient = jax.grad(total)
        return dict(
            value=fn(x),
            jvp=jax.jvp(fn, (x,), (direction,))[1],
            grad=gradient(x),
            forward_over_reverse=jax.jvp(gradient, (x,), (direction,))[1],
            reverse_over_reverse=jax.grad(lambda x: gradient(x) @ direction)(x),
            reverse_over_forward=jax.grad(along)(x),
            forward_over_forward=jax.jvp(along, (x,), (direction,))[1],
        )

    out = derivatives(x)
    expected = finite_difference(
        derivatives, (np.asarray(x),), (np.asarray(direction),)
    )
    # What is differentiated is the truth: see the tests of each problem.
    assert_close(out["jvp"], expected["value"], atol=1e-7)
    assert_close(out["grad"] @ direction, weights @ out["jvp"], atol=1e-11)
    second = expected["grad"]
    assert_close(out["forward_over_reverse"], second, atol=1e-6, rtol=1e-6)
    for key in ("reverse_over_reverse", "reverse_over_forward"):
        assert_close(out[key], out["forward_over_reverse"], atol=1e-10, rtol=1e-9)
    twice = out["forward_over_reverse"] @ direction
    assert_close(out["forward_over_forward"], twice, atol=1e-10, rtol=1e-9)


_some = pytest.mark.parametrize(
    ("problem", "regularizer"),
    [
        pytest.param(
            *pick(PROBLEMS, problem),
            *pick(REGULARIZER_CASES, regularizer),
            id=f"{problem}-{regularizer}",
            marks=marks,
        )
        for problem, regularizer, marks in (
            ("simplex", "pnorm_p", []),
            ("sorted_queries", "smooth", [pytest.mark.slow]),
        )
    ],
)


@_some
def test_jacobians_and_hessian(problem, regularizer, x64):
    """The functions by which users ask for derivatives."""
    fn, x = flat_function(problem, regularizer)
    weights = jnp.asarray(inputs.rng("w").normal(size=jax.eval_shape(fn, x).shape))

    @jax.jit
    def derivatives(x):
        return (
            jax.jacfwd(fn)(x),
            jax.jacrev(fn)(x),
            jax.hessian(lambda x: weights @ fn(x))(x),
            jax.grad(lambda x: weights @ fn(x))(x),
        )

    forward, reverse, hessian, gradient = derivatives(x)
    assert_close(forward, reverse, atol=1e-11)
    assert_close(gradient, weights @ reverse, atol=1e-11)
    assert_close(hessian, hessian.T, atol=1e-9)
    for i in (0, x.size // 2, x.size - 1):
        moved = finite_difference(derivatives, (np.asarray(x),), (np.eye(x.size)[i],))
        assert_close(hessian[i], moved[3], atol=1e-6)


@pytest.mark.x64
@_some
def test_batches(problem, regularizer):
    """`vmap` of `grad`, with and without `jit`, and the problem's own batch axis."""
    fn, x = flat_function(problem, regularizer)
    xs = jnp.stack([x, 1.1 * x, 0.9 * x])

    def gradient(x):
        return jax.grad(lambda x: jnp.sum(jnp.sin(fn(x))))(x)

    single = np.stack([jax.jit(gradient)(x) for x in xs])
    tolerance = 30 * assertions.tolerance(x.dtype)
    batched = jax.vmap(gradient)
    assert_close(jax.jit(batched)(xs), single, atol=tolerance)
    assert_close(jax.jit(batched)(xs[:1]), single[:1], atol=tolerance)


@each("mode", ["smooth", "c0"], fast=("smooth",))
def test_jit_changes_nothing(mode):
    def gradient(z, softness):
        def total(z, softness):
            return jnp.sum(solve(SimplexProjection(z, softness), mode).value ** 2)

        return jax.grad(total, (0, 1))(z, softness)

    args = (jnp.asarray(_z), jnp.asarray(0.9))
    for a, b in zip(gradient(*args), jax.jit(gradient)(*args), strict=True):
        assert_close(a, b, atol=1e-6)


@each(
    "mode",
    ["smooth", "c0", "c2", "cubic", "pseudohuber"],
    fast=("smooth", "c0"),
)
def test_gradients_stay_finite(mode):
    """At ties, at spreads of 1e6, next to hard, and with a single candidate."""
    z = [
        [0.0, 0.0, 0.0, 0.0],
        [1.0, 0.0, 1.0, 0.0],
        [1e6, -1e6, 3.0, 4.0],
        [0.3, 0.2, 0.1, 0.30001],
        [0.0, 1.0, 2.0, 3.0],
        [1e6, 1e6, 1e6, -1e6],
    ]
    softness = [[0.1], [1.0], [0.1], [1e-4], [0.5], [1e-4]]
    where = np.ones((6, 4), bool)
    where[4] = [False, True, False, False]
    values = jnp.asarray([3.0, 1.0, 0.0, -2.0])

    @jax.jit
    def derivatives(z, softness, values):
        def total(z, softness, values):
            solution = solve(SimplexProjection(z, softness, where), mode)
            return jnp.sum(solution.expectation(values)) + jnp.sum(solution.value**2)

        gradient = jax.grad(total, (0, 1, 2))
        return gradient(z, softness, values), jax.hessian(total)(z, softness, values)

    first, second = derivatives(jnp.asarray(z), jnp.asarray(softness), values)
    for out in (*first, second):
        assert np.all(np.isfinite(out))
    # What is masked has no influence.
    assert np.all(np.asarray(first[0])[~where] == 0)
    assert np.all(np.asarray(first[0])[4] == 0)


@pytest.mark.parametrize("name", ["simplex", "simplex_masked", "sorted_queries"])
@pytest.mark.parametrize("mode", ["smooth", "c2"])
def test_default_jacobian_of_a_dual(name, mode, x64):
    """A dense linear solve agrees with the closed form of scalar duals."""
    (case,) = pick(PROBLEMS, name)
    problem = case.make({k: jnp.asarray(v) for k, v in case.arrays.items()})
    regularizer = get_regularizer(mode)

    @jax.jit
    def tangents(shift):
        dual = solve(problem, regularizer).dual
        return (
            linear_solve(Problem.jacobian(problem, dual, regularizer), shift),
            linear_solve(problem.jacobian(dual, regularizer), shift),
        )

    shape = jax.eval_shape(lambda: solve(problem, regularizer).dual).shape
    general, scalar = tangents(jnp.asarray(inputs.rng("shift").normal(size=shape)))
    assert np.all(np.abs(scalar) > 1e-3)
    assert_close(general, scalar, atol=1e-10)


@each(
    "name",
    ["simplex", "transport", "permutahedron", "linear_program"],
    fast=("simplex",),
)
def test_a_linear_solver_of_the_users_is_taken(name, x64):
    """By every problem, with the same derivative."""
    (case,) = pick(PROBLEMS, name)
    arrays = {k: jnp.asarray(v) for k, v in case.arrays.items()}

    @jax.jit
    def gradients(arrays):
        def total(arrays, linear_solver):
            found = solve(case.make(arrays), "c1", None, linear_solver)
            return jnp.sum(jnp.sin(jnp.arange(found.value.size) + found.value.ravel()))

        other = lx.AutoLinearSolver(well_posed=None)
        return [jax.grad(total)(arrays, solver) for solver in (None, other)]

    for a, b in zip(*map(jax.tree.leaves, gradients(arrays)), strict=True):
        assert_close(a, b, atol=1e-8)
