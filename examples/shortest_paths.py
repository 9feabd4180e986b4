"""Predict costs so that the shortest path is right, rather than the costs.

A map is a grid of images of handwritten digits, and to step on one costs 1 more than
its digit. A linear model predicts costs from pixels, which it cannot do well; the path
from corner to corner (down or right) that is shortest by its predictions is
then taken. What counts is the *regret*: how much longer that path is than the shortest
one. The model is trained by

- the squared error of each cost, which knows nothing of paths;
- the cost of the soft path: with the marginals of a sparse projection (`"marginals"`),
  of the program softened by the entropy (`"recursion"`), of perturbed programs
  (`st.Perturbed`);
- the Fenchel-Young losses of the first two, which compare with the shortest path;
- SPO+ (`softjax.losses.spo_plus`), an upper bound of the regret.

Mean and standard deviation over seeds, each with its own split, model and maps, of maps
whose images have never been seen.

Run with `python examples/shortest_paths.py`; `--steps 20 --seeds 1` is a try.
"""

import argparse
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from tqdm import tqdm

import softjax as sj

st = sj.structured
SIZE, BATCH = 8, 16
PATH = st.GridPath()


def squared_error(costs, true, key):
    return jnp.mean((costs - true) ** 2)


def of_soft_path(**keywords):
    """The cost of the soft path by predicted costs."""

    def loss(costs, true, key):
        return jnp.sum(st.argmax(PATH, -costs, softness=1.0, **keywords) * true)

    return loss


def perturbed(costs, true, key):
    method = st.Perturbed(key, samples=16)
    return jnp.sum(st.argmax(PATH, -costs, softness=1.0, method=method) * true)


def fenchel_young(**keywords):
    """The Fenchel-Young loss of predicted costs and the shortest path."""

    def loss(costs, true, key):
        shortest = st.argmax(PATH, -true, mode="hard")
        return st.fenchel_young_loss(PATH, -costs, shortest, softness=1.0, **keywords)

    return loss


def spo_plus(costs, true, key):
    return sj.losses.spo_plus(costs, true, PATH)


LOSSES = {
    "squared error": squared_error,
    "soft path, marginals": of_soft_path(mode="c0", method="marginals"),
    "soft path, recursion": of_soft_path(mode="smooth", method="recursion"),
    "soft path, perturbed": perturbed,
    "Fenchel-Young, marginals": fenchel_young(mode="c0", method="marginals"),
    "Fenchel-Young, recursion": fenchel_young(mode="smooth", method="recursion"),
    "SPO+": spo_plus,
}


def draw(key, images, digits):
    chosen = jax.random.randint(key, (BATCH, SIZE, SIZE), 0, len(digits))
    return images[chosen], 1.0 + digits[chosen]


class Model(eqx.Module):
    """A cost that is linear in pixels, and not negative."""

    weights: jax.Array
    bias: jax.Array

    def __call__(self, images):
        return jax.nn.softplus(images @ self.weights + self.bias)


def regret(costs, true):
    """The excess length of the path by predicted costs, relative to the shortest."""
    taken = jnp.sum(st.argmax(PATH, -costs, mode="hard") * true)
    shortest = -st.value(PATH, -true, mode="hard")
    return taken / shortest - 1


def learn(loss, seed, steps):
    """The regret and the error of costs, of images never seen; the time of a step."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    x, y = jnp.asarray(x / 16, jnp.float32)[order], jnp.asarray(y)[order]
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-2, steps))
    model = Model(jnp.zeros(64), jnp.asarray(5.0))
    state = optimizer.init(eqx.filter(model, eqx.is_inexact_array))

    @jax.jit
    def step(model, state, key):
        keys = jax.random.split(key, 1 + BATCH)
        images, true = draw(keys[0], x[:1300], y[:1300])

        def total(model):
            return jnp.mean(jax.vmap(loss)(model(images), true, keys[1:]))

        updates, state = optimizer.update(eqx.filter_grad(total)(model), state)
        return eqx.apply_updates(model, updates), state

    @jax.jit
    def judge(model, key):
        images, true = draw(key, x[1300:], y[1300:])
        costs = model(images)
        return jnp.mean(jax.vmap(regret)(costs, true)), jnp.mean((costs - true) ** 2)

    times = []
    for i in tqdm(range(steps), leave=False):
        begin = time.perf_counter()
        model, state = step(model, state, jax.random.key(1000 * seed + i))
        jax.block_until_ready(model)
        times.append(time.perf_counter() - begin)
    found = [judge(model, jax.random.key(-1 - i)) for i in range(32)]
    return *np.mean(found, axis=0), np.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=300)
    args = parser.parse_args()
    print(
        f"Maps of {SIZE} x {SIZE} images, never seen; {args.seeds} seeds, "
        f"{args.steps} steps\n"
    )
    print(f"{'loss':<26} {'regret (%)':>15} {'squared error':>14} {'a step':>10}")
    for name, loss in LOSSES.items():
        rows = [learn(loss, seed, args.steps) for seed in range(args.seeds)]
        regrets, errors, times = np.transpose(rows)
        cell = f"{100 * np.mean(regrets):.2f} ± {100 * np.std(regrets):.2f}"
        print(
            f"{name:<26} {cell:>15} {np.mean(errors):14.1f} "
            f"{1e3 * np.median(times):7.1f} ms",
            flush=True,
        )


if __name__ == "__main__":
    main()
