"""softjax.numpy, softjax.lax and softjax.nn: a walk over all names of JAX's modules."""

import ast
import doctest
import inspect
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import namespaces
import numpy as np
import pytest
from parametrize import each

import softjax as sj
import softjax.numpy as snp
from softjax import _surrogates

MODULES = {
    "numpy": (sj.numpy, jnp, _surrogates.NUMPY),
    "lax": (sj.lax, jax.lax, _surrogates.LAX),
    "nn": (sj.nn, jax.nn, _surrogates.NN),
}
NAMES = [f"{module}.{name}" for module, (*_, t) in MODULES.items() for name in t]


def pair(label):
    """Our function and JAX's."""
    module, _, name = label.partition(".")
    ours, theirs, _ = MODULES[module]
    return getattr(ours, name), getattr(theirs, name)


@pytest.mark.parametrize("module", MODULES)
def test_every_name_is_there(module):
    """Every name is there: JAX's own object where there is no surrogate."""
    ours, theirs, table = MODULES[module]
    names = {name for name in dir(theirs) if not name.startswith("_")}
    assert set(table) <= names
    assert names == set(dir(ours)) == set(ours.__all__)
    for name in names:
        same = getattr(ours, name) is getattr(theirs, name)
        assert same == (name not in table), name
    assert getattr(ours, next(iter(table))) is getattr(ours, next(iter(table)))
    for name in ("no_such_name", "_private"):
        with pytest.raises(AttributeError, match=name):
            getattr(ours, name)


@pytest.mark.parametrize("module", MODULES)
def test_type_checkers_know_what_takes_more(module):
    """Names in the block for them are those of the table."""
    ours, _, table = MODULES[module]
    body = ast.parse(Path(ours.__file__).read_text()).body
    (block,) = (part for part in body if isinstance(part, ast.If))
    declared = [p.target.id for p in block.body if isinstance(p, ast.AnnAssign)]
    assert declared == sorted(table)


def test_import_is_lazy():
    code = (
        "import sys, softjax.numpy as snp, jax.numpy as jnp\n"
        "assert snp.sum is jnp.sum and 'softjax._api' not in sys.modules\n"
        "assert snp.max is not jnp.max and 'softjax._api' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("label", NAMES)
def test_signatures(label):
    """All parameters of JAX's function, in order, with the defaults; then ours."""
    ours, theirs = pair(label)
    shown = inspect.signature(ours).parameters
    assert ours.__name__ == label.rpartition(".")[2]
    if isinstance(theirs, jnp.ufunc):
        assert list(shown)[:4] == ["x", "y", "out", "where"]
        return
    own = [p for p in shown.values() if p.name in inspect.signature(theirs).parameters]
    assert own == list(inspect.signature(theirs).parameters.values())
    positional = [p for p in shown.values() if p.kind is not p.KEYWORD_ONLY]
    assert all(p in own for p in positional)


def agree(found, expected):
    """Equal values; soft indices are those of integers."""
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    for found, expected in pairs:
        expected = np.asarray(expected)
        if found.shape != expected.shape:
            expected = np.eye(found.shape[-1])[expected]
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)


def test_every_surrogate_has_samples():
    assert {sample.label for sample in namespaces.SAMPLES} == set(NAMES)


@each("sample", namespaces.SAMPLES, fast=namespaces.HALF)
def test_hard_mode_is_that_of_jax(sample):
    """Values, axes, `keepdims`, masks, `initial`, infinities and ties."""
    ours, theirs = pair(sample.label)
    has_mode = "mode" in inspect.signature(ours).parameters
    keywords = dict(soft_mode="hard") if has_mode and not sample.given else {}
    given = sample.given or sample.args
    found = ours(*given, **sample.keywords, **keywords)
    expected = theirs(*sample.args, **sample.keywords)
    agree(found, expected)
    if keywords:
        with sj.defaults(mode="hard"):
            agree(ours(*given, **sample.keywords), expected)


@each("sample", namespaces.SAMPLES, fast=namespaces.FEW)
def test_gradients(sample):
    """Finite, and not zero, with respect to what decides that a call is soft."""
    ours, _ = pair(sample.label)
    args = list(sample.given or sample.args)
    if sample.given:  # what is soft, in the place of 0 and 1
        args[sample.moved] = jax.tree.map(lambda p: 0.1 + 0.8 * p, args[sample.moved])

    def total(x):
        args[sample.moved] = x
        leaves = jax.tree.leaves(ours(*args, **sample.keywords))
        parts = (y * jnp.cos(1 + jnp.arange(y.size)).reshape(y.shape) for y in leaves)
        return sum(jnp.sum(y) for y in parts)

    point = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), args[sample.moved])
    for gradient in jax.tree.leaves(jax.grad(total)(point)):
        assert np.all(np.isfinite(gradient))
        assert np.any(gradient != 0)


@pytest.mark.parametrize("module", MODULES)
def test_examples(module):
    words, namespace = MODULES[module][0].__doc__, dict(jax=jax, jnp=jnp)
    example = doctest.DocTestParser().get_doctest(words, namespace, module, None, 0)
    assert example.examples
    with jnp.printoptions(precision=3, suppress=True):
        assert not doctest.DocTestRunner().run(example).failed


def test_integers_and_booleans_are_those_of_jax():
    """Nothing is soft about them: the types too are JAX's."""
    n, flags = jnp.asarray([3, -1, 2]), jnp.asarray([True, False, True])
    for name, *args in (
        *(("sort", n), ("argmax", n), ("abs", n), ("greater", n, 1), ("median", n)),
        *(("clip", n, 0, 2), ("maximum", n, 0), ("floor", n), ("round", n)),
        *(("where", flags, n, 0), ("where", flags, n / 2, jnp.inf), ("all", flags)),
        *(("take", n / 2, jnp.asarray([0, 2])), ("logical_and", flags, n > 0)),
        *(("searchsorted", jnp.sort(n), 2), ("bincount", n + 1), ("isclose", n, n)),
        *(("select", [flags], [n]), ("abs", n + 1j), ("equal", n / 2, n + 1j)),
        ("choose", jnp.asarray([1, 0, 1]), [n, -n]),
        ("take_along_axis", n / 2, jnp.argsort(n)),
    ):
        found, expected = getattr(snp, name)(*args), getattr(jnp, name)(*args)
        assert found.dtype == expected.dtype, name
        np.testing.assert_array_equal(found, expected)
    assert snp.sort(n, softness=0.5).dtype == n.dtype
    # One float is enough.
    assert snp.greater(n, 1.5).dtype == jnp.float32


X = jnp.asarray([0.2, 1.0, 0.7])


def test_equality_of_arrays():
    nan = jnp.asarray([0.2, jnp.nan])
    for args in ((X, X), (X, X[:2]), (nan, nan), (nan, nan, True)):
        expected = jnp.array_equal(*args)
        np.testing.assert_array_equal(snp.array_equal(*args, mode="hard"), expected)
    np.testing.assert_allclose(snp.array_equal(X, X), 1, atol=1e-6)
    np.testing.assert_allclose(snp.array_equal(nan, nan, True), 1, atol=1e-6)
    assert snp.array_equal(X, X[:2]) == 0
    found = snp.allclose(X, X + 0.2, atol=0.3)
    np.testing.assert_allclose(found, sj.all(sj.isclose(X, X + 0.2, atol=0.3)))


def test_names_of_keywords():
    """JAX's meaning wins, and the long names are understood everywhere."""
    keywords = dict(method="lower", soft_method="softsort")
    found = snp.quantile(X, 0.6, **keywords)
    expected = sj.quantile(X, 0.6, quantile_method="lower", method="softsort")
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(snp.max(X, soft_method="ot"), sj.max(X, method="ot"))
    np.testing.assert_array_equal(snp.sign(X, soft_mode="c0"), sj.sign(X, mode="c0"))
    take = snp.take(X, snp.argmax(X), mode="clip", fill_value=0)
    np.testing.assert_array_equal(take, sj.max(X))
    where = snp.where(snp.greater(X, 0.5), X, 0.0)
    np.testing.assert_array_equal(where, sj.where(sj.greater(X, 0.5), X, 0.0))
    levels = jnp.asarray([-1.0, 0.5, 2.0])
    found = snp.take(levels, snp.digitize(X, X[:2]))
    expected = sj.take(levels, sj.digitize(X, X[:2], as_index=True))
    np.testing.assert_array_equal(found, expected)
    count = snp.searchsorted(levels, X, as_index=False)
    np.testing.assert_array_equal(count, sj.searchsorted(levels, X))
    assert snp.sort is snp.sort
    np.testing.assert_array_equal(jax.jit(sj.st(snp.sort))(X), jnp.sort(X))
    np.testing.assert_array_equal(jax.vmap(snp.max)(X[None]), sj.max(X)[None])


def test_methods_of_ufuncs():
    x = jnp.stack([X, -X])
    for reduce, expected in (
        (snp.maximum.reduce(x), sj.max(x, 0)),
        (snp.minimum.reduce(x, axis=1, mode="c0"), sj.min(x, 1, mode="c0")),
        (snp.maximum.accumulate(x, axis=1), sj.cummax(x, 1)),
        (snp.logical_or.reduce(snp.greater(x, 0.5)), sj.any(sj.greater(x, 0.5), 0)),
        (snp.minimum.outer(X, X), sj.minimum(X[:, None], X)),
    ):
        np.testing.assert_allclose(reduce, expected, atol=1e-6)
    assert snp.maximum.reduceat == jnp.maximum.reduceat
    assert snp.maximum.nin == 2


def test_soft_control_flow():
    p = sj.greater(0.1, 0.0)
    found = sj.lax.cond(p, lambda x: (x, 1.0), lambda x: (-x, 0.0), X)
    np.testing.assert_allclose(found[0], (2 * p - 1) * X, atol=1e-6)
    np.testing.assert_allclose(found[1], p)
    index = jnp.asarray([0.25, 0.75, 0.0])
    branches = [jnp.sum, jnp.min, jnp.max]
    found = sj.lax.switch(index, branches, X)
    np.testing.assert_allclose(found, 0.25 * 1.9 + 0.75 * 0.2, atol=1e-6)
    for fn, *args in (
        (sj.lax.cond, p, jnp.sum, jnp.max),
        (sj.lax.switch, index, branches),
    ):
        np.testing.assert_array_equal(fn(*args, operand=X), fn(*args, X))
    keys, values = sj.lax.sort((X, 2 * X), num_keys=1)
    np.testing.assert_allclose(values, 2 * keys, atol=1e-6)


ERRORS = [
    (lambda: snp.sort(X, order="x"), NotImplementedError, "order must be None"),
    (lambda: snp.max(X, out=X), NotImplementedError, "numpy.max: out must be None"),
    (lambda: snp.sort(X, -1, -1), TypeError, "positional"),
    (lambda: snp.sort(X, a=X), TypeError, "multiple values"),
    (lambda: snp.sort(X, width=1), TypeError, r"sort: .*'width'.* soft.*mode"),
    (lambda: snp.sort(), TypeError, "argument"),
    (lambda: snp.sign(X, mode="c0", soft_mode="c1"), TypeError, "same keyword"),
    (lambda: snp.sort(X, softness=-1), ValueError, "softness"),
    (lambda: snp.where(snp.greater(X, 0)), TypeError, "None"),
    (lambda: snp.take(X, X[:2]), ValueError, "soft index"),
    (lambda: sj.lax.sort((X, X), num_keys=2), NotImplementedError, "num_keys"),
    (lambda: sj.lax.switch(X, []), ValueError, "at least one branch"),
    (lambda: sj.lax.select_n(X, X, X, X), ValueError, "3 cases"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def quantizer(np_like):
    """A newcomer's program, written for either module: what it fits is its levels."""

    def predict(parameters, x):
        scaled = x / np_like.median(np_like.abs(x - np_like.median(x)))
        index = np_like.floor(np_like.clip(scaled * 2 + 2, 0.0, 3.99))
        loud = np_like.greater(np_like.abs(x), parameters["threshold"])
        return np_like.where(loud, index * parameters["gain"], 0.0)

    return predict


def test_a_program_of_a_newcomer_trains():
    """A threshold that has no gradient with `jax.numpy`, and is found with ours."""
    x = jnp.asarray(np.random.default_rng(0).normal(size=64), jnp.float32)
    wanted = dict(threshold=jnp.asarray(0.8), gain=jnp.asarray(1.5))
    target = quantizer(jnp)(wanted, x)

    def loss(parameters, np_like):
        return jnp.mean((quantizer(np_like)(parameters, x) - target) ** 2)

    start = dict(threshold=jnp.asarray(0.2), gain=jnp.asarray(1.0))
    assert jax.grad(loss)(start, jnp)["threshold"] == 0

    @jax.jit
    def train(parameters):
        def step(parameters, _):
            gradient = jax.grad(loss)(parameters, snp)
            return jax.tree.map(lambda p, g: p - 0.05 * g, parameters, gradient), None

        return jax.lax.scan(step, parameters, length=300)[0]

    found = train(start)
    assert abs(found["threshold"] - wanted["threshold"]) < 0.1
    assert loss(found, jnp) < 0.1 * loss(start, jnp)
