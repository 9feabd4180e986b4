"""Sorting networks of soft exchanges, against one exchange after the other in NumPy."""

import functools

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
from assertions import assert_close, finite_difference
from cases import REGULARIZERS
from parametrize import each, pick

import softjax as sj
from softjax.methods import SortingNetwork
from softjax.methods._networks import OddEven

NETWORKS = ["bitonic", "odd_even"]
SIZES = [1, 2, 3, 5, 8, 13]
# Which of them are not slow.
FAST_SIZES = {"bitonic": (1, 13), "odd_even": (5,)}
CASES = pick(REGULARIZERS, "smooth", "c0", "c2", "quintic", "pseudohuber")
(SMOOTH,) = pick(REGULARIZERS, "smooth")
SOFTNESS = 0.3

each_network = each("network", NETWORKS, fast=("bitonic",))
each_size = pytest.mark.parametrize(
    ("network", "n"),
    [
        pytest.param(
            network,
            n,
            id=f"{network}-{n}",
            marks=[] if n in FAST_SIZES[network] else [pytest.mark.slow],
        )
        for network in NETWORKS
        for n in SIZES
    ],
)


@functools.cache
def compiled(network: str, mode="smooth"):
    """Everything that is descending, and the derivative of a sum of sorted values."""
    keywords = dict(mode=mode, method=SortingNetwork(network), descending=True)

    @jax.jit
    def run(x, softness):
        def total(x):
            values = sj.sort(x, softness=softness, **keywords)
            return jnp.sum(values), values

        gradient, values = jax.grad(total, has_aux=True)(x)
        index = sj.argsort(x, softness=softness, **keywords)
        rank = sj.rank(x, softness=softness, **keywords)
        return dict(values=values, index=index, rank=rank, gradient=gradient)

    return run


def rows(n: int):
    """Apart by 1/2 at least but for some ties, of both signs and far from zero."""
    rng = inputs.rng("network", n)
    apart = rng.permuted(np.tile(np.arange(n) / 2, (4, 1)), axis=-1)
    apart[1] -= 100
    apart[2] += 100
    apart[3] = -np.sort(-apart[3])
    ties = np.stack([np.full(n, -0.5), np.round(rng.normal(size=n))])
    return jnp.asarray(np.concatenate([apart, ties]))


@pytest.mark.x64
@each_size
def test_against_the_reference(network, n):
    """Padding mixes with nothing, and derivatives do not see it."""
    x = rows(n)
    out = compiled(network)(x, SOFTNESS)
    index = oracles.sorting_network_oracle(x, SOFTNESS, SMOOTH, network)
    wide = x.dtype == np.float64
    atol = 1e-9 if wide else 1e-5
    assert_close(out["index"], index, atol=atol)
    values = np.einsum("...ij,...j->...i", index, np.asarray(x, np.float64))
    assert_close(out["values"], values, atol=1e-9 if wide else 1e-4)
    # As many places as elements, each filled once.
    for axis in (-1, -2):
        assert_close(out["index"].sum(axis), np.ones(x.shape), atol=atol)
    positions = np.arange(1, n + 1)
    assert_close(out["rank"], positions @ np.asarray(out["index"]), atol=10 * atol)
    # Exchanges keep the sum, whatever they do to its parts.
    assert_close(out["gradient"], np.ones(x.shape), atol=10 * atol)


@each_size
def test_hard_limit(network, n):
    x = rows(n)
    out = compiled(network)(x, 1e-3)
    assert_close(out["values"], -np.sort(-np.asarray(x), axis=-1), atol=1e-4)
    order = np.argsort(-np.asarray(x[:4]), axis=-1)
    assert_close(out["index"][:4], np.eye(n)[order].astype(np.float32), atol=1e-5)
    assert_close(out["rank"][:4], np.argsort(order, axis=-1) + 1.0, atol=1e-4)


@pytest.mark.slow
def test_other_operators_mix_rows():
    """Operators mix rows of soft sorts: of x descending, of minus x for a minimum."""
    rng = inputs.rng("network", "rows")
    levels = np.asarray([0.0, 0.2, 0.75, 1.0])
    n = 6
    x = rng.normal(size=(2, n)).astype(np.float32)
    keywords = dict(softness=SOFTNESS, method="sorting_network")

    @jax.jit
    def run(x):
        along = keywords | dict(axis=-1)
        values, index = sj.top_k(x, 3, **keywords)
        return [
            (sj.argmax(x, **along), sj.max(x, **along)),
            (sj.argmin(x, **along), sj.min(x, **along)),
            (sj.argmedian(x, **along), sj.median(x, **along)),
            (index, values),
            (sj.argquantile(x, levels, **along), sj.quantile(x, levels, **along)),
        ]

    index = oracles.sorting_network_oracle(x, SOFTNESS, SMOOTH)
    opposite = oracles.sorting_network_oracle(-x, SOFTNESS, SMOOTH)
    weights = [np.interp(levels * (n - 1), range(n), row) for row in np.eye(n)]
    expected = [
        index[:, 0],
        opposite[:, 0],
        (index[:, (n - 1) // 2] + index[:, n // 2]) / 2,
        index[:, :3],
        np.einsum("iq,bij->qbj", weights[::-1], index),
    ]
    for (found, values), rows in zip(run(x), expected, strict=True):
        assert_close(found, rows, atol=1e-5)
        own = x[:, None] if rows.shape[:-1] == (2, 3) else x
        assert_close(values, np.sum(rows * own, axis=-1), atol=1e-5)


@each("case", CASES, fast=("c0",))
@each_network
def test_absent_candidates(case, network):
    """The others are as without -inf, wherever it stands."""
    x = np.asarray(
        [
            [0.5, -np.inf, 1.5, -np.inf, 1.0],
            [-np.inf, -101.0, -100.5, -100.0, -np.inf],
            [-np.inf, -np.inf, -np.inf, -np.inf, 7.0],
            [2.0, 1.0, 0.5, 1.0, -np.inf],
            [-np.inf] * 5,
        ],
        np.float32,
    )
    there = np.isfinite(x)
    keywords = dict(softness=SOFTNESS, mode=case.mode, method=SortingNetwork(network))

    @jax.jit
    def run(x):
        def total(x):
            values, index = sj.top_k(x, 3, **keywords)
            return jnp.sum(jnp.where(jnp.isfinite(values), values, 0)), (values, index)

        gradient, (values, index) = jax.grad(total, has_aux=True)(x)
        return sj.max(x, axis=-1, **keywords), values, index, gradient

    largest, values, index, gradient = map(np.asarray, run(x))
    expected = oracles.sorting_network_oracle(x, SOFTNESS, case, network, there)
    expected = expected[:, :3]
    finite = np.where(there, x, 0).astype(np.float64)
    means = np.einsum("bij,bj->bi", expected, finite)
    filled = np.arange(3) < there.sum(-1, keepdims=True)
    np.testing.assert_array_equal(values, np.where(filled, values, -np.inf))
    np.testing.assert_array_equal(largest, values[:, 0])
    assert_close(np.where(filled, values, 0), np.where(filled, means, 0), atol=1e-4)
    assert_close(index[filled], expected[filled], atol=1e-5)
    # Beyond the last one: any of the absent.
    for row, place in np.argwhere(~filled):
        share = ~there[row] / (~there[row]).sum()
        assert_close(index[row, place], share, atol=1e-6)
    assert np.all(gradient[~there] == 0)
    assert np.all(np.isfinite(gradient))
    # Where all that are there are among the largest, their sum is that of all.
    assert_close(gradient[:3], there[:3].astype(np.float32), atol=1e-5)


@each("case", pick(REGULARIZERS, "smooth", "c2", "pseudohuber"), fast=())
@each("network", NETWORKS)
def test_derivatives(case, network, x64):
    """Derivatives of values, indices and ranks at once, in the input and softness."""
    n = 5
    rng = inputs.rng("network", "derivatives")
    x, v = rng.normal(size=(2, n))
    weights = rng.normal(size=(n + 2, n))
    keywords = dict(mode=case.mode, method=SortingNetwork(network), descending=True)

    def combine(values, index, rank):
        return weights[0] @ values + weights[1] @ rank + (weights[2:] * index).sum()

    @jax.jit
    def gradient(x, softness):
        def fn(x, softness):
            own = keywords | dict(softness=softness)
            return combine(sj.sort(x, **own), sj.argsort(x, **own), sj.rank(x, **own))

        return jax.grad(fn, (0, 1))(x, softness)

    def truth(x, softness):
        index = oracles.sorting_network_oracle(x, softness, case, network)
        return combine(index @ x, index, np.arange(1, n + 1) @ index)

    by_x, by_softness = gradient(x, SOFTNESS)
    for move, dot in ((v, 0.0), (v, 1.0)):
        expected = finite_difference(truth, (x, SOFTNESS), (move, dot))
        assert_close(by_x @ move + by_softness * dot, expected, atol=1e-6)


@pytest.mark.slow
@each_network
def test_gated_grad_and_standardize(network):
    """The index of keys averages the input, and has a gradient only if it may."""
    x = np.asarray([0.5, -1.0, 2.0, 0.25, 0.75], np.float32)
    keywords = dict(method=SortingNetwork(network), softness=SOFTNESS)

    @jax.jit
    def run(x):
        def values(x, gated_grad):
            return sj.sort(x, standardize=True, gated_grad=gated_grad, **keywords)

        index = sj.argsort(x, standardize=True, **keywords)
        slopes = [jax.jacrev(functools.partial(values, gated_grad=g)) for g in (0, 1)]
        return values(x, False), values(x, True), index, *(slope(x) for slope in slopes)

    closed, opened, index, closed_slope, opened_slope = run(x)
    z = (x - x.mean()) / x.std()
    expected = oracles.sorting_network_oracle(
        -1 / (1 + np.exp(-z)), SOFTNESS, SMOOTH, network
    )
    assert_close(index, expected, atol=1e-5)
    for values in (closed, opened):
        assert_close(values, expected @ x, atol=1e-5)
    assert_close(closed_slope, expected, atol=1e-5)
    assert not np.allclose(opened_slope, expected, atol=1e-3)


def equations(jaxpr) -> int:
    """The number of equations, with those of loops and of functions called."""
    inner = (
        getattr(leaf, "jaxpr", leaf)
        for equation in jaxpr.eqns
        for leaf in jax.tree.leaves(equation.params)
    )
    inside = sum(equations(leaf) for leaf in inner if hasattr(leaf, "eqns"))
    return len(jaxpr.eqns) + inside


@each_network
def test_programs_do_not_grow(network):
    """Rounds are those of a loop, so what is compiled is the same for any size."""
    keywords = dict(method=SortingNetwork(network))

    def total(x):
        index = sj.argsort(x, **keywords)
        ranks = sj.rank(x, **keywords)
        return jnp.sum(jnp.sin(index)) + sj.max(x, **keywords) + ranks[0]

    def size(n):
        return equations(jax.make_jaxpr(jax.grad(total))(jnp.arange(float(n))).jaxpr)

    assert size(8) == size(64) > 100
    assert size(256) == size(1024) > 100


@each("rows", ["one", "mapped", "several"], fast=("one",))
def test_halves_of_one_row_and_of_several(rows):
    """Networks that move entries do so in a kernel of its own for one row."""
    rng = inputs.rng("network", "halves")
    x, v, weights = rng.normal(size=(3, 150))

    def total(x):
        values = sj.sort(x, softness=SOFTNESS, method="sorting_network")
        return jnp.sum(weights.astype(x.dtype) * values), values

    def compute(x):
        return jax.grad(total, has_aux=True)(x)

    def truth(x):
        return oracles.sorting_network_oracle(-x, SOFTNESS, SMOOTH) @ x

    forms = dict(one=compute, mapped=jax.vmap(compute), several=compute)
    there = x if rows == "one" else np.stack([x, -x])
    found = jax.jit(forms[rows])(jnp.asarray(there, jnp.float32))
    gradient, values = found if rows == "one" else [y[0] for y in found]
    assert_close(values, truth(x), atol=1e-5)
    slope = finite_difference(lambda x: weights @ truth(x), (x,), (v,))
    assert_close(gradient @ v, slope, atol=1e-4)


@pytest.mark.slow
def test_second_derivatives_of_halves(x64):
    rng = inputs.rng("network", "halves")
    x, v, weights = rng.normal(size=(3, 150))

    @jax.jit
    @jax.grad
    def gradient(x):
        return weights @ sj.sort(x, softness=SOFTNESS, method="sorting_network")

    _, move = jax.jit(lambda x, v: jax.jvp(gradient, (x,), (v,)))(x, v)
    assert_close(move, finite_difference(gradient, (x,), (v,)), atol=1e-6)


@each("present", [100, 70, 1], fast=("100", "1"))
def test_far_from_zero_and_from_an_outlier(present):
    """Digits of differences are all there where numbers have few left."""
    n = 100
    rng = inputs.rng("network", "far")
    apart = rng.permuted(np.tile(np.arange(n) / 2, (2, 1)), axis=-1)
    x = (2**20 + apart).astype(np.float32)
    x[:, 7] = -(2.0**22)
    x[0, rng.permutation(n)[present:]] = -np.inf
    there = np.isfinite(x)
    keywords = dict(softness=SOFTNESS, method="sorting_network")
    index = jax.jit(lambda x: sj.top_k(x, 3, **keywords)[1])(x)
    expected = oracles.sorting_network_oracle(x, SOFTNESS, SMOOTH, "bitonic", there)
    filled = np.arange(3) < there.sum(-1, keepdims=True)
    assert_close(np.asarray(index)[filled], expected[:, :3][filled], atol=1e-5)


def test_differences_that_overflow():
    """Numbers whose difference exceeds the largest float have their gradient."""

    def total(x):
        return jnp.vdot(jnp.arange(1.0, 5.0), sj.sort(x, method="sorting_network"))

    found = jax.grad(total)(jnp.array([-2.5e38, 0.1, 0.2, 2.5e38]))
    assert_close(found[jnp.array([0, 3])], [1.0, 4.0], atol=1e-6)
    assert_close(found[1] + found[2], 5.0, atol=1e-5)


@pytest.mark.parametrize("solver", ["newton", "closed_form"])
def test_there_is_nothing_to_solve(solver):
    for call in (sj.sort, sj.argmax, sj.rank):
        with pytest.raises(TypeError, match=rf"solver='{solver}'.*sorting_network"):
            call(jnp.ones(3), method="sorting_network", solver=solver)


def test_networks_by_name():
    assert SortingNetwork() == SortingNetwork("bitonic")
    assert SortingNetwork(OddEven()) == SortingNetwork("odd_even")
    assert SortingNetwork("odd_even") != SortingNetwork("bitonic")
    with pytest.raises(ValueError, match=r"network='merge'.*'bitonic', 'odd_even'"):
        SortingNetwork("merge")
    for wrong in (3, None, OddEven):
        with pytest.raises(TypeError, match=r"network.*'bitonic', 'odd_even'"):
            SortingNetwork(wrong)
