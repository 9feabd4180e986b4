"""Expectations under noise, against closed forms in multiples of standard errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from assertions import assert_close
from parametrize import each
from test_eager import programs

import softjax as sj

KEYS, SAMPLES = 64, 500
POINTS = np.array([-0.3, 0.05, 0.4])
SIGMA = 0.5
NOISES = {
    "normal": scipy.stats.norm(),
    "gumbel": scipy.stats.gumbel_r(loc=-np.euler_gamma),
    "laplace": scipy.stats.laplace(),
    "logistic": scipy.stats.logistic(),
}


def step(x):
    return x > 0


def estimates(noise, antithetic, x, sigma, key):
    """The estimate of `E step(x + sigma Z)`, its derivatives and its error."""

    def value(x, sigma):
        soft = sj.random.perturb(
            step,
            key,
            samples=SAMPLES,
            noise=noise,
            sigma=sigma,
            antithetic=antithetic,
            return_std_error=True,
        )
        return soft(x)

    (out, error), (slope, of_sigma) = jax.value_and_grad(value, (0, 1), has_aux=True)(
        x, sigma
    )
    found = dict(value=out, slope=slope, sigma=of_sigma)
    if noise == "laplace":  # which has no more
        return found, error
    second = jax.jacfwd(jax.grad(lambda x, s: value(x, s)[0]), (0, 1))(x, sigma)
    return found | dict(curvature=second[0], mixed=second[1]), error


def truth(noise, x):
    """In closed form, derivatives of densities by differences of float64."""
    z, h = -x / SIGMA, 1e-5
    density = noise.pdf(z)
    moved = (noise.pdf(z - h / SIGMA) - noise.pdf(z + h / SIGMA)) / (2 * h)
    narrow, wide = (noise.pdf(-x / s) / s for s in (SIGMA - h, SIGMA + h))
    return dict(
        value=1 - noise.cdf(z),
        slope=density / SIGMA,
        sigma=density * z / SIGMA,
        curvature=moved / SIGMA,
        mixed=(wide - narrow) / (2 * h),
    )


@pytest.mark.parametrize("antithetic", [False, True])
@each("name", list(NOISES), fast=("normal", "gumbel"))
def test_derivatives(name, antithetic):
    """Unbiased, and as uncertain as they say."""
    run = functools.partial(estimates, name, antithetic)
    for axes in ((None, None, 0), (0, None, None)):
        run = jax.vmap(run, axes)
    keys = jax.random.split(jax.random.key(0), KEYS)
    found, errors = jax.jit(run)(jnp.asarray(POINTS, jnp.float32), SIGMA, keys)
    expected_of = truth(NOISES[name], POINTS)
    for quantity in found:
        expected = expected_of[quantity]
        mean = np.mean(found[quantity], axis=1)
        uncertain = np.std(found[quantity], axis=1, ddof=1) / np.sqrt(KEYS)
        assert np.all(np.abs(mean - expected) < 4 * uncertain), quantity
        size = dict(value=0.02, slope=0.1, sigma=0.1, curvature=0.6, mixed=0.6)[
            quantity
        ]
        assert np.all(uncertain < size), quantity
    spread = np.std(found["value"], axis=1, ddof=1)
    np.testing.assert_allclose(np.mean(errors, axis=1), spread, rtol=0.3)


def test_kinks_are_refused():
    """Second derivatives would be biased; of both modes, and where they are mixed."""
    fn = lambda s: sj.random.perturb(  # noqa: E731
        step, jax.random.key(0), noise="laplace", sigma=s
    )
    assert np.isfinite(jax.grad(fn(0.3))(0.1))
    for second in (
        lambda x: jax.hessian(fn(0.3))(x),
        lambda x: jax.grad(jax.grad(fn(0.3)))(x),
        lambda x: jax.jit(jax.jacfwd(lambda s: jax.grad(fn(s))(x)))(0.3),
    ):
        with pytest.raises(ValueError, match="Laplace noise would be biased"):
            second(0.1)


def test_mirrored_noise():
    """Noise as likely as what it mirrors, and of the opposite level."""
    for name, noise in NOISES.items():
        z = noise.ppf(np.array([1e-6, 0.01, 0.3, 0.5, 0.9, 1 - 1e-5]))
        own = getattr(sj.random, name.capitalize())()
        assert_close(own.mirror(z), noise.ppf(1 - noise.cdf(z)), atol=1e-4)
        density = own.log_density(jnp.asarray(z)) - own.log_density(jnp.zeros(()))
        assert_close(density, noise.logpdf(z) - noise.logpdf(0), atol=1e-4)
    # The smallest number of `jax.random.gumbel`, of which there is one in 2^23.
    gumbel, tiny = sj.random.Gumbel(), np.finfo(np.float32).tiny
    least = -jnp.log(-jnp.log(tiny)) - np.euler_gamma
    for x in (least, least - 1):
        expected = np.exp(-np.float64(x) - np.euler_gamma) - np.euler_gamma
        assert_close(gumbel.mirror(x), expected, atol=1e-4)


@pytest.mark.slow
def test_gumbel_noise_makes_a_softmax():
    """Values, and derivatives of all components, of a hard argmax of ten."""
    z = np.linspace(-0.5, 1, 10)

    @jax.jit
    def run(key):
        soft = sj.random.perturb(
            functools.partial(sj.argmax, mode="hard"),
            key,
            samples=2000,
            noise="gumbel",
            sigma=0.5,
        )
        return soft(jnp.asarray(z)), jax.jacrev(soft)(jnp.asarray(z))

    value, slope = jax.lax.map(run, jax.random.split(jax.random.key(1), 64))
    p = np.exp(z / 0.5) / np.exp(z / 0.5).sum()
    for found, expected in ((value, p), (slope, (np.diag(p) - np.outer(p, p)) / 0.5)):
        error = np.std(found, axis=0, ddof=1) / 8
        assert np.all(np.abs(np.mean(found, axis=0) - expected) < 4.5 * error)
        assert np.all(error < 0.02)


def test_structures():
    """Pytrees, integers, keywords; what is not perturbed is differentiated itself."""
    key = jax.random.key(2)

    def fn(x, labels, *, scale):
        total = jnp.sum(x["a"]) + jnp.sum(jnp.sign(x["b"]))
        return {"count": labels + (x["b"] > 0), "sum": (scale * total, labels)}

    soft = sj.random.perturb(fn, key, samples=64, antithetic=True, sigma=0.3)
    x = {"a": jnp.arange(2.0), "b": jnp.array([0.5, -0.1, 3.0], jnp.bfloat16)}
    labels = jnp.arange(3)

    def outputs(x, scale):
        return soft(x, labels, scale=scale)

    found = outputs(x, 2.0)
    assert found["count"].dtype == jnp.float32
    assert_close(found["sum"][1], np.arange(3.0))
    assert np.all((found["count"] >= labels) & (found["count"] <= labels + 1))
    # Mirrored noise cancels in what is linear.
    assert_close(sj.random.perturb(lambda a: 3 * a, key, antithetic=True)(1.0), 3.0)
    grads = jax.grad(lambda x, s: outputs(x, s)["sum"][0], (0, 1))(x, 2.0)
    assert_close(grads[1], found["sum"][0] / 2, atol=1e-5)
    assert grads[0]["b"].dtype == jnp.bfloat16
    # The same noise in each call; forward mode is reverse mode.
    again = outputs(x, 2.0)
    np.testing.assert_array_equal(found["count"], again["count"])
    _, forward = jax.jvp(
        lambda a: outputs(x | dict(a=a), 2.0)["sum"][0], *2 * [(x["a"],)]
    )
    assert_close(forward, jnp.sum(grads[0]["a"] * x["a"]), atol=1e-4)


@pytest.mark.slow
def test_one_program():
    """For each constant, whatever the numbers are."""
    soft = sj.random.perturb(lambda x, k: jnp.sort(x)[:k], jax.random.key(0))
    jax.clear_caches()
    assert programs(lambda: soft(np.ones(3), 2)) == 1
    assert programs(lambda: soft(np.zeros(3), 2)) == 0
    assert soft(np.zeros(3), 1).shape == (1,)
    soft = sj.random.perturb(jnp.sign, jax.random.key(0), sigma=1)
    assert soft(0.3).dtype == jnp.float32
    assert programs(lambda: soft(0.5)) == 0


def test_values_that_are_not_finite():
    soft = sj.random.perturb(lambda x: jnp.log(jnp.sign(x)), jax.random.key(0))
    x = jnp.array([5.0, jnp.inf, 0.0])

    def total(x):
        out = soft(x)
        return jnp.sum(jnp.where(jnp.isfinite(out), out, 0)), out

    slope, out = jax.grad(total, has_aux=True)(x)
    np.testing.assert_array_equal(out[:2], 0)
    assert np.isnan(out[2])
    assert np.all(np.isfinite(slope))


def test_sigma_of_each():
    """An array of them; traced ones that are not positive give NaN."""
    key, x = jax.random.key(0), jnp.zeros((2, 3))
    sigma = np.array([0.1, 1.0, 10.0])
    mean, error = sj.random.perturb(
        lambda x: x, key, samples=2000, sigma=sigma, return_std_error=True
    )(x)
    assert np.all(np.abs(mean) < 4 * error)
    np.testing.assert_allclose(np.sqrt(2000) * error[0], sigma, rtol=0.1)
    _, turned = sj.random.perturb(
        lambda x: 1j * x, key, samples=2000, sigma=sigma, return_std_error=True
    )(x)
    np.testing.assert_array_equal(turned, error)
    by_list = sj.random.perturb(lambda x: x, key, samples=2000, sigma=[0.1, 1, 10.0])
    np.testing.assert_array_equal(by_list(x), mean)
    found = jax.jit(lambda s: sj.random.perturb(lambda x: x, key, sigma=s)(x))(-1.0)
    assert np.all(np.isnan(found))


ERRORS = {
    "samples must be an integer, got 2.5": dict(samples=2.5),
    "samples must be at least 2, got 1": dict(samples=1),
    "samples must be even and at least 4, got 5": dict(samples=5, antithetic=True),
    "noise must be 'normal', .*got 'cauchy'": dict(noise="cauchy"),
    "noise must be .*got 3": dict(noise=3),
    "sigma must be positive and finite, got 0": dict(sigma=0),
    "sigma of shape": dict(sigma=np.ones(2)),
    "key must be a key": dict(key=1),
}


@each("message", list(ERRORS))
def test_errors(message):
    keywords = dict(key=jax.random.key(0)) | ERRORS[message]
    with pytest.raises((TypeError, ValueError), match=message):
        sj.random.perturb(jnp.sign, **keywords)(jnp.ones(3))


def test_nothing_to_perturb():
    with pytest.raises(TypeError, match="no float among"):
        sj.random.perturb(lambda x: x, jax.random.key(0))(jnp.arange(3))
