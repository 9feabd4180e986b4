"""Learn to rank what is found for queries that find different numbers of things.

A query is an image of a handwritten digit, and finds 5 to 60 other images, which are to
be ordered by how near their digits are: those of the same digit first, then those of
the next ones. A small network maps images to points, and the score of an image is minus
its squared distance to the query. All images of a batch lie behind each other in flat
arrays, with the number of the query that each belongs to. Losses of whole lists see
them as rows of a padded array, with a mask (`where=`), and the network is trained by

- the squared error of scores, one by one;
- Rax's softmax loss and its approximate NDCG (`pip install rax`; left out without it);
- one less the NDCG of the first ten, with a soft permutation;
- one less the NDCG with soft ranks.

It is judged by the NDCG@10 of hard orders, of images that it has never seen: mean and
standard deviation over seeds, each with its own split, network and batches. All seeds
are trained at once by `jax.vmap`.

Run with `python examples/learn_to_rank_queries.py`; `--steps 20 --seeds 2` is a try.
"""

import argparse
import functools
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from tqdm import tqdm

import softjax as sj
from softjax import losses

try:
    import rax  # pyright: ignore[reportMissingImports]
except ImportError:
    rax = None

FIRST = 10
TEMPERATURE = 0.1
"""Of Rax's sigmoids; its default of 1 is too soft for these scores."""
SIZES = np.linspace(5, 60, 12).astype(int)
"""How many images each query of a batch finds; the same in all, so that shapes are."""
QUERY = np.repeat(np.arange(len(SIZES)), SIZES)
"""The query of each image that is found."""
PLACE = np.concatenate([np.arange(size) for size in SIZES])
WHERE = np.arange(SIZES.max()) < SIZES[:, None]


def pad(flat):
    """Rows of what each query finds, of the longest one's length."""
    return jnp.zeros(WHERE.shape, flat.dtype).at[QUERY, PLACE].set(flat)


def squared_error(scores, relevance):
    return jnp.mean((2 + scores - relevance) ** 2)


def soft_ndcg(scores, relevance):
    keywords = dict(softness=0.1, standardize=True, where=WHERE)
    return 1 - jnp.mean(losses.ndcg(pad(scores), pad(relevance), FIRST, **keywords))


def dcg(ranks, relevance):
    gains = (2**relevance - 1) / jnp.log2(1 + ranks)
    return jax.ops.segment_sum(gains, QUERY, len(SIZES))


def rank_ndcg(scores, relevance):
    keywords = dict(axis=-1, where=WHERE)
    soft = sj.rank(pad(scores), softness=0.1, standardize=True, **keywords)
    ideal = jnp.argsort(jnp.argsort(jnp.where(WHERE, -pad(relevance), np.inf)))
    found = dcg(soft[QUERY, PLACE], relevance)
    return 1 - jnp.mean(found / dcg(1 + ideal[QUERY, PLACE], relevance))


def rax_softmax(scores, relevance):
    return rax.softmax_loss(pad(scores), pad(relevance), where=WHERE)


def rax_ndcg(scores, relevance):
    # What `rax.approx_t12n(rax.ndcg_metric, TEMPERATURE)` is, which needs an older JAX.
    def step(x):
        return jax.nn.sigmoid(x / TEMPERATURE)

    soft = functools.partial(rax.utils.approx_ranks, step_fn=step)
    padded = pad(scores), pad(relevance)
    return -rax.ndcg_metric(*padded, where=WHERE, rank_fn=soft)


LOSSES = {"squared error": squared_error}
if rax is not None:
    LOSSES |= {"Rax: softmax": rax_softmax, "Rax: approximate NDCG": rax_ndcg}
LOSSES |= {f"soft NDCG@{FIRST}": soft_ndcg, "NDCG of soft ranks": rank_ndcg}


def ask(key, images, digits):
    """A batch of queries, what they find, and how relevant that is: 2, 1 or 0."""
    keys = jax.random.split(key, 3)
    query = jax.random.randint(keys[0], SIZES.shape, 0, len(digits))
    found = jax.random.randint(keys[1], QUERY.shape, 0, len(digits))
    # The first is of the same digit, so that there is something to find.
    same = jnp.where(digits[query][:, None] == digits, 0, -jnp.inf)
    found = found.at[PLACE == 0].set(jax.random.categorical(keys[2], same))
    distance = jnp.abs(digits[query][QUERY] - digits[found])
    return images[query], images[found], jnp.maximum(2.0 - distance, 0)


def score(network, queries, found):
    points, centers = jax.vmap(network)(found), jax.vmap(network)(queries)
    return -jnp.sum((points - centers[QUERY]) ** 2, axis=-1)


def judge(network, key, images, digits):
    """Mean of the NDCG of hard orders, of a batch."""
    queries, found, relevance = ask(key, images, digits)
    padded = pad(score(network, queries, found)), pad(relevance)
    return jnp.mean(losses.ndcg(*padded, FIRST, mode="hard", where=WHERE))


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
    for name, loss in LOSSES.items():
        ndcg, seconds = learn(loss, args.seeds, args.steps)
        cell = f"{np.mean(ndcg):.3f} ± {np.std(ndcg):.3f}"
        print(f"{name:<24} {cell:>15} {1e3 * seconds:6.1f} ms", flush=True)


if __name__ == "__main__":
    main()
