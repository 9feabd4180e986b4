"""Value methods have softness in the unit of what is sorted: rows of any scale."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close, finite_difference
from cases import VALUE_METHODS
from parametrize import each

import softjax as sj

MODES = {"fast_soft_sort": ["c0", "smooth", "c1"], "smooth_sort": ["smooth"]}
PAIRS = [(method, mode) for method in VALUE_METHODS for mode in MODES[method]]
# By default one of them: the others take 2 to 5 seconds each.
_PAIRS = [
    pytest.param(*pair, marks=[pytest.mark.slow] * (pair != ("fast_soft_sort", "c0")))
    for pair in PAIRS
]
SCALED = {
    "fast_soft_sort": sj.methods.FastSoftSort,
    "smooth_sort": sj.methods.SmoothSort,
}


def test_millions_at_a_softness_of_a_tenth():
    x = jnp.array([0.0, 1.0, -1.0, 0.5, 0.3]) * 1e6
    out = sj.sort(x, method="fast_soft_sort")
    assert_close(np.asarray(out) / 1e6, [-1.0, 0.0, 0.3, 0.5, 1.0], atol=1e-6)


@pytest.mark.parametrize(("method", "mode"), _PAIRS)
def test_scale_one_is_the_projection_itself(method, mode, x64):
    """`s F(x / s, softness / s)` with the F of scale 1, and as F where asked to."""
    x = inputs.rng("units").normal(size=(3, 7))
    s = np.std(x, axis=-1, keepdims=True)
    keywords = dict(mode=mode, descending=True)
    plain = SCALED[method](scale=1)
    values = sj.sort(x, method=method, softness=0.4, **keywords)
    expected = s * sj.sort(x / s, method=plain, softness=0.4 / s, **keywords)
    assert_close(values, expected, atol=1e-9)
    # Standardized input has a unit already.
    keywords |= dict(standardize=True, softness=0.2)
    values = sj.sort(x, method=method, **keywords)
    assert_close(values, sj.sort(x, method=plain, **keywords), atol=1e-12)


@pytest.mark.parametrize(("method", "mode"), _PAIRS)
@pytest.mark.parametrize("level", [0.0, 0.1, -3.0, 1e6])
def test_constant_rows_have_their_mean(method, mode, level):
    """The value is the mean of the row, and derivatives are those of the mean."""
    x = jnp.full((2, 4), level).at[1].set(jnp.arange(4.0))
    weights = np.cos(np.arange(4.0)).astype(np.float32)

    def total(x, softness):
        out = sj.sort(x, method=method, mode=mode, softness=softness)
        return jnp.sum(out[0] * weights), out

    gradient, out = jax.jit(jax.grad(total, (0, 1), has_aux=True))(x, 0.3)
    np.testing.assert_array_equal(out[0], x[0])
    assert_close(gradient[0][0], np.full(4, np.sum(weights) / 4), atol=1e-6)
    assert gradient[1] == 0
    for fn in (sj.max, sj.median):
        slopes = jax.grad(lambda x, fn=fn: fn(x, method=method, mode=mode))(x[0])
        assert_close(slopes, np.full(4, 0.25), atol=1e-6)


@each("mode", ["c0", "smooth"], fast=("c0",))
@each("level", [0.0, 1.0, 100.0], fast=("0.0", "100.0"))
@each("spread", [1e-30, 1e-5, 1e-2], fast=("1e-30", "1e-05"))
def test_nearly_constant_rows(mode, level, spread):
    """In float32 as in float64, continuous in the spread; gradients lose nothing."""
    noise = inputs.rng("nearly").normal(size=6)
    x = (level + spread * noise).astype(np.float32)
    weights = np.cos(np.arange(6.0))

    @jax.jit
    def found(x):
        def total(x):
            out = sj.sort(x, method="fast_soft_sort", mode=mode)
            return jnp.sum(out * weights.astype(x.dtype)), out

        return jax.grad(total, has_aux=True)(x)

    gradient, out = found(x)
    with jax.enable_x64(True):
        expected, expected_out = found(x.astype(np.float64))
    # The rounding of numbers of this size.
    atol = 2e-7 * max(level, spread)
    np.testing.assert_allclose(out, expected_out, atol=atol, rtol=0)
    np.testing.assert_allclose(out, np.mean(x), atol=10 * spread + atol, rtol=0)
    np.testing.assert_allclose(gradient, expected, atol=2e-5)


@pytest.mark.parametrize("method", SCALED)
def test_scales_are_checked(method):
    for bad in (0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="scale must be positive"):
            SCALED[method](scale=bad)
    for bad in ("1", True, [1.0]):
        with pytest.raises(TypeError, match="scale must be None or a number"):
            SCALED[method](scale=bad)


@each("method", list(SCALED), fast=("fast_soft_sort",))
def test_a_scale_may_be_learned(method, x64):
    x = inputs.rng("learned").normal(size=5)

    @jax.jit
    def total(scale):
        out = sj.sort(x, method=SCALED[method](scale), softness=0.5)
        return jnp.sum(jnp.cos(out))

    slope = finite_difference(total, (1.5,), (1.0,))
    assert_close(jax.grad(total)(1.5), slope, atol=1e-7)
