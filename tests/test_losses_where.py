"""Masks of losses: `loss(x, where=m)` is `loss(x[m])` row by row, and its gradient."""

import inputs
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from parametrize import each

from softjax import losses

# Several and alone; masked elements are in front, behind and between.
WHERE = np.array([[1, 1, 0, 1, 0], [0, 1, 1, 0, 1], [0, 0, 0, 1, 0]], bool)


def _size(z, where=None, **keywords):
    """How many elements there are, which is known where there is no mask."""
    return z.shape[-1] if where is None else np.asarray(where).sum(-1, keepdims=True)


# Losses of scores, targets and positive numbers, all of one shape.
FENCHEL_YOUNG = {
    "simplex_loss": lambda z, t, w, **kw: losses.simplex_loss(z, t, **kw),
    "top_k_loss": lambda z, t, w, **kw: losses.top_k_loss(
        z, t, np.minimum(2, _size(z, **kw)), **kw
    ),
    "rank_loss": lambda z, t, w, **kw: losses.rank_loss(z, t, **kw),
    "rank_loss_ascending": lambda z, t, w, **kw: losses.rank_loss(
        z, t, descending=False, **kw
    ),
    "permutation_loss": lambda z, t, w, **kw: losses.permutation_loss(
        _square(z, jnp.cos, **kw), _square(t, jnp.asarray, **kw), **kw
    ),
}
# By soft indices or masks, by ranks, and by steps.
FOUND = {
    "top_k_cross_entropy": lambda z, t, w, **kw: losses.top_k_cross_entropy(
        z, t, 1, **kw
    ),
    "ndcg": lambda z, t, w, **kw: losses.ndcg(z, t, 1, **kw),
    "ndcg_weighted": lambda z, t, w, **kw: losses.ndcg(z, t, weights=w, **kw),
    "mrr": lambda z, t, w, **kw: losses.mrr(z, t, **kw),
    "average_precision": lambda z, t, w, **kw: losses.average_precision(z, t, **kw),
    "precision": lambda z, t, w, **kw: losses.precision(z, t, 1, **_masks(kw)),
    "recall": lambda z, t, w, **kw: losses.recall(z, t, 0.5, **_masks(kw)),
    "trimmed_mean": lambda z, t, w, **kw: losses.trimmed_mean(z, (0.2, 0.3), **kw),
    "spearman": lambda z, t, w, **kw: losses.spearman(z, t, **kw),
}
PAIRS = {
    "auc": lambda z, t, w, **kw: losses.auc(z, t, **kw),
    "auc_weighted": lambda z, t, w, **kw: losses.auc(z, t, weights=w, **kw),
    "pairwise_loss": lambda z, t, w, **kw: losses.pairwise_loss(z, t, **kw),
    "pairwise_loss_weighted": lambda z, t, w, **kw: losses.pairwise_loss(
        z, t, weights=w, **kw
    ),
}


def _square(x, fn, where=True, **keywords):
    """A matrix `x_i fn(x_j)`, NaN where one of them is not there."""
    x = jnp.where(where, x, 0)
    inside = jnp.broadcast_to(where, x.shape)
    inside = inside[..., :, None] & inside[..., None, :]
    return jnp.where(inside, x[..., :, None] * fn(x)[..., None, :], jnp.nan)


def _masks(keywords):
    """Keywords of masks: methods of soft indices are no methods of masks."""
    return {key: x for key, x in keywords.items() if key != "method"}


def make(cases, **keywords):
    """A function to values and gradients in all arrays, one program for all losses."""

    @jax.jit
    def run(*arrays):
        def one(loss):
            def total(*arrays):
                out = loss(*arrays, **keywords)
                return jnp.sum(out), out

            return jax.grad(total, argnums=(0, 1, 2), has_aux=True)(*arrays)

        return {name: one(loss) for name, loss in cases.items()}

    return lambda *arrays: jax.tree.map(np.asarray, run(*arrays))


def _arrays(shape):
    rng = inputs.rng("masked losses")
    target = rng.uniform(0.1, 0.9, size=shape)
    return rng.normal(size=shape), target, rng.uniform(0.5, 2, size=shape)


def _hide(x, where):
    hidden = inputs.rng("hidden").choice([np.nan, np.inf, -np.inf], size=x.shape)
    return np.where(where, x, hidden)


def assert_rows(cases, atol=1e-9, where=WHERE, **keywords):
    arrays = _arrays(where.shape)
    masked = [_hide(x, where) for x in arrays]
    found, alone = (
        make(cases, where=where, **keywords)(*masked),
        make(cases, **keywords),
    )
    for row, here in enumerate(where):
        few = alone(*(x[row, here] for x in arrays))
        for name, (moves, out) in found.items():
            wanted_moves, wanted = few[name]
            assert_close(out[row], wanted, atol=atol)
            for move, expected in zip(moves, wanted_moves, strict=True):
                assert np.all(move[row, ~here] == 0), name
                # One row alone has no pairs, and no derivative of a mean of nothing.
                expected = np.where(np.isnan(expected), 0, expected)
                np.testing.assert_allclose(
                    move[row, here], expected, atol=atol, rtol=1e-9, err_msg=name
                )


@pytest.mark.parametrize(
    ("mode", "names"),
    [
        pytest.param("c0", list(FENCHEL_YOUNG), id="c0"),
        *[
            pytest.param(mode, names, id=f"{mode}", marks=pytest.mark.slow)
            for mode, names in (
                ("c1", list(FENCHEL_YOUNG)),
                ("smooth", ["simplex_loss", "top_k_loss", "permutation_loss"]),
            )
        ],
    ],
)
def test_fenchel_young_losses_of_what_there_is(x64, mode, names):
    cases = {name: FENCHEL_YOUNG[name] for name in names}
    assert_rows(cases, 1e-8, mode=mode, softness=0.7)


_SOME = ("ndcg_weighted", "average_precision", "precision", "trimmed_mean", "spearman")


def test_some_metrics_of_what_there_is():
    some = {name: FOUND[name] for name in _SOME}
    assert_rows(some, 2e-5, softness=0.3)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["smooth", "c1", "hard"])
@pytest.mark.parametrize("method", ["softsort", "neuralsort", "ot", "sorting_network"])
def test_metrics_of_what_there_is(x64, mode, method):
    assert_rows(FOUND, 1e-7, mode=mode, method=method, softness=0.3)


@each("mode", ["smooth", "c0", "hard"], fast=("smooth",))
def test_pairs_of_what_there_is(x64, mode):
    assert_rows(PAIRS, mode=mode, softness=0.5)
