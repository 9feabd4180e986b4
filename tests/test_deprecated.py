"""Names of the last release: they work, warn, and say what to write today."""

import importlib

import jax.numpy as jnp
import numpy as np
import pytest

import softjax as sj
import softjax_solvers
from softjax_solvers import _deprecated

MODULES = (sj.solvers, softjax_solvers)


@pytest.mark.parametrize("name", _deprecated.SOLVERS)
@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_former_names(module, name):
    former = _deprecated.SOLVERS[name]
    with pytest.warns(DeprecationWarning, match=name) as caught:
        found = getattr(module, name)
    (warning,) = caught
    assert str(warning.message) == (
        f"{module.__name__}.{name} is deprecated and goes in 0.3.0: use "
        f"{former.instead}."
    )
    assert warning.filename == __file__  # where the name is used
    place, _, new = former.path.partition(":")
    assert found is getattr(importlib.import_module(place), new)
    assert name not in dir(module)


def test_other_names():
    for module in MODULES:
        with pytest.raises(AttributeError, match=f"{module.__name__}.*'nothing'"):
            _ = module.nothing


def test_former_calls(monkeypatch):
    """Calls of another shape reach today's with all that they are given."""

    def evaluate(problem, regularizer, readout, *solvers, **keywords):
        return problem, regularizer, readout, solvers, keywords

    monkeypatch.setattr(_deprecated, "evaluate", evaluate)
    x, rest = np.arange(3.0), ((), dict(solver="newton"))
    primal = _deprecated.primal(1, "c0", solver="newton")
    assert primal == (1, "c0", sj.solvers.Primal(), *rest)
    for call, readout in {
        _deprecated.expectation: sj.solvers.Means,
        _deprecated.column_means: sj.solvers.ColumnMeans,
    }.items():
        problem, mode, found, *others = call(1, "c0", x, solver="newton")
        assert (problem, mode, *others) == (1, "c0", *rest)
        assert type(found) is readout
        assert found.values is x


@pytest.mark.slow
def test_former_functions():
    """Former names of what is called in another way today."""
    problem = sj.solvers.SimplexProjection(jnp.array([0.2, 1.0, 0.7]), 0.5)
    values = jnp.array([0.0, 1.0, 2.0])
    primal = _deprecated.primal(problem, "c0")
    np.testing.assert_allclose(primal, [0, 0.8, 0.2], atol=1e-6)
    mean = _deprecated.expectation(problem, "c0", values, solver="newton")
    np.testing.assert_allclose(mean, 1.2, atol=1e-6)
    rows = sj.solvers.NeuralSortRows(None, jnp.array([0.2, 0.7, 1.0]), 1e-4)
    means = _deprecated.column_means(rows, "smooth", values)
    np.testing.assert_allclose(means, values, atol=1e-6)
    newton = sj.solvers.Newton()
    assert _deprecated.rowwise(newton) is newton
