"""Fenchel-Young losses; and axes and errors of all losses."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest
import scipy.special
from assertions import assert_close, finite_difference
from cases import REGULARIZERS
from parametrize import each, pick

import softjax as sj
from softjax import losses
from softjax.solvers import LogBarrier, PNorm, TransportProjection, solve

N, K = 5, 2
_rng = inputs.rng("losses")
SCORES = _rng.normal(size=(3, N))
ONE_HOT = np.eye(N)[[1, 4, 0]]
SHARES = scipy.special.softmax(_rng.normal(size=(3, N)), axis=-1)
MASK = np.array([[1, 0, 0, 1, 0], [0.5, 0.5, 0, 0.3, 0.7], [0, 1, 1, 0, 0.0]])
RANKS = np.array([[1, 2, 3, 4, 5], [3, 5, 4, 2, 1], [2.5, 1, 2.5, 4.5, 4.5]])
RELEVANCE = np.array([[3, 0, 1, 2, 0], [0, 0, 1, 0, 2.5], [0, 0, 0, 0, 0]])
MATRIX = np.stack([np.eye(N)[[2, 0, 1, 4, 3]], np.full((N, N), 1 / N)])
MATRIX_SCORES = _rng.normal(size=(2, N, N))


def _plan(scores, softness, mode):
    problem = TransportProjection(-scores, jnp.ones(N), jnp.ones(N), softness)
    return solve(problem, mode).value


# name -> loss, scores, target, prediction; each with softness and mode.
LOSSES = {
    "simplex": (losses.simplex_loss, SCORES, SHARES, sj.argmax),
    "simplex_one_hot": (losses.simplex_loss, SCORES, ONE_HOT, sj.argmax),
    "top_k": (
        lambda z, t, **kw: losses.top_k_loss(z, t, K, **kw),
        SCORES,
        MASK,
        lambda z, **kw: sj.top_k_mask(z, K, **kw),
    ),
    "top_k_hypersimplex": (
        lambda z, t, **kw: losses.top_k_loss(z, t, K, method="hypersimplex", **kw),
        SCORES,
        MASK,
        lambda z, **kw: sj.top_k_mask(z, K, method="hypersimplex", **kw),
    ),
    "rank": (
        losses.rank_loss,
        SCORES,
        RANKS,
        lambda z, **kw: -sj.rank(z, method="fast_soft_sort", **kw),
    ),
    "rank_ascending": (
        lambda z, t, **kw: losses.rank_loss(z, t, descending=False, **kw),
        SCORES,
        RANKS,
        lambda z, **kw: sj.rank(z, method="fast_soft_sort", descending=False, **kw),
    ),
    "permutation": (
        losses.permutation_loss,
        MATRIX_SCORES,
        MATRIX,
        lambda z, softness, mode: _plan(z, softness, mode),
    ),
}
_FAST = ("simplex-smooth",)
MODES = [
    pytest.param(
        name,
        mode,
        id=f"{name}-{mode}",
        marks=[] if f"{name}-{mode}" in _FAST else [pytest.mark.slow],
    )
    for name in LOSSES
    for mode in ("smooth", "c0", "c1")
    if not (name.startswith("rank") and mode == "smooth")
]


@pytest.mark.parametrize(("name", "mode"), MODES)
def test_gradients_are_errors_of_the_prediction(name, mode, x64):
    """Exactly; and the Hessian is the Jacobian of the prediction."""
    loss, scores, target, predict = LOSSES[name]
    sign = -1 if name == "rank" else 1
    keywords = dict(softness=0.7, mode=mode)
    v = inputs.rng("direction").normal(size=scores.shape)
    if predict is sj.argmax:
        keywords_of_prediction = keywords | dict(axis=-1)
    else:
        keywords_of_prediction = keywords

    def total(z):
        out = loss(z, target, **keywords)
        return jnp.sum(out), out

    @jax.jit
    def compute(z):
        prediction = lambda z: predict(z, **keywords_of_prediction)  # noqa: E731
        gradient = jax.grad(total, has_aux=True)
        (grad, out), (hessian_product, _) = jax.jvp(gradient, (z,), (v,))
        return out, grad, hessian_product, jax.jvp(prediction, (z,), (v,))

    out, grad, hessian_product, (y, y_dot) = compute(scores)
    assert np.all(out >= -1e-12)
    assert_close(grad, y - sign * target, atol=1e-9)
    assert_close(hessian_product, y_dot, atol=1e-9)
    # The value belongs to the gradient.
    slope = finite_difference(lambda z: compute(z)[0].sum(), (scores,), (v,), step=1e-5)
    assert_close(np.sum(grad * v), slope, atol=1e-6)
    # And vanishes where the prediction is right.
    at_truth = loss(scores, np.asarray(sign * y), **keywords)
    assert_close(at_truth, np.zeros(at_truth.shape), atol=1e-9)


def test_known_losses():
    """Cross-entropy, divergence, sparsemax."""
    log_softmax = scipy.special.log_softmax(SCORES, axis=-1)
    expected = -np.sum(ONE_HOT * log_softmax, axis=-1)
    assert_close(losses.simplex_loss(SCORES, ONE_HOT), expected)
    expected = np.sum(SHARES * (np.log(SHARES) - log_softmax), axis=-1)
    assert_close(losses.simplex_loss(SCORES, SHARES), expected)
    y = oracles.simplex_oracle(SCORES, 1.0, oracles.power_link(2))
    expected = np.sum((y - ONE_HOT) * SCORES, axis=-1)
    expected -= (np.sum(y**2, axis=-1) - 1) / 2
    assert_close(losses.simplex_loss(SCORES, ONE_HOT, mode="c0"), expected)
    # The loss of a top-1 mask is sparsemax's too.
    loss = losses.top_k_loss(SCORES, ONE_HOT, 1, mode="c0", method="hypersimplex")
    assert_close(loss, expected)


@each(
    "case",
    pick(REGULARIZERS, "smooth", "c1", "pseudohuber", "user_link"),
    fast=(),
)
def test_softness_and_axis(case, x64):
    """Against the definition, with values of r by quadrature."""
    y = oracles.simplex_oracle(SCORES, 0.3, case.link)

    def value(y):
        return np.sum(oracles.value_oracle(np.clip(y, 1e-12, 1), case.link), axis=-1)

    gain = np.sum((y - SHARES) * SCORES, axis=-1)
    expected = gain - 0.3 * (value(y) - value(SHARES))
    loss = losses.simplex_loss(SCORES, SHARES, softness=0.3, mode=case.mode)
    assert_close(loss, expected, atol=1e-6)
    turned = losses.simplex_loss(SCORES.T, SHARES.T, 0, softness=0.3, mode=case.mode)
    assert_close(turned, loss)
    slope = jax.grad(
        lambda s: losses.simplex_loss(SCORES, SHARES, softness=s, mode=case.mode).sum()
    )(0.3)
    # Danskin's theorem for softness.
    assert_close(slope, np.sum(value(SHARES) - value(y)), atol=1e-6)


# name -> a loss of scores and target, and what else it takes that is of each row.
_PER_ROW = {
    "simplex_loss": (SHARES, {}),
    "top_k_loss": (MASK, dict(k=np.array([[2.0], [1.5], [2.0]]))),
    "rank_loss": (RANKS, {}),
    "top_k_cross_entropy": (SHARES, dict(softness=np.array([[0.1], [0.5], [2.0]]))),
    "ndcg": (RANKS, dict(softness=np.array([[0.1], [0.5], [2.0]]))),
    "mrr": (MASK, dict(softness=np.array([[0.1], [0.5], [2.0]]))),
    "average_precision": (MASK, dict(softness=np.array([[0.1], [0.5], [2.0]]))),
    "precision": (MASK, dict(k=np.array([[2.0], [1.5], [3.0]]))),
    "recall": (MASK, dict(k=np.array([[2.0], [1.5], [3.0]]))),
    "pairwise_loss": (RANKS, dict(softness=np.array([[0.1], [0.5], [2.0]]))),
    "spearman": (RANKS, dict(softness=np.array([[0.1], [0.5], [2.0]]))),
    "auc": (MASK, dict(softness=np.array([[0.1], [0.5], [2.0]]))),
    "trimmed_mean": (None, dict(softness=np.array([[0.1], [0.5], [2.0]]))),
}
_FIXED = dict(top_k_cross_entropy=dict(k=2), trimmed_mean=dict(proportion=0.2))


def test_every_loss_is_listed_by_row():
    of_pairs_and_structures = {"permutation_loss", "spo_plus"}
    of_probabilities = {"entropy", "kl_divergence", "soft_cross_entropy"}
    assert of_pairs_and_structures | of_probabilities | set(_PER_ROW) == set(
        losses.__all__
    )


@each("name", list(_PER_ROW), fast=("top_k_loss",))
def test_what_is_of_each_row_moves_with_the_axis(name):
    """Row by row, along any axis, known and traced; the gradient too."""
    target, parameters = _PER_ROW[name]
    fixed = _FIXED.get(name, {})
    arrays = [SCORES] if target is None else [SCORES, target]

    def call(arrays, parameters, axis):
        keywords = parameters | fixed
        return getattr(losses, name)(*arrays, axis=axis, **keywords)

    def total(arrays, parameters, axis):
        out = call(arrays, parameters, axis)
        return jnp.sum(out), out

    run = jax.jit(jax.value_and_grad(total, has_aux=True), static_argnums=2)
    alone = [
        run([a[i] for a in arrays], {key: p[i, 0] for key, p in parameters.items()}, -1)
        for i in range(3)
    ]
    expected = np.array([out for (_, out), _ in alone])
    gradient = np.stack([grad[0] for _, grad in alone])
    assert_close(call(arrays, parameters, 1), expected, atol=1e-5)
    # Two axes of the batch, and the one of the candidates anywhere among them.
    for axis in (0, 1, -1):

        def place(x, axis=axis):
            return jnp.moveaxis(jnp.asarray(x)[None], -1, axis)

        moved = [place(a) for a in arrays]
        (_, out), grad = run(
            moved, {key: place(p) for key, p in parameters.items()}, axis
        )
        assert_close(out, expected[None], atol=1e-5)
        assert_close(np.moveaxis(grad[0], axis, -1)[0], gradient, atol=1e-5)
    if not parameters:
        return
    # What differs along the axis is of no row.
    (key,) = parameters
    with pytest.raises(ValueError, match=rf"{name}: {key} of shape \(1, 5\)"):
        call(arrays, {key: np.ones((1, 5))}, 1)


_K_TARGET = np.broadcast_to(np.array([[2.0, 1.0, 0.5, 2.0, 3.0]]) / 3, (3, 5))


@pytest.mark.slow
def test_k_of_a_top_k_loss():
    """Any k of `top_k_mask` will do: the gradient is the mask less the target."""
    k = np.array([[2.0, 1.0, 0.5, 2.0, 3.0]])
    target = _K_TARGET
    for value in (k, np.float32(1.5)):

        def gradient(k):
            return jax.grad(
                lambda z: losses.top_k_loss(z, target, k, 0, softness=0.3).sum()
            )(SCORES)

        def prediction(k):
            return sj.top_k_mask(SCORES, k, 0, softness=0.3) - target

        expected = prediction(value)
        assert_close(gradient(value), expected, atol=1e-5)
        assert_close(jax.jit(gradient)(value), expected, atol=1e-5)


def test_what_a_top_k_loss_refuses():
    with pytest.raises(ValueError, match=r"top_k_loss: k of shape \(3, 1\)"):
        losses.top_k_loss(SCORES, _K_TARGET, np.ones((3, 1)), 0)
    for axis in (2, -3):
        with pytest.raises(ValueError, match=f"top_k_loss: axis={axis} is out of"):
            losses.top_k_loss(SCORES, _K_TARGET, 1, axis)


@pytest.mark.slow
def test_losses_in_float32():
    for name, (loss, scores, target, _) in LOSSES.items():
        out = jax.jit(lambda z, t, loss=loss: loss(z, t, mode="c0"))(scores, target)
        with jax.enable_x64(True):
            expected = loss(scores, target, mode="c0")
        assert out.dtype == jnp.float32
        assert_close(out, expected, atol=2e-5)
        assert out.shape == scores.shape[: 1 if name != "permutation" else -2]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: losses.simplex_loss(SCORES, ONE_HOT[0]),
            ValueError,
            r"target has the shape \(5,\), and scores \(3, 5\)",
        ),
        (
            lambda: losses.simplex_loss(SCORES, ONE_HOT, mode="hard"),
            ValueError,
            "mode='hard'",
        ),
        (
            lambda: losses.simplex_loss(SCORES, ONE_HOT, softness=-1),
            ValueError,
            "softness",
        ),
        (lambda: losses.top_k_loss(SCORES, MASK, 6), ValueError, "k=6 must be from 0"),
        (
            lambda: losses.rank_loss(SCORES, RANKS, mode="smooth"),
            ValueError,
            r"Entropy\(\).*'c0'",
        ),
        (
            lambda: losses.rank_loss(SCORES, RANKS, mode=LogBarrier()),
            ValueError,
            "LogBarrier",
        ),
        (
            lambda: losses.permutation_loss(SCORES, SCORES),
            ValueError,
            r"two axes of equal size, got shape \(3, 5\)",
        ),
        (
            lambda: losses.ndcg(SCORES, RELEVANCE, method="fast_soft_sort"),
            ValueError,
            "ndcg needs soft indices",
        ),
        (
            lambda: losses.top_k_cross_entropy(SCORES, ONE_HOT, (0.5, 0.4)),
            ValueError,
            r"sum to 1, got \(0.5, 0.4\)",
        ),
        (
            lambda: losses.trimmed_mean(SCORES, 0.6),
            ValueError,
            "must be nonnegative and leave something of 5",
        ),
        (lambda: losses.spearman(SCORES, ONE_HOT[0]), ValueError, "shapes"),
        *(
            (
                lambda k=k: losses.top_k_cross_entropy(SCORES, ONE_HOT, k),
                error,
                "top_k_cross_entropy: k must be a positive integer or probabilities",
            )
            for k, error in [
                ((np.nan, 1.0), ValueError),
                ((np.inf, 1.0), ValueError),
                (("a", 1.0), TypeError),
                (None, TypeError),
            ]
        ),
        (
            lambda: jax.jit(losses.top_k_cross_entropy)(SCORES, ONE_HOT, 2),
            TypeError,
            "k must be .* got a traced array: pass a constant",
        ),
    ],
)
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_parameter_of_the_regularizer(x64):
    """The loss is differentiated in it too."""

    def total(p):
        return jnp.sum(losses.simplex_loss(SCORES, SHARES, mode=PNorm(p)))

    expected = finite_difference(jax.jit(total), (jnp.asarray(1.4),), (1.0,))
    assert_close(jax.grad(total)(jnp.asarray(1.4)), expected, atol=1e-7)


@pytest.mark.parametrize(
    ("axes", "error", "message"),
    [
        ((0, 5), ValueError, r"axes=\(0, 5\) are out of bounds .* -2 to 1"),
        ((-3, 0), ValueError, r"axes=\(-3, 0\) are out of bounds"),
        ((0, 0), ValueError, r"axes=\(0, 0\) are the same"),
        ((0, -2), ValueError, r"axes=\(0, -2\) are the same"),
        (1, TypeError, "axes must be a pair of integers, got 1"),
        ((0, 1, 2), TypeError, r"axes must be a pair of integers, got \(0, 1, 2\)"),
        ((None, 1), TypeError, r"axes must be a pair of integers, got \(None, 1\)"),
        ((0.0, True), TypeError, r"axes must be a pair of integers, got \(0.0, True\)"),
    ],
)
def test_axes_of_permutations_that_are_refused(axes, error, message):
    with pytest.raises(error, match=f"permutation_loss: {message}"):
        losses.permutation_loss(np.eye(3), np.eye(3), axes=axes)


def test_masks_of_permutations_are_one_or_two():
    with pytest.raises(ValueError, match=r"where must be a mask, or a pair.* got 1"):
        losses.permutation_loss(np.eye(3), np.eye(3), where=(np.ones(3, bool),))
