"""The keyword `weights`: `op(x, weights=k)` is `op(repeat(x, k))` row by row."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import finite_difference
from cases import METHODS, REGULARIZERS
from parametrize import each

import softjax as sj

SIZE = 6
LEVELS = np.array([0.0, 0.3, 1.0])
# No more copies than elements, so that nothing is beyond the first units.
COUNTS = np.array([[1, 2, 0, 1, 0, 2], [0, 3, 0, 0, 1, 1], [0, 0, 0, 2, 0, 0]])
MANY = np.array([[3, 2, 1, 1, 4, 2]])
# Whatever is a value of a row, of units of mass, or of elements.
VALUES = {
    "sort": lambda x, **kw: sj.sort(x, **kw),
    "sort_descending": lambda x, **kw: sj.sort(x, descending=True, **kw),
    "top_k": lambda x, **kw: sj.top_k(x, 2, **kw)[0],
    "max": lambda x, **kw: sj.max(x, axis=-1, keepdims=True, **kw),
    "min": lambda x, **kw: sj.min(x, axis=-1, keepdims=True, **kw),
    "median": lambda x, **kw: sj.median(x, axis=-1, keepdims=True, **kw),
    "quantile": lambda x, **kw: jnp.moveaxis(
        sj.quantile(x, LEVELS, axis=-1, **kw), 0, -1
    ),
}
INDICES = {
    "argsort": lambda x, **kw: sj.argsort(x, **kw),
    "argmax": lambda x, **kw: sj.argmax(x, axis=-1, **kw)[..., None, :],
    "argmin": lambda x, **kw: sj.argmin(x, axis=-1, **kw)[..., None, :],
    "argmedian": lambda x, **kw: sj.argmedian(x, axis=-1, **kw)[..., None, :],
    "argquantile": lambda x, **kw: jnp.moveaxis(
        sj.argquantile(x, LEVELS, axis=-1, **kw), 0, -2
    ),
}
ELEMENTS = {
    "rank": lambda x, **kw: sj.rank(x, **kw),
    "ranking": lambda x, **kw: sj.ranking(x, descending=False, **kw),
}
ASKED = dict(sort_descending="sort", min="max", argmin="argmax", ranking="rank")


def operators(method):
    """The operators whose method takes weights."""
    takes = sj.methods.Method.takes_weights
    if method in METHODS:
        takes = sj.methods.get_method(method).takes_weights
    return {
        name: op
        for name, op in (VALUES | INDICES | ELEMENTS).items()
        if method == "hard" or ASKED.get(name, name) in takes
    }


WEIGHTED = [method for method in METHODS if operators(method)]
# The rows of neuralsort's ranks are those of elements, and not of their copies.
EXCEPT = {("neuralsort", "rank"), ("neuralsort", "ranking")}


def _method(method):
    return {} if method == "hard" else dict(method=method)


def keywords_of(method, mode):
    return dict(mode="hard") if method == "hard" else dict(method=method, mode=mode)


def compute(names, x, direction, weights=None, **keywords):
    """All results, and how they change along a direction."""

    @jax.jit
    def run(x, direction, weights):
        def results(x):
            return {
                name: op(x, weights=weights, **keywords) for name, op in names.items()
            }

        return jax.jvp(results, (x,), (direction,))

    return run(jnp.asarray(x), jnp.asarray(direction), weights)


def assert_copies(method, counts, atol, where=None, **keywords):
    """Values, and derivatives in x, are those of copies."""
    names, keywords = operators(method), keywords | _method(method)
    rng = inputs.rng("copies")
    x, direction = rng.normal(size=(2, *counts.shape))
    hidden = x if where is None else np.where(where, x, np.nan)
    weights = jnp.asarray(counts, float)
    found = compute(names, hidden, direction, weights, where=where, **keywords)
    for row, copies in enumerate(counts):
        if where is not None:
            copies = np.where(where[row], copies, 0)
        owner = np.repeat(np.arange(len(copies)), copies)
        whole = compute(names, x[row, owner], direction[row, owner], **keywords)
        for order, (actual, exact) in enumerate(zip(found, whole, strict=True)):
            for name, out in actual.items():
                if (method, name) in EXCEPT:
                    continue
                out, wanted = np.asarray(out[row]), np.asarray(exact[name])
                if name in INDICES:
                    wanted = wanted @ np.eye(len(copies))[owner]
                if name in ELEMENTS:
                    out = out[owner]
                else:
                    size = min(len(out), len(wanted))
                    out, wanted = out[:size], wanted[:size]
                    if name == "top_k" and len(owner) < 2:
                        continue
                    if name == "sort":  # which ascends
                        wanted = np.asarray(exact[name])[:size]
                np.testing.assert_allclose(
                    out, wanted, atol=atol, rtol=atol, err_msg=f"{name} {row} {order}"
                )


PAIRS = [
    pytest.param(
        method,
        case,
        id=f"{method}-{case.name}",
        marks=[]
        if (method, case.name)
        in {("softsort", "smooth"), ("neuralsort", "c0"), ("softsort", "c1")}
        else [pytest.mark.slow],
    )
    for method in WEIGHTED
    for case in REGULARIZERS
]


@pytest.mark.parametrize(("method", "case"), PAIRS)
def test_whole_weights_are_copies(x64, method, case):
    assert_copies(method, COUNTS, 1e-7, mode=case.regularizer, softness=0.4)


def test_hard_weights(x64):
    assert_copies("hard", COUNTS, 1e-12, mode="hard")


@each("method", WEIGHTED, fast=("softsort",))
def test_standardized_weights(x64, method):
    assert_copies(method, COUNTS, 1e-7, standardize=True)


@each("method", WEIGHTED, fast=("neuralsort",))
def test_weights_and_masks(x64, method):
    where = COUNTS != 3
    where[2, 0] = False
    assert_copies(method, COUNTS, 1e-7, where, softness=0.3)


@pytest.mark.parametrize(("method", "case"), PAIRS)
def test_derivatives_in_weights(x64, method, case):
    """Right to finite differences, of x and weights together."""
    names = operators(method)
    rng = inputs.rng("moves")
    x, *moves = rng.normal(size=(3, SIZE))
    # Such that no end of an element is one of a unit of mass.
    weights = np.array([0.713, 1.337, 0.457, 0.419, 0.857, 1.619])
    keywords = dict(mode=case.regularizer, softness=0.4, **_method(method))

    @jax.jit
    def run(x, weights):
        results = {
            name: op(x, weights=weights, **keywords) for name, op in names.items()
        }
        return {n: jnp.where(jnp.isfinite(v), v, 0) for n, v in results.items()}

    args, tangents = (x, weights), tuple(0.1 * m for m in moves)
    _, actual = jax.jvp(run, tuple(map(jnp.asarray, args)), tangents)
    expected = finite_difference(run, args, tangents)
    for name in actual:
        np.testing.assert_allclose(
            actual[name], expected[name], atol=3e-6, err_msg=name
        )


@each("method", [*WEIGHTED, "hard"], fast=("softsort", "hard"))
def test_continuous_in_a_weight(x64, method):
    """Through 0 and whole numbers: no step is larger than a slope allows."""
    names = {
        name: op
        for name, op in operators(method).items()
        if name not in ("sort", "sort_descending", "argsort", "top_k")
    }
    x = jnp.asarray(inputs.rng("sweep").normal(size=SIZE))
    rest = jnp.asarray([1.0, 0.6, 0.0, 0.4, 1.5, 1.0])
    keywords = keywords_of(method, "c0" if method == "neuralsort" else "smooth")

    @jax.jit
    @jax.vmap
    def run(weight):
        weights = rest.at[2].set(weight)
        return {n: op(x, weights=weights, **keywords) for n, op in names.items()}

    weight = jnp.linspace(0, 3, 601)
    results = run(weight)
    for name, values in results.items():
        steps = np.abs(np.diff(np.asarray(values).reshape(601, -1), axis=0))
        assert np.all(np.isfinite(steps)), name
        # A maximum jumps to an element that comes to be there, and its share does too.
        steps = steps[1:] if name in ("max", "min", "argmax", "argmin") else steps
        assert steps.max() < (0.3 if name in ("rank", "ranking") else 0.05), name
