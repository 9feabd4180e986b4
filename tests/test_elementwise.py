"""Elementwise operators and comparisons: values and derivatives."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracles
from assertions import assert_close, finite_difference
from cases import REGULARIZERS
from parametrize import each, pick

import softjax as sj

# Steps of bounded width end 5 * 0.27 = 1.35 away from where they stand. No point is
# within 0.04 of an end, where derivatives may jump; several are where a step stands.
SOFTNESS = 0.27
X = np.asarray([-1.9, -0.8, -0.2, 0.0, 0.3, 0.6, 1.1, 2.6])
Y = np.asarray([-0.7, -0.5, -0.2, 1.2, 0.3, -0.1, 0.7, 0.2])
LOW = np.asarray([-1.0, -0.8, -0.2, -1.0, -0.2, 0.6, 0.3, -0.2])
HIGH = np.asarray([-0.2, 0.3, 1.1, 0.3, 1.1, -0.2, 0.6, 2.0])
SLANT = 0.3  # softness and x are moved together, in this proportion


def operators(x, y, softness, mode):
    common = dict(softness=softness, mode=mode)
    return {
        "heaviside": sj.heaviside(x, **common),
        "sign": sj.sign(x, **common),
        "abs": sj.abs(x, **common),
        "relu": sj.relu(x, **common),
        "gated_relu": sj.relu(x, gated=True, **common),
        "clip": sj.clip(x, -0.2, 1.1, **common),
        "clip_above": sj.clip(x, max=0.3, **common),
        "clip_arrays": sj.clip(x, LOW, HIGH, **common),
        "gated_clip": sj.clip(x, -0.2, 1.1, gated=True, **common),
        "round": sj.round(x + 0.3, **common),
        "greater": sj.greater(x, y, **common),
        "less": sj.less(x, y, **common),
        "equal": sj.equal(x, y, **common),
        "isclose": sj.isclose(x, y, 0.1, 0.2, **common),
        "floor": sj.floor(x + 0.1, **common),
        "ceil": sj.ceil(x + 0.1, **common),
        "trunc": sj.trunc(x + 0.1, **common),
        "decimals": sj.round(10 * x + 3, -1, **common),
        "maximum": sj.maximum(x, y, **common),
        "gated_minimum": sj.minimum(x, y, gated=True, **common),
        "leaky_relu": sj.leaky_relu(x, 0.2, **common),
        "hard_silu": sj.hard_silu(3 * x, **common),
    }


def references(case, x, y, softness):
    """Every elementwise operator in NumPy, from the step and its integral alone."""
    facts = (case.link, *case.ends)

    def once(oracle):
        def fn(x):
            # Few differences are distinct, and an integral takes its time.
            points, where = np.unique(np.round(x, 12), return_inverse=True)
            return oracle(points, softness, *facts)[where.reshape(np.shape(x))]

        return fn

    step, ramp = once(oracles.heaviside_oracle), once(oracles.relu_oracle)

    def distance(x):
        return x * (2 * step(x) - 1)

    def silu(x):
        return x * step(x)

    def clip(x, low, high, ramp):
        low = np.minimum(low, high)
        return low + ramp(x - low) - ramp(x - high)

    tolerance = 0.2 + 0.1 * np.abs(y)
    floor = np.floor(x + 0.3)
    halves = np.arange(-5, 6)[:, None] + 0.5
    nearest = np.round(x + 0.1)
    whole = np.arange(-5, 6)[:, None]
    stairs = nearest - 6 + step(x + 0.1 - nearest - whole).sum(0)
    return {
        "heaviside": step(x),
        "sign": 2 * step(x) - 1,
        "abs": distance(x),
        "relu": ramp(x),
        "gated_relu": silu(x),
        "clip": clip(x, -0.2, 1.1, ramp),
        "clip_above": x - ramp(x - 0.3),
        "clip_arrays": clip(x, LOW, HIGH, ramp),
        "gated_clip": clip(x, -0.2, 1.1, silu),
        "round": floor - 5 + step(x + 0.3 - floor - halves).sum(0),
        "greater": step(x - y),
        "less": step(y - x),
        "equal": 2 * step(-distance(x - y)),
        "isclose": step(tolerance - distance(x - y)) / step(tolerance),
        "floor": stairs,
        "ceil": stairs + 1,
        "trunc": stairs + step(-x - 0.1),
        "decimals": 10 * (floor - 5 + step(x + 0.3 - floor - halves).sum(0)),
        "maximum": y + ramp(x - y),
        "gated_minimum": y - silu(y - x),
        "leaky_relu": 0.2 * x + 0.8 * ramp(x),
        "hard_silu": x * (ramp(3 * x + 3) - ramp(3 * x - 3)) / 2,
    }


@functools.cache
def compiled(mode, names):
    """Values and derivatives of some operators, or all, as one program."""

    def value(x, softness):
        # Moving y with x makes a derivative in x one in both.
        out = operators(x, Y + (x - X) / 2, softness, mode)
        return {name: out[name] for name in names or out}

    def everything(x, softness):
        directions = (jnp.ones_like(x), jnp.full_like(x, SLANT))
        out, slopes = jax.jvp(value, (x, softness), directions)
        return weigh(out) + weigh(slopes), (out, slopes)

    return jax.jit(jax.value_and_grad(everything, (0, 1), has_aux=True))


def weigh(outputs):
    """A sum in which no two entries count the same."""
    return sum(
        jnp.sum(np.cos(i + np.arange(X.size)) * outputs[name])
        for i, name in enumerate(sorted(outputs))
    )


def check_derivatives(case, names=None):
    """Forward mode, reverse mode, and reverse over forward, in x and in softness."""
    program = compiled(case.mode, names)
    args = (X, np.full_like(X, SOFTNESS))
    (_, (out, slopes)), gradient = program(*args)
    expected = references(case, X, Y, SOFTNESS)
    difference = finite_difference(
        lambda *args: program(*args)[0][1][0], args, (np.ones_like(X), SLANT + 0 * X)
    )
    for name in out:
        assert_close(out[name], expected[name], atol=1e-8)
        assert_close(slopes[name], difference[name], atol=1e-6)

    # Elementwise: moving one entry at a time is moving all and looking at each.
    for which, tangents in enumerate(np.eye(2)):
        directions = [tangent + 0 * X for tangent in tangents]
        out_dot, slopes_dot = finite_difference(
            lambda *args: program(*args)[0][1], args, directions
        )
        expected = sum(
            np.cos(i + np.arange(X.size)) * (out_dot[name] + slopes_dot[name])
            for i, name in enumerate(sorted(out))
        )
        assert_close(gradient[which], expected, atol=1e-5)


@each("case", REGULARIZERS, fast=("c1",))
def test_values_and_derivatives(case, x64):
    check_derivatives(case)


# What is derived of a link alone is tested by itself, in `test_regularizers.py`.
@each("case", pick(REGULARIZERS, "user_link", "user_gradient"), fast=())
def test_regularizers_of_the_users_own(case, x64):
    check_derivatives(case, ("heaviside", "relu", "isclose"))
