"""Learn to rank what is found for queries that find different numbers of things.

A query is an image of a handwritten digit, and finds 5 to 60 other images, which are to
be ordered by how near their digits are: those of the same digit first, then those of
the next ones. A small network maps images to points, and the score of an image is minus
its squared distance to the query. All images of a batch lie behind each other in flat
arrays, with the number of the query that each belongs to, and the network is trained by

- the squared error of scores, one by one;
- Rax's softmax loss and its approximate NDCG (`pip install rax`; left out without it),
  of rows that are padded (`sj.segment.pad`), with a mask;
- one less the NDCG of the first ten, with soft permutations of such rows (`where=`);
- one less the NDCG with soft ranks of such rows;
- the same with ranks in segments of the flat array (`sj.segment.rank`), which never
  has more elements than there are images.

It is judged by the NDCG@10 of hard orders, of images that it has never seen: mean and
standard deviation over seeds, each with its own split, network and batches. All seeds
are trained at once by `jax.vmap`.

Run with `python examples/learn_to_rank_queries.py`; `--steps 20 --seeds 2` is a try.
"""

import argparse
import functools
import importlib.util
import time
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from tqdm import tqdm

import softjax as sj
from softjax import losses

rax: Any = importlib.import_module("rax") if importlib.util.find_spec("rax") else None
FIRST = 10
SOFTNESS = 0.03
"""Softness of ranks, here and in Rax, whose default of 1 is too soft for these."""
SIZES = np.linspace(5, 60, 12).astype(int)
"""Number of images that each query of a batch finds: one for all, as shapes are."""
QUERY = np.repeat(np.arange(len(SIZES)), SIZES)
"""The query of each image that is found."""
FIRST_OF_QUERY = np.cumsum(SIZES) - SIZES


def pad(*flat):
    """Rows of what each query finds, of the longest one's length, and their mask."""
    rows, where, _ = sj.segment.pad(flat, QUERY, len(SIZES))
    return *rows, where


def squared_error(scores, relevance):
    return jnp.mean((2 + scores - relevance) ** 2)


def soft_ndcg(scores, relevance):
    scores, relevance, where = pad(scores, relevance)
    keywords: Any = dict(softness=0.1, standardize=True, where=where)
    return 1 - jnp.mean(losses.ndcg(scores, relevance, FIRST, **keywords))


def dcg(ranks, relevance):
    gains = (2**relevance - 1) / jnp.log2(1 + ranks)
    return jax.ops.segment_sum(gains, QUERY, len(SIZES))


def ndcg_of_ranks(ranks, relevance):
    order = jnp.lexsort((-relevance, QUERY))
    places = np.arange(len(QUERY)) - FIRST_OF_QUERY[QUERY] + 1
    return dcg(ranks, relevance) / dcg(places, relevance[order])


def padded_ranks(scores, relevance):
    rows, where, unpad = sj.segment.pad(scores, QUERY, len(SIZES))
    ranks = unpad(sj.rank(rows, axis=-1, softness=SOFTNESS, where=where))
    return 1 - jnp.mean(ndcg_of_ranks(ranks, relevance))


def flat_ranks(scores, relevance):
    ranks = sj.segment.rank(scores, QUERY, len(SIZES), softness=SOFTNESS)
    return 1 - jnp.mean(ndcg_of_ranks(ranks, relevance))


def rax_softmax(scores, relevance):
    scores, relevance, where = pad(scores, relevance)
    return rax.softmax_loss(scores, relevance, where=where)


def rax_ndcg(scores, relevance):
    # What `rax.approx_t12n(rax.ndcg_metric, SOFTNESS)` is, which needs an older JAX.
    def step(x):
        return jax.nn.sigmoid(x / SOFTNESS)

    scores, relevance, where = pad(scores, relevance)
    soft = functools.partial(rax.utils.approx_ranks, step_fn=step)
    return -rax.ndcg_metric(scores, relevance, where=where, rank_fn=soft)


LOSSES = {"squared error": squared_error}
if rax is not None:
    LOSSES |= {"Rax: softmax": rax_softmax, "Rax: approximate NDCG": rax_ndcg}
LOSSES |= {
    f"soft NDCG@{FIRST}": soft_ndcg,
    "NDCG of padded ranks": padded_ranks,
    "NDCG of flat ranks": flat_ranks,
}


def ask(key, images, digits):
    """A batch of queries, what they find, and how relevant that is: 2, 1 or 0."""
    keys = jax.random.split(key, 3)
    query = jax.random.randint(keys[0], SIZES.shape, 0, len(digits))
    found = jax.random.randint(keys[1], QUERY.shape, 0, len(digits))
    # The first is of the same digit, so that there is something to find.
    same = jnp.where(digits[query][:, None] == digits, 0, -jnp.inf)
    found = found.at[FIRST_OF_QUERY].set(jax.random.categorical(keys[2], same))
    distance = jnp.abs(digits[query][QUERY] - digits[found])
    return images[query], images[found], jnp.maximum(2.0 - distance, 0)


def score(network, queries, found):
    points, centers = jax.vmap(network)(found), jax.vmap(network)(queries)
    return -jnp.sum((points - centers[QUERY]) ** 2, axis=-1)


def judge(network, key, images, digits):
    """Mean of the NDCG of hard orders, of a batch."""
    queries, found, relevance = ask(key, images, digits)
    scores, relevance, where = pad(score(network, queries, found), relevance)
    hard = losses.ndcg(scores, relevance, FIRST, mode="hard", where=where)
    return jnp.mean(hard)


def learn(loss, seeds, steps):
    """The NDCG of each seed, on test images, and the time of a step of one."""
    x, y = load_digits(return_X_y=True)
    rng = np.random.default_rng(0)
    order = np.stack([rng.permutation(len(y)) for _ in range(seeds)])
    x, y = jnp.asarray(x / 16, jnp.float32)[order], jnp.asarray(y)[order]
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))

    def start(key):
        network = eqx.nn.MLP(64, 4, 32, 1, key=key)
        return network, optimizer.init(eqx.filter(network, eqx.is_inexact_array))

    def step(network, state, key, images, digits):
        def total(network):
            queries, found, relevance = ask(key, images, digits)
            return loss(score(network, queries, found), relevance)

        updates, state = optimizer.update(eqx.filter_grad(total)(network), state)
        return eqx.apply_updates(network, updates), state

    step_all = eqx.filter_jit(eqx.filter_vmap(step))
    judge_all = eqx.filter_jit(eqx.filter_vmap(judge))
    keys = jax.random.split(jax.random.key(0), seeds)
    networks, states = eqx.filter_vmap(start)(keys)
    train, test = (x[:, :1300], y[:, :1300]), (x[:, 1300:], y[:, 1300:])
    times = []
    for i in tqdm(range(steps), leave=False):
        keys = jax.random.split(jax.random.key(1 + i), seeds)
        begin = time.perf_counter()
        networks, states = step_all(networks, states, keys, *train)
        jax.block_until_ready(networks)
        times.append(time.perf_counter() - begin)
    found = [
        judge_all(networks, jax.random.split(jax.random.key(-1 - i), seeds), *test)
        for i in range(40)
    ]
    return np.mean(found, axis=0), np.median(times) / seeds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    args = parser.parse_args()
    if rax is None:
        print("Without Rax, whose losses are left out: `pip install rax` has them.\n")
    print(
        f"Queries that find {SIZES.min()} to {SIZES.max()} images, never seen; "
        f"{args.seeds} seeds, {args.steps} steps\n"
    )
    print(f"{'loss':<24} {f'NDCG@{FIRST}':>15} {'a step':>9}")
    runs = {}
    for name, loss in LOSSES.items():
        ndcg, seconds = learn(loss, args.seeds, args.steps)
        runs[loss] = ndcg
        cell = f"{np.mean(ndcg):.3f} ± {np.std(ndcg):.3f}"
        print(f"{name:<24} {cell:>15} {1e3 * seconds:6.1f} ms", flush=True)
    apart = np.abs(runs[padded_ranks] - runs[flat_ranks]).max()
    print(f"\nPadded and flat ranks learn the same, up to {apart:.4f}.")


if __name__ == "__main__":
    main()
