"""Examples in `examples/`, as far as they compute the same in two ways."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close

import softjax as sj

FOLDER = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_ndcg_of_padded_and_of_flat_ranks(monkeypatch):
    for name in ("optax", "sklearn", "tqdm"):
        pytest.importorskip(name)
    monkeypatch.syspath_prepend(str(FOLDER))
    import learn_to_rank_queries as example

    rng = np.random.default_rng(0)
    scores = jnp.asarray(rng.normal(size=example.QUERY.shape))
    relevance = jnp.asarray(rng.integers(0, 3, scores.shape), scores.dtype)
    padded, flat = (
        jax.value_and_grad(loss)(scores, relevance)
        for loss in (example.padded_ranks, example.flat_ranks)
    )
    assert_close(flat[0], padded[0], atol=1e-6)
    assert_close(flat[1], padded[1], atol=1e-6)
    ranks = sj.segment.rank(scores, example.QUERY, len(example.SIZES), mode="hard")
    *rows, where = example.pad(scores, relevance)
    wanted = sj.losses.ndcg(*rows, mode="hard", where=where)
    assert_close(example.ndcg_of_ranks(ranks, relevance), wanted, atol=1e-6)


@pytest.mark.slow
def test_hard_triage_gets_better(monkeypatch):
    for name in ("optax", "sklearn", "tqdm"):
        pytest.importorskip(name)
    monkeypatch.syspath_prepend(str(FOLDER))
    import soften_program as example

    patients, others, malignant, others_malignant = example.load()
    rules = example.train(patients, malignant, steps=60)
    errors = [
        np.mean(
            (np.asarray(jax.vmap(example.triage, (None, 0))(r, others)) > 0.5)
            != np.asarray(others_malignant)
        )
        for r in (example.START, rules)
    ]
    assert errors[1] < errors[0] / 2
