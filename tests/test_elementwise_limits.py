"""Elementwise operators and comparisons: limits, invariants, types and errors."""

import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import REGULARIZERS
from parametrize import each, pick

import softjax as sj

N = 12
FAST = ("smooth",)
CASES = pick(
    REGULARIZERS, *FAST, "c0", "c1", "cubic", "quintic", "pseudohuber", "user_link"
)

# name -> (soft, hard), of x and y
EXTREMA = {
    "maximum": (sj.maximum, jnp.maximum),
    "minimum": (sj.minimum, jnp.minimum),
    "fmax": (sj.fmax, jnp.fmax),
    "fmin": (sj.fmin, jnp.fmin),
}
BINARY = {
    "greater": (sj.greater, jnp.greater),
    "greater_equal": (sj.greater_equal, jnp.greater_equal),
    "less": (sj.less, jnp.less),
    "less_equal": (sj.less_equal, jnp.less_equal),
    "equal": (sj.equal, jnp.equal),
    "not_equal": (sj.not_equal, jnp.not_equal),
    "isclose": (sj.isclose, jnp.isclose),
}
UNARY = {
    "abs": (sj.abs, jnp.abs),
    "sign": (sj.sign, jnp.sign),
    "round": (sj.round, jnp.round),
    "heaviside": (sj.heaviside, lambda x: jnp.heaviside(x, 0.5)),
    "relu": (sj.relu, jax.nn.relu),
    "rint": (sj.rint, jnp.rint),
    "floor": (sj.floor, jnp.floor),
    "ceil": (sj.ceil, jnp.ceil),
    "trunc": (sj.trunc, jnp.trunc),
    "relu6": (sj.relu6, jax.nn.relu6),
    "leaky_relu": (sj.leaky_relu, jax.nn.leaky_relu),
    "hard_tanh": (sj.hard_tanh, jax.nn.hard_tanh),
    "hard_sigmoid": (sj.hard_sigmoid, jax.nn.hard_sigmoid),
    "clip": (
        lambda x, **kw: sj.clip(x, -0.5, 1.25, **kw),
        lambda x: jnp.clip(x, -0.5, 1.25),
    ),
}


@functools.cache
def compiled(mode):
    """All operators and the sum of their gradients, as one program."""

    def fn(x, y, softness):
        keywords = dict(softness=softness, mode=mode)
        out = {name: soft(x, **keywords) for name, (soft, _) in UNARY.items()}
        pairs = EXTREMA | BINARY
        out |= {name: soft(x, y, **keywords) for name, (soft, _) in pairs.items()}
        out["minus_heaviside"] = sj.heaviside(-x, **keywords)
        out["minus_relu"] = sj.relu(-x, **keywords)
        if mode != "hard":
            out["gated_relu"] = sj.relu(x, gated=True, **keywords)
        return sum(map(jnp.sum, out.values())), out

    return jax.jit(jax.grad(fn, (0, 1, 2), has_aux=True))


# Eighths, so that ties and halves are frequent; and far from zero.
whole = hnp.arrays(np.int32, N, elements=st.integers(-32, 32))
scales = st.sampled_from([1.0, 1e-3, 1e6])
inputs = st.builds(lambda w, s: (w / 8 * s).astype(np.float32), whole, scales)
softnesses = st.sampled_from([1e-4, 1e-2, 0.1, 0.5, 3.0, 100.0]).map(np.float32)


@pytest.mark.defaults
@each("case", CASES, fast=FAST)
@hypothesis.given(x=inputs, y=inputs, softness=softnesses)
def test_invariants(case, x, y, softness):
    x = np.sort(x)
    gradients, out = compiled(case.mode)(x, y, softness)
    out = {name: np.asarray(value) for name, value in out.items()}
    for value in (*gradients, *out.values()):
        assert np.all(np.isfinite(value))
    # Probabilities, whose complements are exact to a unit of rounding.
    for name in ("heaviside", "hard_sigmoid", *BINARY):
        assert np.all((out[name] >= 0) & (out[name] <= 1)), name
    half = out["heaviside"] + out["minus_heaviside"]
    np.testing.assert_allclose(half, 1, atol=1e-6)
    np.testing.assert_allclose(out["greater"] + out["less"], 1, atol=1e-6)
    np.testing.assert_allclose(out["equal"] + out["not_equal"], 1, atol=1e-6)
    np.testing.assert_array_equal(out["greater"], out["greater_equal"])
    np.testing.assert_array_equal(out["less"], out["less_equal"])
    np.testing.assert_array_equal(out["equal"][x == y], 1)
    np.testing.assert_array_equal(out["isclose"][x == y], 1)
    # Monotone, up to rounding.
    scale = 1 + np.abs(x).max() + np.abs(y).max() + softness
    for name in ("heaviside", "sign", "relu", "clip", "relu6", "leaky_relu", "floor"):
        assert np.all(np.diff(out[name]) >= -3e-6 * scale), name
    # The integrated relu lies above the hard one, the gated one and abs below.
    hard = np.maximum(x, 0)
    rounding = 1e-6 * scale
    assert np.all(out["relu"] >= hard - rounding)
    assert np.all(out["gated_relu"] <= hard + rounding)
    assert np.all(out["maximum"] >= np.maximum(x, y) - rounding)
    np.testing.assert_allclose(
        out["maximum"] + out["minimum"], x + y, atol=2 * rounding
    )
    assert np.all((out["abs"] >= 0) & (out["abs"] <= np.abs(x) + rounding))
    np.testing.assert_allclose(out["relu"] - out["minus_relu"], x, atol=rounding)


@each("case", CASES, fast=FAST)
@hypothesis.given(x=whole, y=whole)
def test_hard_limit(case, x, y):
    """Away from steps, a small softness changes nothing that can be seen."""
    # Odd sixteenths stay clear of 0, of halves, of the bounds and of each other.
    x, y = ((2 * x + 1) / 16).astype(np.float32), (y / 8).astype(np.float32)
    _, out = compiled(case.mode)(x, y, np.float32(1e-4))
    for name, (_, hard) in UNARY.items():
        np.testing.assert_allclose(out[name], hard(x), atol=1e-4, err_msg=name)
    for name, (_, hard) in (EXTREMA | BINARY).items():
        np.testing.assert_allclose(out[name], hard(x, y), atol=1e-4, err_msg=name)


SPECIAL = np.asarray(
    [-np.inf, -2.5, -1.5, -0.5, -0.0, 0.0, 0.25, 0.5, 1.5, 2.5, np.inf, np.nan],
    np.float32,
)


@pytest.mark.parametrize("name", [*UNARY, *EXTREMA, *BINARY])
def test_hard_mode_is_that_of_jax_numpy(name):
    if name in UNARY:
        soft, hard = UNARY[name]
        args = (SPECIAL,)
    else:
        soft, hard = (EXTREMA | BINARY)[name]
        args = tuple(np.meshgrid(SPECIAL, SPECIAL))
    out = soft(*args, mode="hard")
    assert out.dtype == jnp.float32
    np.testing.assert_array_equal(out, np.asarray(hard(*args), np.float32))


@each("case", CASES, fast=FAST)
def test_nan_and_infinity(case):
    """NaN stays where it is; at infinity every operator is hard."""
    y = np.zeros_like(SPECIAL)
    gradients, out = compiled(case.mode)(SPECIAL, y, np.float32(0.1))
    nan, infinite = np.isnan(SPECIAL), np.isinf(SPECIAL)
    for name, value in out.items():
        missing = nan & (name not in ("fmax", "fmin"))
        np.testing.assert_array_equal(np.isnan(value), missing, err_msg=name)
    for name, (_, hard) in UNARY.items():
        np.testing.assert_array_equal(
            np.asarray(out[name])[infinite], hard(SPECIAL[infinite]), err_msg=name
        )
    for name, (_, hard) in (EXTREMA | BINARY).items():
        expected = np.asarray(hard(SPECIAL, y), np.float32)[infinite]
        np.testing.assert_array_equal(
            np.asarray(out[name])[infinite], expected, err_msg=name
        )
    for gradient in gradients[:2]:
        assert np.all(np.isfinite(np.asarray(gradient)[~nan]))


@pytest.mark.parametrize("soft", [sj.abs, sj.hard_silu, sj.equal, sj.isclose])
def test_slopes_at_infinity_are_those_of_the_hard_function(soft):
    """Of differences that overflow, too."""
    x = np.asarray([-np.inf, -3e38, 3e38, np.inf], np.float32)
    args = (x,) if soft in (sj.abs, sj.hard_silu) else (x, -x)
    slopes = [-1, -1, 1, 1] if soft is sj.abs else [0, 0, 1, 1]
    expected = slopes if len(args) == 1 else 0
    by_x = jax.grad(lambda *args: soft(*args).sum())(*args)
    np.testing.assert_array_equal(by_x, np.zeros(4) + expected)
    _, tangent = jax.jvp(soft, args, (np.ones_like(x),) * len(args))
    np.testing.assert_array_equal(tangent, np.zeros(4) + expected)


@pytest.mark.parametrize("soft", [sj.fmax, sj.fmin])
def test_numbers_beside_nan_have_all_of_the_gradient(soft):
    x, y = jnp.asarray([jnp.nan, 1.0]), jnp.asarray([2.0, jnp.nan])
    by_x, by_y = jax.grad(lambda x, y: soft(x, y).sum(), (0, 1))(x, y)
    np.testing.assert_array_equal(by_x, [0, 1])
    np.testing.assert_array_equal(by_y, [1, 0])


@each("mode", ["hard", "smooth", "c1"], fast=("hard", "smooth"))
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "int8", "int32", "bool"])
def test_types(dtype, mode):
    """Types promote as in jax.numpy; 16-bit floats are computed in 32 bits."""
    x = jnp.asarray([0, 1, 1, 0]).astype(dtype)
    wide = x.astype(jnp.float32)
    expected = jnp.mean(x).dtype
    for soft in (sj.heaviside, sj.relu, sj.abs, functools.partial(sj.greater, y=0.5)):
        out = soft(x, mode=mode)
        assert out.dtype == expected
        reference = soft(wide, mode=mode).astype(expected)
        np.testing.assert_array_equal(out, reference)


def test_types_of_two_arguments():
    """Two arrays give the wider float; a Python number takes the array's type."""
    half, single = jnp.ones(3, jnp.bfloat16), jnp.ones(3, jnp.float32)
    assert sj.greater(half, single).dtype == jnp.float32
    assert sj.greater(half, 1.0).dtype == jnp.bfloat16
    assert sj.clip(half, 0, 1).dtype == jnp.bfloat16


@pytest.mark.parametrize("mode", ["smooth", "hard"])
def test_parameters_broadcast_in_every_mode(mode):
    slopes = jnp.asarray([[0.1], [0.5]])
    found = sj.leaky_relu(-1.0, slopes, mode=mode, softness=0.01)
    np.testing.assert_allclose(found, -slopes, atol=1e-6)
    found = sj.isclose(1.0, jnp.ones(3) * 1.5, atol=slopes, mode=mode, softness=1e-3)
    np.testing.assert_allclose(found, (slopes >= 0.5) * jnp.ones(3), atol=0.6)
    assert found.shape == (2, 3)


@pytest.mark.parametrize("decimals", [-300, -40, 40, 300])
def test_decimals_that_no_number_has(decimals):
    x = jnp.asarray([0.0, 1.5, -3e38, jnp.inf])
    expected = x if decimals > 0 else [0, 0, 0, jnp.inf]
    slope = jax.grad(lambda x: sj.round(x, decimals).sum())(x)
    np.testing.assert_array_equal(sj.round(x, decimals), expected)
    np.testing.assert_array_equal(slope[:3], float(decimals > 0))


@pytest.mark.parametrize("mode", ["smooth", "c1"])
def test_softness_is_an_array_or_traced(mode):
    x = np.linspace(-1, 1, 6, dtype=np.float32).reshape(2, 3)
    softness = np.asarray([[0.05], [0.7]], np.float32)
    out = jax.jit(lambda x, s: sj.relu(x, softness=s, mode=mode))(x, softness)
    each_row = [sj.relu(x[i], softness=softness[i], mode=mode) for i in range(2)]
    np.testing.assert_allclose(out, each_row, rtol=1e-6)
    # An array of softness makes an array of a number.
    assert sj.heaviside(0.5, softness=softness, mode=mode).shape == (2, 1)
    mapped = jax.vmap(lambda x, s: sj.relu(x, softness=s, mode=mode))(x, softness)
    np.testing.assert_allclose(mapped, out, rtol=1e-6)
    # What a program finds out about its softness only when it runs is NaN.
    bad = jax.jit(lambda s: sj.heaviside(x, softness=s, mode=mode))(np.float32(-1))
    assert np.all(np.isnan(bad))


def test_empty_and_zero_dimensional():
    for soft, _ in UNARY.values():
        assert soft(jnp.zeros((0, 3))).shape == (0, 3)
        assert soft(0.3).shape == ()
    for soft, _ in (EXTREMA | BINARY).values():
        assert soft(jnp.zeros((2, 1)), jnp.zeros(0)).shape == (2, 0)


ERRORS = [
    (lambda: sj.relu(1.0, softness=0.0), ValueError, "softness must be positive"),
    (lambda: sj.relu(1.0, softness=-1.0), ValueError, "got -1.0"),
    (lambda: sj.relu(1.0, softness=np.nan), ValueError, "softness"),
    (lambda: sj.relu(1.0, softness="0.1"), TypeError, "softness"),
    (lambda: sj.relu(1.0, softness=None), TypeError, "softness"),
    (lambda: sj.relu(1.0, mode="soft"), ValueError, "mode='soft' is not known"),
    (lambda: sj.relu(1.0, mode=3), TypeError, "mode must be a name"),
    (lambda: sj.relu("x"), TypeError, "x must be an array of real numbers"),
    (lambda: sj.relu(1j), TypeError, "complex"),
    (lambda: sj.abs(1.0, mode="gated_c1"), ValueError, "Use mode='c1' here"),
    (lambda: sj.sigmoidal(1.0, mode="hard"), ValueError, "softjax.heaviside"),
    (lambda: sj.softrelu(1.0, mode="hard"), ValueError, "softjax.relu"),
    (lambda: sj.isclose(1.0, 1.0, rtol="a"), TypeError, "rtol must be a number or an"),
    (lambda: sj.leaky_relu(1.0, 1j), TypeError, "negative_slope.*complex"),
    (
        lambda: sj.leaky_relu(jnp.ones(2), jnp.ones(3)),
        ValueError,
        r"broadcast together: x \(2,\), negative_slope \(3,\)",
    ),
    (lambda: sj.round(1.0, neighbor_radius=-1), ValueError, "neighbor_radius"),
    (lambda: sj.round(1.0, neighbor_radius=1.5), TypeError, "neighbor_radius"),
    (
        lambda: sj.greater(jnp.ones(2), jnp.ones(3)),
        ValueError,
        "shapes must broadcast together: x",
    ),
    (
        lambda: sj.relu(jnp.ones(2), softness=jnp.ones(3)),
        ValueError,
        "softness",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()
