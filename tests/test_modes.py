"""Modes, the names of regularizers, and what p-norms take as an exponent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from cases import Shifted

from softjax.solvers import (
    MODES,
    Entropy,
    PNorm,
    PseudoHuber,
    Regularizer,
    get_regularizer,
)


@pytest.mark.parametrize(
    ("name", "p"),
    [("c0", 2), ("c1", 3 / 2), ("c2", 4 / 3), ("c3", 5 / 4), ("c11", 13 / 12)],
)
def test_pnorm_modes(name, p):
    regularizer = get_regularizer(name)
    assert isinstance(regularizer, PNorm)
    assert regularizer.p == pytest.approx(p, rel=1e-15)


def test_modes():
    assert isinstance(get_regularizer("smooth"), Entropy)
    assert isinstance(get_regularizer("entropic"), Entropy)
    assert get_regularizer("euclidean").p == 2
    assert isinstance(get_regularizer("pseudohuber"), PseudoHuber)
    for name in MODES:
        assert isinstance(get_regularizer(name), Regularizer)
    own = Shifted()
    assert get_regularizer(own) is own


@pytest.mark.parametrize("name", ["sooth", "", "c", "c-1", "c1.5", "C1", "xc1", "c1x"])
def test_unknown_mode(name):
    with pytest.raises(ValueError, match="mode=") as error:
        get_regularizer(name)
    message = str(error.value)
    assert repr(name) in message
    for allowed in ("smooth", "c<k>", "pseudohuber", "Regularizer"):
        assert allowed in message


def test_mode_of_the_wrong_type():
    with pytest.raises(TypeError, match=r"Entropy\(\)"):
        get_regularizer(Entropy)
    for wrong in (None, 2, jnp.ones(())):
        with pytest.raises(TypeError, match="mode"):
            get_regularizer(wrong)


@pytest.mark.parametrize("p", [1, 1.0, 2.0001, 0.5, -1.5, float("nan"), float("inf")])
def test_pnorm_exponent_out_of_range(p):
    for exponent in (p, np.float64(p), jnp.asarray(p)):
        with pytest.raises(ValueError, match="above 1 and at most 2"):
            PNorm(exponent)


def test_pnorm_exponent_of_the_wrong_type():
    for wrong in ("2", None, True, [1.5]):
        with pytest.raises(TypeError, match="p must be"):
            PNorm(wrong)
    with pytest.raises(ValueError, match="scalar"):
        PNorm(jnp.asarray([1.5, 2.0]))


def test_regularizer_is_abstract():
    with pytest.raises(TypeError, match="link"):
        Regularizer()


def test_concrete_and_traced_exponents_agree():
    t = jnp.linspace(-1.5, 1.5, 11)

    @jax.jit
    def both(p):
        return [
            [fn(t) for fn in (r.link, r.sigmoid, r.softplus, r.conjugate)]
            for r in (PNorm(1.5), PNorm(p))
        ]

    concrete, traced = both(jnp.asarray(1.5))
    for a, b in zip(concrete, traced, strict=True):
        assert_close(a, b, atol=3e-6)
