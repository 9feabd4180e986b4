"""Classify digits by their nearest neighbours in an embedding that is learned.

A query is given the mean label of its k = 5 nearest neighbours among labelled images.
To learn the space in which distances are taken, the choice of neighbours has to have a
gradient. Four ways to choose:

- a softmax over all images, that is attention, which is no choice of k;
- a soft top-k mask with the entropy: all take part, none by more than one share;
- a soft top-k mask with "c0", which is sparse: few take part;
- its straight-through variant: k of them, exactly, with the gradient of the soft mask.

In the end all are judged by the same hard vote of k neighbours, on images that are
neither queries nor neighbours in training. What needs no gradient stands beside it: the
64 pixels themselves, and as few principal components of them as the embedding has.

Run with `python examples/nearest_neighbours.py`.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits
from tqdm import tqdm

import softjax as sj

K = 5
DIMENSIONS = 4
LABELLED = 400
BATCH = 100
SOFTNESS = 1.0

CHOICES = {
    "softmax attention": lambda z: K * sj.argmax(z, axis=-1, softness=SOFTNESS),
    "top-k mask, smooth": lambda z: sj.top_k_mask(z, K, softness=SOFTNESS),
    "top-k mask, c0": lambda z: sj.top_k_mask(z, K, mode="c0", softness=SOFTNESS),
    "straight-through": lambda z: sj.top_k_mask_st(z, K, softness=SOFTNESS),
}


def load_data(seed):
    """Labelled images, queries to train with, and images to test with."""
    x, y = load_digits(return_X_y=True)
    x = jnp.asarray(x / 16, jnp.float32)
    order = np.random.default_rng(seed).permutation(len(y))
    parts = np.split(order, [LABELLED, 1200])
    return [(x[part], jnp.asarray(np.eye(10)[y[part]], jnp.float32)) for part in parts]


def nearness(embedding, x, neighbours):
    """Minus squared distances, `queries neighbours`."""
    a, b = x @ embedding, neighbours @ embedding
    return -jnp.sum((a[:, None] - b) ** 2, axis=-1)


def vote(embedding, x, labelled, choose):
    """Mean labels of the chosen neighbours."""
    images, labels = labelled
    return choose(nearness(embedding, x, images)) @ labels / K


def accuracy(embedding, data, labelled):
    shares = vote(
        embedding, data[0], labelled, lambda z: sj.top_k_mask(z, K, mode="hard")
    )
    return float(jnp.mean(jnp.argmax(shares, -1) == jnp.argmax(data[1], -1)))


def components(x):
    """The directions in which images vary most."""
    centred = x - jnp.mean(x, axis=0)
    return jnp.linalg.svd(centred, full_matrices=False)[2][:DIMENSIONS].T


def learn(choose, seed, steps):
    """The error on test images, how many neighbours take part, and the time a step."""
    labelled, train, test = load_data(seed)
    optimizer = optax.adam(1e-2)

    def loss(embedding, x, labels):
        shares = vote(embedding, x, labelled, choose)
        return -jnp.mean(jnp.log(jnp.sum(shares * labels, axis=-1) + 1e-3))

    @jax.jit
    def step(embedding, state, x, labels):
        gradient = jax.grad(loss)(embedding, x, labels)
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(embedding, updates), state

    embedding = jax.random.normal(jax.random.key(seed), (64, DIMENSIONS)) / 4
    state, times = optimizer.init(embedding), []
    rng = np.random.default_rng(seed)
    for _ in tqdm(range(steps), leave=False):
        batch = rng.integers(0, len(train[0]), BATCH)
        begin = time.perf_counter()
        embedding, state = jax.block_until_ready(
            step(embedding, state, train[0][batch], train[1][batch])
        )
        times.append(time.perf_counter() - begin)
    mask = choose(nearness(embedding, test[0], labelled[0]))
    part = float(jnp.mean(jnp.sum(mask > 1e-3, axis=-1)))
    return accuracy(embedding, test, labelled), part, np.median(times), embedding


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--output", type=Path, default=Path("nearest_neighbours.png"))
    args = parser.parse_args()
    print(
        f"Digits by {K} of {LABELLED} neighbours in {DIMENSIONS} learned dimensions, "
        f"{args.seeds} seeds: mean and spread\n"
    )
    fixed = {
        "64 pixels": lambda x: jnp.eye(64),
        f"{DIMENSIONS} components": components,
    }
    heads = "choice of neighbours", "accuracy, %", "take part", "a step"
    print("{:<22} {:>13} {:>10} {:>9}".format(*heads))
    for name, embed in fixed.items():
        scores = []
        for seed in range(args.seeds):
            labelled, _, test = load_data(seed)
            scores.append(accuracy(embed(labelled[0]), test, labelled))
        cell = f"{100 * np.mean(scores):.1f} ± {100 * np.std(scores):.1f}"
        print(f"{name:<22} {cell:>13} {K:>10.1f}")
    figure, axes = plt.subplots(
        1, len(CHOICES), figsize=(13, 3.5), layout="constrained"
    )
    for axis, (name, choose) in zip(axes, CHOICES.items(), strict=True):
        runs = [learn(choose, seed, args.steps) for seed in range(args.seeds)]
        scores, parts, times, embeddings = zip(*runs, strict=True)
        cell = f"{100 * np.mean(scores):.1f} ± {100 * np.std(scores):.1f}"
        seconds = 1e3 * np.median(times)
        print(f"{name:<22} {cell:>13} {np.mean(parts):10.1f} {seconds:6.1f} ms")
        _, _, test = load_data(0)
        points = np.asarray(test[0] @ embeddings[0])
        # The two directions in which the first run's embedding varies most.
        points = points - points.mean(axis=0)
        plane = points @ np.linalg.svd(points, full_matrices=False)[2][:2].T
        axis.scatter(*plane.T, c=np.argmax(test[1], -1), cmap="tab10", s=6)
        axis.set(title=f"{name}: {100 * scores[0]:.1f} %", xticks=[], yticks=[])
    figure.savefig(args.output, dpi=120)
    print(f"\nSaved {args.output}")


if __name__ == "__main__":
    main()
