"""A regularizer that is learned together with the model that it is part of.

A soft nearest-neighbour classifier lets known examples vote for a new one: an embedding
is learned, scores are minus squared distances in it, and a soft argmax makes votes of
them. Its regularizer decides how votes fade with distance: like exponentials
(`"smooth"`), like a ramp (`"c0"`), or in between by an exponent that is learned
(`Tsallis(alpha)`). Here it is a network: the link is any increasing function, and
gradient descent chooses it with the embedding.

The data are three sets of scikit-learn. For each of five seeds, and so many splits,
the program trains one model a regularizer, and prints the mean and standard deviation
of errors on examples that no model has seen. `check_regularizer` says of what was
learned whether it is a regularizer.

Run with `python examples/learned_regularizer.py`; `--picture FILE` draws the links.
"""

import argparse
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from tqdm import tqdm

import softjax as sj

SEEDS = 5
STEPS = 300
BATCH = 32
DIMENSIONS = 8  # of the embedding
# Data, and how many examples vote, are learned from, and are tested.
DATA: dict[str, tuple[Any, tuple[int, int, int]]] = {
    "digits": (load_digits, (200, 200, 800)),
    "breast_cancer": (load_breast_cancer, (100, 150, 319)),
    "wine": (load_wine, (40, 50, 88)),
}


class Learned(sj.solvers.Regularizer):
    """`phi(t) = softplus(s t + <a, tanh(w t + b)>)` with s, a and w positive.

    Sums of increasing functions with positive weights increase, so phi does, from 0 to
    infinity. Whatever a hidden layer of these can approximate can be learned. Inverse,
    conjugate and all else follow from the link.
    """

    slope_parameter: jax.Array
    heights: jax.Array
    widths: jax.Array
    places: jax.Array

    @classmethod
    def start(cls, units: int = 8) -> "Learned":
        """Next to the entropy, `exp(t)` below 0, with units along t in [-6, 2]."""
        w = jnp.full(units, 0.5)  # softplus of it is about 1
        places = -jnp.linspace(-6.0, 2.0, units)
        return cls(jnp.asarray(0.54), jnp.full(units, -3.0), w, places)

    def link(self, t):
        # In the type of t, as `check_regularizer` computes in 64 bits.
        parameters = jax.tree.map(lambda leaf: leaf.astype(t.dtype), self)
        s = jax.nn.softplus(parameters.slope_parameter)
        a = jax.nn.softplus(parameters.heights)
        w = jax.nn.softplus(parameters.widths)
        hidden = jnp.tanh(w * (t[..., None] + parameters.places))
        # Less than they are at t = 0, so that the start is that of softplus(t).
        base = jnp.tanh(w * parameters.places)
        return jax.nn.softplus(s * t + jnp.sum(a * (hidden - base), axis=-1))


class Exponent(eqx.Module):
    """The parameter of `Tsallis`, of which alpha is between 1 and 2."""

    raw: jax.Array

    def regularizer(self) -> sj.solvers.Regularizer:
        return sj.solvers.Tsallis(1 + jax.nn.sigmoid(self.raw))


# What is trained of a regularizer at the start, and the mode that it stands for.
MODES: dict[str, tuple[Any, Any]] = {
    "smooth": (None, lambda _: "smooth"),
    "c0": (None, lambda _: "c0"),
    "Tsallis": (Exponent(jnp.asarray(0.0)), lambda p: p.regularizer()),
    "learned": (Learned.start(), lambda p: p),
}


def votes(model, x, known, labels):
    """Probabilities of classes, `batch classes`: votes of the known examples."""
    (embedding, parameters), mode = model
    x, known = x @ embedding, known @ embedding
    distances = jnp.sum((x[:, None] - known) ** 2, axis=-1)
    weights = sj.argmax(-distances, axis=-1, softness=1.0, mode=mode(parameters))
    return weights @ labels


def brier(model, x, y, known, labels):
    """Mean squared error of probabilities, which may be 0 where a logarithm may not."""
    return jnp.mean(jnp.sum((votes(model, x, known, labels) - y) ** 2, axis=-1))


def split(name: str, seed: int):
    """Examples and one-hot labels that vote, that are learned from, and for testing."""
    load, sizes = DATA[name]
    x, y = load(return_X_y=True)
    x = (x - x.mean(axis=0)) / np.maximum(x.std(axis=0), 1e-6)
    order = np.random.default_rng(seed).permutation(len(y))[: sum(sizes)]
    parts = np.split(order, np.cumsum(sizes)[:-1])
    one_hot = np.eye(y.max() + 1)[y]
    return [jnp.asarray(z[p], jnp.float32) for p in parts for z in (x, one_hot)]


def train(key, data, parameters, mode, steps=STEPS):
    """One model: embedding and parameters, and its errors on test examples."""
    known, labels, x, y, x_test, y_test = data
    first, batches = jax.random.split(key)
    n = x.shape[-1]
    embedding = jax.random.normal(first, (n, DIMENSIONS)) / jnp.sqrt(4.0 * n)
    optimizer = optax.adam(0.02)
    trained = embedding, parameters

    def step(carry, key):
        trained, state = carry
        pick = jax.random.randint(key, (BATCH,), 0, len(x))
        gradient = jax.grad(
            lambda trained: brier((trained, mode), x[pick], y[pick], known, labels)
        )(trained)
        updates, state = optimizer.update(gradient, state)
        return (optax.apply_updates(trained, updates), state), None

    carry = trained, optimizer.init(trained)
    (trained, _), _ = jax.lax.scan(step, carry, jax.random.split(batches, steps))
    found = votes((trained, mode), x_test, known, labels)
    wrong = jnp.argmax(found, axis=-1) != jnp.argmax(y_test, axis=-1)
    squared = jnp.mean(jnp.sum((found - y_test) ** 2, axis=-1))
    return trained, 100 * jnp.mean(wrong), squared


def experiment(name: str, mode: str, steps: int = STEPS, seeds: int = SEEDS):
    """Parameters, errors in percent, Brier scores: one for each seed."""
    parameters, make = MODES[mode]
    splits = (split(name, seed) for seed in range(seeds))
    data = [jnp.stack(part) for part in zip(*splits, strict=True)]
    keys = jax.random.split(jax.random.key(0), seeds)
    run = jax.jit(jax.vmap(lambda key, data: train(key, data, parameters, make, steps)))
    (_, parameters), wrong, squared = run(keys, data)
    return parameters, np.asarray(wrong), np.asarray(squared)


def first(parameters):
    """Parameters of the first seed."""
    return jax.tree.map(lambda leaf: leaf[0], parameters)


def draw(links: dict[str, Learned], path: Path) -> None:
    """The learned links, by data, between those that are there."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
    t = jnp.linspace(-8.0, 0.0, 300)
    kinds = {"smooth": sj.solvers.Entropy(), "c0": sj.solvers.PNorm(2)}
    for name, r in (kinds | links).items():
        # From where it reaches 1: a shift of t does not change a projection.
        y = r.link(t + r.gradient(jnp.asarray(1.0)))
        fixed = name in kinds
        style: Any = dict(ls="--", color="0.4" if name == "smooth" else "0.7")
        axes.plot(t, y, label=name, **(style if fixed else {}))
    axes.set(xlabel="score below that of a whole vote", ylabel="vote")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=110)
    print(f"Saved {path}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--picture", type=Path)
    args = parser.parse_args()
    links = {}
    print(f"Errors on new examples, {SEEDS} seeds, mean and standard deviation:\n")
    print("| data | regularizer | wrong, % | Brier score | learned |")
    print("| --- | --- | --- | --- | --- |")
    todo = [(name, mode) for name in DATA for mode in MODES]
    for name, mode in tqdm(todo, leave=False):
        parameters, wrong, squared = experiment(name, mode)
        cells = [
            f"{x.mean():.{k}f} ± {x.std(ddof=1):.{k}f}"
            for x, k in ((wrong, 1), (squared, 3))
        ]
        found = ""
        if mode == "Tsallis":
            alpha = 1 + jax.nn.sigmoid(parameters.raw)
            found = f"alpha {alpha.mean():.2f} ± {alpha.std(ddof=1):.2f}"
        if mode == "learned":
            links[name] = first(parameters)
            found = "a link"
        tqdm.write(f"| {name} | {mode} | {' | '.join(cells)} | {found} |")
    for name, learned in links.items():
        report = sj.solvers.check_regularizer(learned, orders=1)
        print(f"\nThe first one of {name}:\n{report}")
    if args.picture:
        draw(links, args.picture)


if __name__ == "__main__":
    main()
