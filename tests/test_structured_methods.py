"""Methods by the k best and by noise, against distributions over all structures."""

from typing import Any

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from oracles import hulls, links, simplex
from parametrize import each
from structures import SETS, STRUCTURES, flat

import softjax as sj
import softjax.structured as st

CASES = [*SETS, *(case for case in STRUCTURES if case.name in ("chain", "graph_path"))]


@each("mode", ["c0", "c1"], fast=("c0",))
@each("case", CASES, fast=("spanning_tree", "chain"))
def test_distributions_of_the_best_are_those_of_all(case, mode):
    """The certificate says where they are: for few structures it does not."""
    structures, softness = case.enumerate(), 0.6
    scores = case.scores("k best", dtype=np.float32)
    of_all = simplex.simplex_oracle(
        structures @ flat(scores).astype(float),
        softness,
        links.power_link(hulls.POWERS[mode]),
    )
    support = int(np.count_nonzero(of_all))
    regularizer = sj.solvers.get_regularizer(mode)
    enough = st.KBestDistribution(support + 2)
    too_few = st.KBestDistribution(max(support - 1, 1))

    @jax.jit
    def find(scores):
        keywords = dict(softness=softness, mode=mode, method=enough)

        def value(scores):
            return st.value(case.structure, scores, **keywords)

        mu = st.argmax(case.structure, scores, **keywords)
        certificates = [
            method.certificate(case.structure, scores, softness, regularizer)
            for method in (enough, too_few)
        ]
        return certificates, mu, *jax.value_and_grad(value)(scores)

    (exact, few), mu, value, gradient = find(scores)
    assert bool(exact)
    assert not bool(few)
    assert_close(flat(mu), of_all @ structures, atol=2e-6)
    assert_close(flat(gradient), of_all @ structures, atol=2e-6)
    regularization = hulls.regularizer(of_all, mode) - 1 / hulls.POWERS[mode]
    expected = of_all @ structures @ flat(scores) - softness * regularization
    assert_close(value, expected, atol=3e-6)


@pytest.mark.slow
def test_distributions_of_complete_lists_are_exact():
    """All that there are, with the entropy too."""
    matching, z = st.Matching(), inputs.rng("complete").normal(size=(3, 3))
    method = st.KBestDistribution(8)
    keywords: dict[str, Any] = dict(softness=0.5, mode="smooth", method=method)
    structures = np.eye(3)[list(np.ndindex(3, 3, 3))].reshape(27, 9)
    structures = structures[np.all(structures.reshape(27, 3, 3).sum(1) == 1, axis=1)]
    expected = hulls.gibbs(structures, z.ravel(), 0.5)

    @jax.jit
    def find(z):
        return (
            st.value(matching, z, **keywords),
            st.argmax(matching, z, **keywords),
            st.entropy(matching, z, **keywords),
            method.certificate(matching, z, 0.5, sj.solvers.Entropy()),
        )

    value, mu, entropy, exact = find(z)
    assert_close(value, expected.value)
    assert_close(flat(mu), expected.marginals)
    assert_close(entropy, expected.entropy, atol=5e-6)
    assert bool(exact)


SIMPLEX = st.KSubset(1)


@jax.jit
def _perturbed(key, scores, softness):
    method = st.Perturbed(key, samples=20_000)

    def find(scores, softness):
        keywords = dict(softness=softness, method=method)
        value = st.value(SIMPLEX, scores, **keywords)
        return value, st.argmax(SIMPLEX, scores, **keywords)

    jacobians = jax.jacfwd(find, argnums=(0, 1))(scores, softness)
    hessian = jax.hessian(lambda scores: find(scores, softness)[0])(scores)
    return find(scores, softness), jacobians, hessian


@pytest.mark.slow
def test_gumbel_noise_is_the_softmax():
    """Values and derivatives of all kinds are within five standard errors."""
    scores, softness = jnp.array([0.4, -0.2, 0.9, 0.0]), 0.7

    def exact(scores, softness):
        value = softness * jax.nn.logsumexp(scores / softness)
        return value, jax.nn.softmax(scores / softness)

    found = _perturbed(jax.random.key(3), scores, softness)
    expected = exact(scores, softness)
    jacobians = jax.jacfwd(exact, argnums=(0, 1))(scores, softness)
    hessian = jax.hessian(lambda scores: exact(scores, softness)[0])(scores)
    error = 5 / np.sqrt(20_000)
    (value, p), ((value_z, p_z), (value_s, p_s)), hess = found
    assert_close(value, expected[0], atol=error * softness * 1.3)
    assert_close(p, expected[1], atol=error / 2)
    assert_close(value_z, p, atol=1e-6)
    assert_close(p_z, jacobians[0][1], atol=error / softness)
    assert_close(hess, hessian, atol=error / softness)
    assert_close(value_s, jacobians[1][0], atol=3 * error)
    assert_close(p_s, jacobians[1][1], atol=3 * error / softness)


def test_noise_under_vmap():
    """Every key has its own noise, and the mean over keys is right."""
    scores = jnp.array([0.4, -0.2, 0.9, 0.0])

    @jax.jit
    @jax.vmap
    def find(key):
        method = st.Perturbed(key, 50, noise="normal")
        return jax.value_and_grad(
            lambda z: st.argmax(SIMPLEX, z, softness=0.5, method=method)[2]
        )(scores)

    p, gradients = find(jax.random.split(jax.random.key(1), 400))
    assert len(np.unique(p)) > 5
    # An integral over the noise of the third, which decides.
    noise = np.linspace(-8, 8, 4001)

    def exact(scores):
        gaps = (scores[2] - np.delete(scores, 2)[:, None]) / 0.5 + noise
        weights = np.exp(-(noise**2) / 2) / np.sqrt(2 * np.pi) * (noise[1] - noise[0])
        return np.sum(weights * np.prod(_normal_cdf(gaps), axis=0))

    z = np.asarray(scores, np.float64)
    steps = 1e-3 * np.eye(4)
    expected = [(exact(z + e) - exact(z - e)) / 2e-3 for e in steps]
    assert_close(np.mean(p), np.float32(exact(z)), atol=5 * np.std(p) / 20)
    error = 5 * np.max(np.std(gradients, axis=0)) / 20
    assert_close(np.mean(gradients, axis=0), np.array(expected), atol=error)


def _normal_cdf(x):
    import scipy.special

    return scipy.special.ndtr(x)


@pytest.mark.slow
def test_noise_of_pytrees_and_losses():
    """The gradient of the loss is the expectation less the target."""
    chain = st.Chain()
    rng = inputs.rng("noisy chain")
    scores = rng.normal(size=(4, 3)), rng.normal(size=(3, 3, 3))
    scores = jax.tree.map(jnp.float32, scores)
    target = st.argmax(chain, scores, mode="hard")
    keywords = dict(method=st.Perturbed(jax.random.key(0), 30), softness=0.3)
    grads = jax.grad(st.fenchel_young_loss, argnums=1)(
        chain, scores, target, **keywords
    )
    mu = st.argmax(chain, scores, **keywords)
    assert_close(flat(grads), flat(mu) - flat(target), atol=1e-6)
    assert_close(np.sum(mu[0], axis=1), np.ones(4, np.float32))


@pytest.mark.parametrize("scale", [1e-3, 1e6])
def test_noise_of_any_scale(scale):
    """Values and derivatives scale with scores and softness."""
    scores = jnp.array([0.4, -0.2, 0.9, 0.0])
    method = st.Perturbed(jax.random.key(0), 100)

    def find(scores, softness):
        return st.argmax(SIMPLEX, scores, softness=softness, method=method)

    jacobian = jax.jit(jax.jacrev(find))
    expected = find(scores, 0.5), jacobian(scores, 0.5)
    assert_close(find(scale * scores, scale * 0.5), expected[0], atol=0.011)
    assert_close(scale * jacobian(scale * scores, scale * 0.5), expected[1], atol=0.1)


class Uneven(sj.random.Noise):
    """Noise of a user's own: exponential, less its mean."""

    def sample(self, key, shape, dtype):
        return jax.random.exponential(key, shape, dtype) - 1

    def log_density(self, x):
        return -x


def test_noise_of_a_users_own():
    """The difference of the noise of two items has Laplace's distribution."""
    method = st.Perturbed(jax.random.key(2), 20_000, noise=Uneven())
    p = st.argmax(SIMPLEX, jnp.array([0.3, 0.0]), softness=0.5, method=method)
    assert_close(p[0], np.float32(1 - np.exp(-0.6) / 2), atol=5 * 0.5 / 141)


BAD = [
    (dict(method=st.KBestDistribution(), solver="newton"), "'k_best' has a solver of"),
    (dict(method="distribution", solver="newton"), "a closed form"),
    (dict(method="distribution"), "for exponential modes"),
    (
        dict(method=st.Perturbed(jax.random.key(0)), solver="newton"),
        "means of the oracle's answers",
    ),
]


@pytest.mark.parametrize(("keywords", "message"), BAD)
def test_methods_refuse_by_name(keywords, message):
    with pytest.raises(TypeError, match=message):
        st.argmax(st.SpanningTree(3), np.zeros(3), mode="c0", **keywords)


def test_what_methods_are_made_of_is_checked():
    key = jax.random.key(0)
    with pytest.raises(TypeError, match="no closed form for a Matching"):
        st.value(st.Matching(), np.zeros((2, 2)), method="distribution", mode="smooth")
    with pytest.raises(ValueError, match=r"candidates must be .* at least 1, got 0"):
        st.KBestDistribution(0)
    with pytest.raises(ValueError, match=r"samples must be .* at least 1, got 0"):
        st.Perturbed(key, 0)
    with pytest.raises(ValueError, match=r"noise must be 'normal', 'gumbel', .* or a"):
        st.Perturbed(key, noise="cauchy")
