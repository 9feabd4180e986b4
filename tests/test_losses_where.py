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
    """The number of elements, which is known where there is no mask."""
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
        pytest.param("c0", ["top_k_loss"], id="c0-top_k"),
        *[
            pytest.param(mode, names, id=f"{mode}", marks=pytest.mark.slow)
            for mode, names in (
                ("c0", list(FENCHEL_YOUNG)),
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


@pytest.mark.slow
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


@each("case", [*FENCHEL_YOUNG, *FOUND, *PAIRS], fast=("spearman",))
def test_rows_without_elements(case):
    """The loss of nothing, which nothing moves; other rows stay as they are."""
    loss = (FENCHEL_YOUNG | FOUND | PAIRS)[case]
    nothing = np.nan if case.startswith(("auc", "trimmed_mean")) else 0
    where = np.stack([np.zeros(3, bool), np.ones(3, bool)])
    arrays = [x.astype(np.float32) for x in _arrays(where.shape)]
    keywords = dict(mode="c0", softness=0.3)
    masked = [_hide(x, where) for x in arrays]
    moves, out = make({case: loss}, where=where, **keywords)(*masked)[case]
    np.testing.assert_array_equal(out[0], nothing)
    assert_close(out[1], loss(*(x[1] for x in arrays), **keywords), atol=1e-6)
    assert not any(np.any(move[0]) for move in moves)


@pytest.mark.slow
def test_masks_of_rows_and_of_columns(x64):
    """A pair of masks, along any axes; those of equal numbers."""
    rng = inputs.rng("matrices")
    scores, target = rng.normal(size=(2, 4, 4)), rng.uniform(size=(2, 4, 4))
    rows = np.array([[1, 0, 1, 1], [0, 1, 0, 1]], bool)
    columns = np.array([[1, 1, 1, 0], [1, 0, 0, 1]], bool)
    inside = rows[:, :, None] & columns[:, None, :]
    hidden = np.where(inside, scores, np.nan), np.where(inside, target, np.inf)

    def loss(scores, target, rows, columns, axes):
        return losses.permutation_loss(
            scores, target, axes, where=(rows, columns), mode="c1"
        )

    out = loss(*hidden, rows, columns, (-2, -1))
    for i in range(2):
        few = (x[i][np.ix_(rows[i], columns[i])] for x in (scores, target))
        assert_close(out[i], losses.permutation_loss(*few, mode="c1"), atol=1e-8)
    # The columns in front, the batch behind.
    moved = (np.moveaxis(x, (0, 1, 2), (2, 1, 0)) for x in hidden)
    assert_close(loss(*moved, rows.T, columns.T, (1, 0)), out, atol=1e-8)
    # Columns of which none is left out.
    with pytest.raises(ValueError, match="as many rows as columns"):
        loss(*hidden, rows, None, (-2, -1))
    traced = jax.jit(lambda rows: loss(*hidden, rows, columns, (-2, -1)))
    assert_close(traced(rows[[0, 0]]), np.array([out[0], np.nan]), atol=1e-8)


def test_what_masks_are_refused():
    z, t = np.zeros((2, 3)), np.ones((2, 3)) / 3
    with pytest.raises(TypeError, match="simplex_loss: where must be a Boolean array"):
        losses.simplex_loss(z, t, where=np.ones(3))
    with pytest.raises(ValueError, match=r"auc: where of shape \(2,\) must broadcast"):
        losses.auc(z, t, where=np.ones(2, bool))
    with pytest.raises(ValueError, match=r"trimmed_mean: .* of 3 elements or less"):
        losses.trimmed_mean(z, 0.5, where=True)
