"""NeuralSort by windows of neighbours, narrow and wide."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference, tolerance
from cases import REGULARIZERS
from jax.extend.core import jaxprs_in_params
from oracles import neuralsort_oracle, neuralsort_rank_oracle
from parametrize import each, pick

import softjax as sj
from softjax.solvers import NeuralSortRows, get_regularizer, solve
from softjax_solvers._problems.sorted_rows.windows import WindowedRows

SIZE = 400


def _samples():
    rng = inputs.rng("windows")
    return {
        "normal": rng.normal(size=SIZE),
        "ties": np.round(rng.normal(size=SIZE), 2),
        "heavy tails": rng.standard_cauchy(SIZE),
        "equal": np.full(SIZE, 0.3),
        "two clusters": np.repeat([-1.0, 1.0], SIZE // 2)
        + 1e-3 * rng.normal(size=SIZE),
    }


CASES = pick(REGULARIZERS, "smooth", "c0", "c2", "user_link")


@functools.cache
def _compute(name: str):
    (case,) = pick(REGULARIZERS, name)
    keywords = dict(mode=case.mode, method="neuralsort", softness=0.1)
    return jax.jit(
        lambda x: (sj.sort(x, **keywords), sj.rank(x, descending=False, **keywords))
    )


def test_values_come_from_windows():
    """Rows of this size are solved by windows, as the tests in this file assume."""
    support = jnp.linspace(0, 1, SIZE)
    for case in CASES:
        regularizer = get_regularizer(case.mode)
        for where in (None, support < 0.5):
            problem = NeuralSortRows(None, support, 0.1, where)
            assert isinstance(problem.specialize(regularizer), WindowedRows)
        for refused in (
            NeuralSortRows(jnp.arange(2), support, 0.1),
            NeuralSortRows(None, support, 0.1, weights=support),
            NeuralSortRows(None, support[:10], 0.1),
        ):
            assert refused.specialize(regularizer) is refused


@pytest.mark.parametrize("name", list(_samples()))
@each("case", CASES, fast=("smooth", "c2"))
def test_values(case, name):
    x = np.asarray(jnp.asarray(_samples()[name]))
    exact = x.astype(np.float64)
    # Prefix sums over some hundred gaps, over a softness of 0.1.
    atol = 30 * tolerance(x.dtype) * max(1.0, np.max(np.abs(x)))
    ordered, ranks = _compute(case.name)(x)
    expected = neuralsort_oracle(exact, 0.1, case.link) @ exact
    assert_close(ordered, expected, atol=atol)
    ranks_expected = neuralsort_rank_oracle(exact, 0.1, case.link)
    assert_close(ranks, ranks_expected, atol=SIZE * 30 * tolerance(x.dtype))


# By default, only shorter rows are differentiated, in `test_operators.py`: programs of
# long ones take 13 seconds to compile. For windows of SoftSort, sparse ones too, see
# `test_softsort_windows.py`.
@each("case", pick(REGULARIZERS, "smooth", "c2"), fast=())
def test_derivatives(case, x64):
    x = _samples()["normal"]
    rng = inputs.rng("windows", "derivatives")
    weights, direction = rng.normal(size=(2, SIZE))
    direction *= np.min(np.diff(np.sort(x)))
    compute = _compute(case.name)

    @jax.jit
    def total(x):
        return sum(jnp.vdot(weights, out) for out in compute(x))

    gradient = jax.jit(jax.grad(total))
    args, moves = (x,), (direction,)
    forward = jax.jvp(total, args, moves)[1]
    assert_close(forward, finite_difference(total, args, moves), rtol=1e-5)
    assert_close(np.vdot(gradient(x), direction), forward, rtol=1e-9)
    second = jax.jvp(gradient, args, moves)[1]
    assert_close(second, finite_difference(gradient, args, moves), atol=1e-5, rtol=1e-5)


def _predicates(jaxpr) -> list[tuple[int, ...]]:
    """The shapes of what all loops of a program go on by."""
    found = []
    for equation in jaxpr.eqns:
        if equation.primitive.name == "while":
            (predicate,) = equation.params["cond_jaxpr"].out_avals
            found.append(predicate.shape)
        for inner in jaxprs_in_params(equation.params):
            found += _predicates(inner)
    return found


def test_a_batch_by_vmap_stays_one_loop():
    """One for all rows, where a predicate of each would select in every step."""
    samples = _samples()
    x = jnp.asarray(np.stack(list(samples.values())))
    mapped = jax.jit(jax.vmap(_compute("smooth")))
    predicates = _predicates(jax.make_jaxpr(mapped)(x).jaxpr)
    assert predicates
    assert set(predicates) == {()}
    for out, row in zip(zip(*mapped(x), strict=True), x, strict=True):
        for a, b in zip(out, _compute("smooth")(row), strict=True):
            assert_close(a, b, atol=1e-5, rtol=1e-5)


@each("mode", ["smooth", "c1"], fast=())
def test_memory_is_linear(mode):
    """At n = 10,000 a dense matrix would take 4e4 bytes for each element."""
    n = 10_000

    def total(x):
        keywords = dict(mode=mode, method="neuralsort")
        return jnp.sum(sj.sort(x, **keywords) ** 2 + sj.rank(x, **keywords))

    x = jax.ShapeDtypeStruct((n,), jnp.float32)
    memory = jax.jit(jax.grad(total)).lower(x).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 500 * n


# By default, `test_solvers.py` has solvers of SoftSort's rows: the rows of both are
# handed on to a solver in the same place.
@pytest.mark.slow
def test_any_solver_of_the_rows():
    """Solutions of a sparse problem do not depend on who finds them."""
    support = jnp.sort(jnp.asarray(_samples()["normal"]))
    problem = NeuralSortRows(None, support, 0.1)
    rows = solve(problem, "c0", solver="closed_form")
    windows = solve(problem, "c0")
    assert bool(jnp.all(rows.converged))
    assert bool(jnp.all(windows.converged))
    assert_close(rows.dual, windows.dual, atol=1e-4)
    assert_close(rows.value, windows.value, atol=1e-4)
    assert_close(rows.expectation(support), windows.expectation(support), atol=1e-5)


@each("case", pick(REGULARIZERS, "smooth", "c0", "c1"), fast=())
def test_masked_rows(case):
    """Windows of what there is: values and derivatives, no wider for what is not."""
    rng = inputs.rng("windows", "masked")
    where = rng.uniform(size=(2, SIZE)) < np.array([[0.6], [0.95]])
    x, direction = rng.normal(size=(2, 2, SIZE)).astype(np.float32)

    def run(x, direction, where=None):
        def outputs(x):
            keywords = dict(method="neuralsort", mode=case.regularizer, where=where)
            ranks = sj.rank(x, **keywords)
            if where is not None:
                ranks = jnp.where(where, ranks, 0)
            return sj.sort(x, descending=True, **keywords), ranks

        return jax.jvp(outputs, (x,), (direction,))

    hidden = jnp.asarray(np.where(where, x, np.nan))
    found = jax.jit(run)(hidden, jnp.where(where, direction, 0), where)
    for row, here in enumerate(where):
        exact = run(*map(jnp.asarray, (x[row, here], direction[row, here])))
        for order, (actual, wanted) in enumerate(zip(found, exact, strict=True)):
            scale = [1, np.max(np.abs(wanted[1]))][order]
            assert_close(actual[0][row, : here.sum()], wanted[0], atol=3e-5 * scale)
            assert_close(actual[1][row, here], wanted[1], atol=1e-3 * scale)
