"""Invariants of the axiswise operators, over many inputs, in float32."""

import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import METHODS, OPERATORS, REGULARIZERS
from facts import (
    has,
    ignores_places,
    is_read_off,
    keeps_order,
    moves_with_input,
    picks_among_equals,
    stays_in_range,
)
from parametrize import each, each_pair, pick

N = 5
CASES = pick(REGULARIZERS, "smooth", "c0", "quintic", "pseudohuber", "user_link")
OUTPUTS = [o for o in OPERATORS if "percentile" not in o.name and o.name != "ranking"]


def outputs_of(method):
    """Operators that a method has, except those read off another one's result."""
    return [o for o in OUTPUTS if has(method, o) and not is_read_off(o, method)]


@functools.cache
def compiled(mode, method, n=N):
    """All operators and their gradients as one program: compiling is what costs."""

    def fn(x, softness):
        outputs, gradients = {}, {}
        for operator in outputs_of(method):

            def call(x, softness, operator=operator):
                out = operator.call(x, softness=softness, mode=mode, method=method)
                # A weight that tells elements and positions apart by their value only.
                known = jax.lax.stop_gradient(x)
                if operator.kind == "value":
                    known = jnp.sort(known)[: out.size].reshape(out.shape)
                weight = jnp.cos(jnp.where(jnp.isfinite(known), known, 0))
                return jnp.sum(out * weight), out

            gradient = jax.grad(call, (0, 1), has_aux=True)
            gradients[operator.name], outputs[operator.name] = gradient(x, softness)
        return outputs, gradients

    return jax.jit(fn)


def elements(draw):
    scale = draw(st.sampled_from([1.0, 1.0, 1e-3, 1e6]))
    # Eighths, so that ties are frequent and differences are exact.
    whole = draw(hnp.arrays(np.int32, N, elements=st.integers(-16, 16)))
    return (whole / 8 * scale).astype(np.float32)


inputs = st.composite(lambda draw: elements(draw))()
softnesses = st.sampled_from([1e-4, 1e-2, 0.1, 0.5, 3.0, 100.0]).map(np.float32)


@pytest.mark.defaults
@pytest.mark.x64
@each_pair(CASES)
@hypothesis.given(x=inputs, softness=softnesses)
def test_outputs_are_finite_distributions_in_order(case, method, x, softness):
    outputs, gradients = compiled(case.mode, method)(x, softness)
    reach = np.max(np.abs(x))
    for operator in outputs_of(method):
        out = np.asarray(outputs[operator.name])
        assert out.dtype == x.dtype
        assert np.all(np.isfinite(out)), operator.name
        for gradient in gradients[operator.name]:
            assert np.all(np.isfinite(gradient)), operator.name
        if operator.kind == "index":
            assert np.all(out >= 0)
            np.testing.assert_allclose(out.sum(-1), 1, atol=2e-5)
        elif operator.kind == "mask":
            assert np.all((out >= 0) & (out <= 1))
            np.testing.assert_allclose(out.sum(), 2, atol=1e-6)
        elif operator.kind == "rank":
            assert np.all((out >= 1 - 1e-4) & (out <= N + 1e-4))
        elif stays_in_range(method):
            assert np.all(np.abs(out) <= reach * (1 + 1e-5))
    if not keeps_order(method):
        return
    ordered = np.asarray(outputs["sort"])
    assert np.all(np.diff(ordered) >= -2e-5 * reach)
    largest = outputs.get("top_k_values", ordered[::-1])
    assert np.all(np.diff(largest) <= 2e-5 * reach)


@each_pair(CASES, holds=ignores_places)
@hypothesis.given(x=inputs, softness=softnesses, order=st.permutations(range(N)))
def test_permutation_equivariance(case, method, x, softness, order):
    """Values and gradients move with the elements, equal ones too."""
    order = np.asarray(order)
    outputs, gradients = compiled(case.mode, method)(x, softness)
    moved, moved_gradients = compiled(case.mode, method)(x[order], softness)
    for operator in outputs_of(method):
        out, other = np.asarray(outputs[operator.name]), moved[operator.name]
        if operator.kind != "value":
            out = out[..., order]
        scale = 1 + np.max(np.abs(out))
        np.testing.assert_allclose(other / scale, out / scale, atol=2e-5)
        if picks_among_equals(operator, method):
            continue
        gradient, softness_gradient = map(np.asarray, gradients[operator.name])
        other, other_softness = map(np.asarray, moved_gradients[operator.name])
        # Where a gradient vanishes, N^2 terms of order 1 / softness have cancelled.
        scale = 1 + np.max(np.abs(gradient)) + 0.01 * N / softness
        np.testing.assert_allclose(
            other / scale, gradient[order] / scale, atol=1e-4, err_msg=operator.name
        )
        scale = 1 + np.max(np.abs(x)) / softness
        scale *= 1 + abs(softness_gradient)
        np.testing.assert_allclose(
            other_softness / scale, softness_gradient / scale, atol=1e-4
        )


@each_pair(CASES)
@hypothesis.given(
    whole=hnp.arrays(np.int32, N, elements=st.integers(-16, 16)),
    shift=st.integers(-64, 64),
    softness=st.sampled_from([1e-2, 0.5, 3.0]).map(np.float32),
)
def test_shift_equivariance(case, method, whole, shift, softness):
    x = (whole / 8).astype(np.float32)
    outputs, _ = compiled(case.mode, method)(x, softness)
    moved, _ = compiled(case.mode, method)(x + np.float32(shift), softness)
    for operator in outputs_of(method):
        if not moves_with_input(operator, case, method):
            continue
        out = np.asarray(outputs[operator.name])
        out = out + (shift if operator.kind == "value" else 0)
        atol = 1e-5 * (1 + (abs(shift) if operator.kind == "value" else 0))
        np.testing.assert_allclose(moved[operator.name], out, atol=atol)


@each_pair(CASES)
@hypothesis.given(
    x=inputs,
    softness=st.sampled_from([1e-2, 0.1, 0.5, 3.0]).map(np.float32),
    power=st.integers(-30, 30),
    factor=st.sampled_from([1.0, 7.0]),
)
def test_softness_is_in_the_unit_of_the_input(case, method, x, softness, power, factor):
    """`op(c x, softness=c tau) = c op(x, tau)` for values; all else does not change."""
    scale = np.float32(factor * 2.0**power)
    outputs, _ = compiled(case.mode, method)(x, softness)
    scaled, _ = compiled(case.mode, method)(x * scale, softness * scale)
    for operator in outputs_of(method):
        unit = scale if operator.kind == "value" else np.float32(1)
        out, other = np.asarray(outputs[operator.name]), scaled[operator.name] / unit
        # Scores over the softness, and with them shares, are rounded by this much.
        atol = 4e-6 * (1 + np.max(np.abs(x)) / softness * (factor != 1))
        atol *= 1 + np.max(np.abs(out))
        np.testing.assert_allclose(other, out, atol=atol, err_msg=operator.name)


def _with_infinite(draw):
    """Numbers, and the same with infinities among them."""
    x = elements(draw)
    up = draw(st.integers(0, 2))
    more = np.full(2, -np.inf, np.float32)
    more[:up] = np.inf
    order = np.asarray(draw(st.permutations(range(N + 2))))
    return x, np.concatenate([x, more])[order]


# All methods are given the same stand-ins, and each has to be compiled in two sizes.
@each_pair(
    CASES,
    dict.fromkeys(METHODS) | {"fast_soft_sort": "c0"},
)
@hypothesis.given(
    inputs=st.composite(_with_infinite)(),
    softness=st.sampled_from([1e-2, 0.5, 3.0]).map(np.float32),
)
def test_infinite_elements_take_the_outer_places(case, method, inputs, softness):
    """Infinite elements are where hard operators have them, and change no others."""
    x, wide = inputs
    outputs, gradients = compiled(case.mode, method)(wide, softness)
    hard, _ = compiled("hard", method)(wide, softness)
    finite = np.isfinite(wide)
    up, down = wide == np.inf, wide == -np.inf
    for operator in outputs_of(method):
        out, exact = np.asarray(outputs[operator.name]), np.asarray(hard[operator.name])
        for gradient in gradients[operator.name]:
            assert np.all(np.isfinite(gradient)), operator.name
        assert np.all(gradients[operator.name][0][~finite] == 0), operator.name
        if operator.kind == "value":
            np.testing.assert_array_equal(out == np.inf, exact == np.inf)
            np.testing.assert_array_equal(out == -np.inf, exact == -np.inf)
            assert np.all(np.isfinite(out[np.isfinite(exact)])), operator.name
        elif operator.kind == "rank":
            np.testing.assert_array_equal(out[~finite], exact[~finite])
        elif operator.kind == "index":
            assert np.all(np.isfinite(out) & (out >= 0)), operator.name
            np.testing.assert_allclose(out.sum(-1), 1, atol=2e-5)
            for equals in (up, down):
                of_equals = exact[..., equals].sum(-1) == 1
                shares = out[of_equals][..., equals] * np.sum(equals)
                np.testing.assert_allclose(shares, 1, atol=1e-6)
    place = np.flatnonzero(finite)
    alone, alone_gradients = compiled(case.mode, method)(wide[place], softness)
    first = {
        "sort": ([slice(np.sum(down), np.sum(down) + N)], 0),
        "rank": ([place], np.sum(up)),
        "argsort": ([slice(np.sum(down), np.sum(down) + N), place], 0),
    }
    for name, (where, shift) in first.items():
        if name not in outputs:
            continue
        out = np.asarray(outputs[name])[where[0]]
        out = out[..., where[1]] if len(where) > 1 else out
        scale = 1 + np.max(np.abs(alone[name]))
        np.testing.assert_allclose(
            (out - shift) / scale, alone[name] / scale, atol=2e-5, err_msg=name
        )
        gradient, expected = gradients[name][0][place], alone_gradients[name][0]
        scale = 1 + np.max(np.abs(expected)) + 0.01 * N / softness
        # Sorted values in units of their spread are rounded by that of the softness.
        scale += 1e-3 * softness / max(np.ptp(x), 1e-3 * softness)
        np.testing.assert_allclose(
            gradient / scale, expected / scale, atol=1e-4, err_msg=name
        )


@each_pair(CASES)
@hypothesis.given(
    whole=hnp.arrays(np.int32, N, elements=st.integers(-16, 16), unique=True)
)
def test_hard_limit(case, method, whole):
    """Distinct values, far apart in units of softness."""
    x = (whole / 8).astype(np.float32)
    outputs, _ = compiled(case.mode, method)(x, np.float32(1e-4))
    hard, _ = compiled("hard", method)(x, np.float32(1e-4))
    for operator in outputs_of(method):
        np.testing.assert_allclose(
            outputs[operator.name],
            hard[operator.name],
            atol=2e-3,
            err_msg=operator.name,
        )


# Rows without an answer are put aside before any method, in one place.
@each("method", METHODS, fast=("softsort",))
def test_bad_rows_are_nan_and_keep_to_themselves(method):
    names = ("argmax", "sort", "rank", "median", "top_k_mask")
    operators = [o for o in outputs_of(method) if o.name in names]
    good = np.asarray([0.5, 1.0, -2.0], np.float32)
    x = np.stack([good, [0.5, np.nan, -2.0], [np.nan, np.inf, -2.0]])
    x = x.astype(np.float32)

    def total(x):
        out = [operator.call(x, method=method) for operator in operators]
        return sum(jnp.nansum(o) for o in out), out

    run = jax.jit(jax.grad(total, has_aux=True))
    gradient, outputs = run(x)
    expected_gradient, expected = run(np.stack([good] * 3))
    np.testing.assert_allclose(gradient[0], expected_gradient[0], atol=1e-6)
    for out, alone in zip(outputs, expected, strict=True):
        np.testing.assert_allclose(out[0], alone[0], atol=1e-6)
        assert np.all(np.isnan(out[1:]))
