"""Learn to rank patients by the progression of their disease.

The diabetes data have ten measurements of 442 patients, and how far the disease had
progressed a year later. A doctor who has to choose whom to see first needs the order,
not the number. A small network is trained on lists of twenty patients, by

- the squared error of the number, which is ordinary regression;
- one less Spearman's correlation with soft ranks;
- one less the NDCG of the first five, with a soft permutation;
- the Fenchel-Young loss of ranks;

and judged by Spearman's correlation and the NDCG@5 of hard orders, on patients that it
has never seen: mean and spread over random splits.

Run with `python examples/learn_to_rank.py`.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_diabetes
from tqdm import tqdm

import softjax as sj
from softjax import losses

LENGTH = 20
BATCH = 16
FIRST = 5


def relevance(y):
    """From 0 to 4, as grades of an NDCG."""
    return 4 * (y - y.min()) / (y.max() - y.min())


def squared_error(scores, y):
    return jnp.mean((scores - y) ** 2, axis=-1)


def spearman_loss(scores, y):
    return 1 - losses.spearman(scores, y, softness=0.1, standardize=True)


def ndcg_loss(scores, y):
    gains = 4 * jax.nn.sigmoid(y)
    return 1 - losses.ndcg(scores, gains, FIRST, softness=0.1, standardize=True)


def rank_loss(scores, y):
    ranks = sj.rank(y, axis=-1, mode="hard")
    return losses.rank_loss(scores, ranks, softness=1.0) / LENGTH**2


LOSSES = {
    "squared error": squared_error,
    "soft Spearman": spearman_loss,
    f"soft NDCG@{FIRST}": ndcg_loss,
    "Fenchel-Young of ranks": rank_loss,
}


def load_data(seed):
    """Standardized measurements and progressions, for training and testing."""
    data: Any = load_diabetes()
    x, y = ((a - a.mean(axis=0)) / a.std(axis=0) for a in (data.data, data.target))
    train, test = np.split(np.random.default_rng(seed).permutation(len(y)), [300])
    return [
        (jnp.asarray(x[part], jnp.float32), jnp.asarray(y[part], jnp.float32))
        for part in (train, test)
    ]


def learn(loss, seed, steps):
    """Spearman's correlation and NDCG on test patients, and the time of a step."""
    (x, y), (x_test, y_test) = load_data(seed)
    optimizer = optax.adamw(3e-3, weight_decay=1e-2)
    network = eqx.nn.MLP(10, 1, 16, 1, key=jax.random.key(seed))
    state = optimizer.init(eqx.filter(network, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(network, state, lists):
        def total(network):
            scores = jax.vmap(network)(x[lists.reshape(-1)]).reshape(lists.shape)
            return jnp.mean(loss(scores, y[lists]))

        gradient = eqx.filter_grad(total)(network)
        parameters = eqx.filter(network, eqx.is_inexact_array)
        updates, state = optimizer.update(gradient, state, parameters)
        return eqx.apply_updates(network, updates), state

    rng, times = np.random.default_rng(seed), []
    for _ in tqdm(range(steps), leave=False):
        lists = jnp.asarray(rng.integers(0, len(y), (BATCH, LENGTH)))
        begin = time.perf_counter()
        network, state = jax.block_until_ready(step(network, state, lists))
        times.append(time.perf_counter() - begin)
    scores = jax.vmap(network)(x_test)[:, 0]
    spearman = losses.spearman(scores, y_test, mode="hard")
    ndcg = losses.ndcg(scores, relevance(y_test), FIRST, mode="hard")
    return float(spearman), float(ndcg), np.median(times), scores, y_test


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--output", type=Path, default=Path("learn_to_rank.png"))
    args = parser.parse_args()
    print(f"Patients never seen, {args.seeds} splits: mean and spread\n")
    print(f"{'loss':<24} {'Spearman':>15} {f'NDCG@{FIRST}':>15} {'a step':>9}")
    figure, axes = plt.subplots(
        1, len(LOSSES), figsize=(13, 3.5), sharey=True, layout="constrained"
    )
    for axis, (name, loss) in zip(axes, LOSSES.items(), strict=True):
        runs = [learn(loss, seed, args.steps) for seed in range(args.seeds)]
        spearman, ndcg, times, scores, truth = zip(*runs, strict=True)
        cells = [f"{np.mean(m):.3f} ± {np.std(m):.3f}" for m in (spearman, ndcg)]
        seconds = 1e3 * np.median(times)
        print(f"{name:<24} {cells[0]:>15} {cells[1]:>15} {seconds:6.1f} ms", flush=True)
        ranks = [np.argsort(np.argsort(a)) + 1 for a in (scores[0], truth[0])]
        axis.plot(*ranks, ".", ms=4)
        axis.set(title=f"{name}: {spearman[0]:.2f}", xlabel="rank by the score")
    axes[0].set_ylabel("rank by the progression")
    figure.savefig(args.output, dpi=120)
    print(f"\nSaved {args.output}")


if __name__ == "__main__":
    main()
