"""Methods of regularizers of the user's own: what they return, and in which type."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close

import softjax as sj
from softjax.solvers import (
    HypersimplexProjection,
    PermutahedronProjection,
    Regularizer,
    SimplexProjection,
    link_from_gradient,
    solve,
)

X = np.array([0.3, 1.0, 0.7])


class Total(Regularizer):
    def link(self, t):
        return jnp.sum(jnp.exp(t))


class Longer(Regularizer):
    def link(self, t):
        return jnp.exp(t)[..., None]


class Pair(Regularizer):
    def link(self, t):
        return jnp.exp(t), t


class WrongGradient(sj.solvers.Entropy):
    def gradient(self, y):
        return jnp.log(y)[..., None]


@pytest.mark.parametrize(
    ("regularizer", "error", "message"),
    [
        (Total(), ValueError, r"Total\.link must return .* shape .*, \(.*, got \(\)"),
        (Longer(), ValueError, r"Longer\.link must return .* got \(.*1,?\)"),
        (Pair(), TypeError, r"Pair\.link must return an array, got \("),
        (WrongGradient(), ValueError, r"WrongGradient\.gradient must return"),
    ],
    ids=["total", "longer", "pair", "gradient"],
)
def test_results_of_another_shape_are_named(regularizer, error, message):
    """By every entrance, and not by what a loop of JAX makes of them."""
    for call in (
        lambda: regularizer.gradient(jnp.asarray(X)),
        lambda: solve(HypersimplexProjection(X, 2, 0.5), regularizer),
        lambda: sj.rank(X, mode=regularizer, method="ot"),
    ):
        with pytest.raises(error, match=message):
            call()


class Width(Regularizer):
    """By its link alone."""

    width: jax.Array

    def link(self, t):
        return jax.nn.softplus(self.width * t)


class Weight(Regularizer):
    """By its derivative alone."""

    weight: jax.Array

    def gradient(self, y):
        return jnp.log(y) + self.weight * y

    def link(self, t):
        return link_from_gradient(self.gradient, t)


def test_results_are_in_the_type_of_the_argument(x64):
    mode, x = Width(jnp.asarray(1.25)), jnp.asarray(X, jnp.float32)
    for method in (mode.link, mode.slope, mode.gradient):
        assert_close(method(x), method(jnp.asarray(X)), atol=2e-6)
        assert method(x).dtype == jnp.float32


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "of_x", "of_parameter"),
    [
        (Width, jnp.float32, jnp.float64),
        (Width, jnp.float64, jnp.float32),
        (Width, jnp.float32, jnp.float32),
        (Weight, jnp.float32, jnp.float64),
        (Weight, jnp.float32, jnp.float32),
        (
            lambda c: sj.solvers.Scaled(sj.solvers.Entropy(), c),
            *(jnp.float32, jnp.float64),
        ),
    ],
)
def test_parameters_of_another_type(make, of_x, of_parameter, x64):
    """Where there are 64 bits: results have the type of x, and right values."""
    x = jnp.asarray(X, of_x)

    def run(x, parameter):
        mode = make(parameter)

        def total(x):
            return jnp.sum(solve(SimplexProjection(x, 0.5), mode).value ** 2)

        return (
            sj.relu(x, mode=mode),
            mode.gradient(x),
            solve(PermutahedronProjection(x, x, 0.5), mode).value,
            jax.grad(total)(x),
        )

    found = run(x, jnp.asarray(1.25, of_parameter))
    expected = run(jnp.asarray(X), jnp.asarray(1.25))
    for one, other in zip(found, expected, strict=True):
        assert one.dtype == of_x
        assert_close(one, other, atol=2e-5)
