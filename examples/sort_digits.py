"""Learn to sort images of numbers from their order alone.

Numbers of two digits are composed of handwritten ones. A small network sees five images
at a time and gives each a score; all it is told is which image is the largest, the
second largest, ... Never a number. The loss compares the soft order of the scores with
the right one: the cross-entropy of soft permutation matrices, where a method has them,
and the squared error of soft ranks where it has values only. In the end, scores are
sorted hard: how often is an image in its place, and how often is the order right
altogether?

The digits of test numbers are other images than those of training. All seeds are
trained at once by `jax.vmap`. The baseline is told more: it learns the numbers by
regression.

Run with `python examples/sort_digits.py`.
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
from sklearn.datasets import load_digits
from tqdm import tqdm

import softjax as sj

LENGTH = 5
BATCH = 64
METHODS: dict[str, dict[str, Any]] = {
    "softsort": dict(method="softsort", softness=0.3),
    "neuralsort": dict(method="neuralsort", softness=1.0),
    "ot": dict(method="ot", softness=0.1, standardize=True),
    "sorting_network": dict(method="sorting_network", softness=0.3),
    "fast_soft_sort": dict(method="fast_soft_sort", mode="c0", softness=0.3),
    "smooth_sort": dict(method="smooth_sort", softness=0.3),
}
REGRESSION = "regression of the numbers"


def load_data():
    """Images by digit, for training and testing."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8).astype(np.float32)
    train, test = np.split(np.random.default_rng(0).permutation(len(y)), [1300])
    return [(jnp.asarray(x[part]), jnp.asarray(y[part])) for part in (train, test)]


def compose(key, data, batch):
    """Images of two digits side by side, and their numbers: `batch LENGTH`."""
    x, y = data
    index = jax.random.randint(key, (batch, LENGTH, 2), 0, len(y))
    images = jnp.moveaxis(x[index], 2, 3).reshape(batch, LENGTH, 128)
    numbers = 10 * y[index[..., 0]] + y[index[..., 1]]
    return images, numbers


def score(network, images):
    return jax.vmap(jax.vmap(network))(images)[..., 0]


def loss(network, images, numbers, name):
    scores = score(network, images)
    if name == REGRESSION:
        return jnp.mean((scores - numbers / 100) ** 2)
    keywords = METHODS[name]
    if name in ("fast_soft_sort", "smooth_sort"):
        ranks = sj.rank(scores, axis=-1, **keywords)
        return jnp.mean((ranks - sj.rank(1.0 * numbers, axis=-1, mode="hard")) ** 2)
    index = sj.argsort(scores, axis=-1, descending=True, **keywords)
    order = jnp.argsort(-numbers, axis=-1)
    right = jnp.take_along_axis(index, order[..., None], axis=-1)
    return -jnp.mean(jnp.log(jnp.clip(right, 1e-7)))


def accuracy(network, images, numbers):
    """Shares of images in their place, and of orders that are right altogether."""
    order = jnp.argsort(-score(network, images), axis=-1)
    found = jnp.take_along_axis(numbers, order, axis=-1)
    # Equal numbers may change places.
    right = found == -jnp.sort(-numbers, axis=-1)
    return jnp.mean(right), jnp.mean(jnp.all(right, axis=-1))


def learn(name, train, test, seeds, steps):
    """The accuracies of all seeds, on test data, after a number of steps each."""
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))

    def start(key):
        network = eqx.nn.MLP(128, 1, 64, 2, key=key)
        return network, optimizer.init(eqx.filter(network, eqx.is_inexact_array))

    def step(network, state, key):
        images, numbers = compose(key, train, BATCH)
        gradient = eqx.filter_grad(loss)(network, images, numbers, name)
        updates, state = optimizer.update(gradient, state)
        return eqx.apply_updates(network, updates), state

    step_all = eqx.filter_jit(eqx.filter_vmap(step))
    axes = (eqx.if_array(0), None, None)
    test_all = eqx.filter_jit(eqx.filter_vmap(accuracy, in_axes=axes))
    examples = compose(jax.random.key(1), test, 2000)
    keys = jax.random.split(jax.random.key(0), seeds)
    networks, states = eqx.filter_vmap(start)(keys)
    curve, times = [], []
    for i in tqdm(range(steps), desc=f"{name:<16}", leave=False):
        keys = jax.vmap(lambda key: jax.random.split(key, 1)[0])(keys)
        begin = time.perf_counter()
        networks, states = jax.block_until_ready(step_all(networks, states, keys))
        times.append(time.perf_counter() - begin)
        if i % 25 == 24 or i == steps - 1:
            curve.append((i + 1, *map(np.asarray, test_all(networks, *examples))))
    return curve, np.median(times) / seeds


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--output", type=Path, default=Path("sort_digits.png"))
    args = parser.parse_args()
    train, test = load_data()
    print(
        f"Sequences of {LENGTH} images of two digits, {args.seeds} seeds, "
        f"{args.steps} steps: mean and spread on digits never seen\n"
    )
    print(f"{'method':<26} {'in place, %':>13} {'all right, %':>14} {'a step':>9}")
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name in [*METHODS, REGRESSION]:
        curve, seconds = learn(name, train, test, args.seeds, args.steps)
        i, places, orders = zip(*curve, strict=True)
        cells = [
            f"{100 * last.mean():.1f} ± {100 * last.std():.1f}"
            for last in (places[-1], orders[-1])
        ]
        print(f"{name:<26} {cells[0]:>13} {cells[1]:>14} {1e3 * seconds:6.1f} ms")
        style = "k--" if name == REGRESSION else "-"
        axis.plot(i, 100 * np.mean(orders, axis=1), style, label=name)
    axis.set(xlabel="step", ylabel="sequences all in order, %")
    axis.legend(fontsize=9)
    figure.savefig(args.output, dpi=120)
    print(f"\nSaved {args.output}")


if __name__ == "__main__":
    main()
