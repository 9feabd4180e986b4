"""Train discrete latent variables: digits described by eight symbols out of eight each.

A variational autoencoder of handwritten digits, 8 x 8 pixels that are black or white.
The encoder gives the probabilities of eight symbols in each of eight places, symbols
are drawn, and the decoder gives the probabilities of pixels. The loss is minus the
evidence lower bound: what a pixel costs, and how far symbols are from equally likely.

Its gradient has to come through the draw. Compared are soft draws, straight-through
draws, in the modes `"smooth"` and `"c0"`, and estimates by the density of what is
drawn: the score function with the mean of the other draws as a baseline (RLOO), and
`sj.random.perturb`, which is the same idea with the density of the perturbed scores.
All get four draws for each image and step.

Whatever they were trained with, all are tested with hard draws, on digits never seen,
in nats for an image. The last column is how much one step's gradient in the encoder's
last layer differs from step to step, once trained, relative to its mean: the noise that
training has to average out. All seeds are trained at once by `jax.vmap`.

Run with `python examples/latent_variables.py`.
"""

import argparse
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits
from tqdm import tqdm

import softjax as sj

PLACES = SYMBOLS = 8
BATCH = 64
DRAWS = 4
SOFTNESS = 1.0, 0.3
"""At the first and the last step, by a constant factor each."""

SOFT = {
    "soft, smooth": (sj.random.categorical, "smooth"),
    "soft, c0": (sj.random.categorical, "c0"),
    "straight-through, smooth": (sj.random.categorical_st, "smooth"),
    "straight-through, c0": (sj.random.categorical_st, "c0"),
}
SCORE, PERTURBED = "score function, RLOO", "perturb, Gumbel noise"


def load_data():
    """Black and white images, for training and testing."""
    x, _ = load_digits(return_X_y=True)
    x = (x > 7).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))
    return [jnp.asarray(x[part]) for part in np.split(order, [1300])]


class Model(eqx.Module):
    """The two networks."""

    encoder: eqx.nn.MLP
    decoder: eqx.nn.MLP

    def __init__(self, key):
        keys = jax.random.split(key)
        size = PLACES * SYMBOLS
        self.encoder = eqx.nn.MLP(64, size, 128, 1, key=keys[0])
        self.decoder = eqx.nn.MLP(size, 64, 128, 1, key=keys[1])

    def logits(self, image):
        return self.encoder(image).reshape(PLACES, SYMBOLS)

    def cost(self, symbols, image):
        """Cost of the pixels of an image, given its symbols."""
        pixels = self.decoder(symbols.ravel())
        return jnp.sum(optax.sigmoid_binary_cross_entropy(pixels, image))


def excess(logits):
    """The distance of the symbols of an image from equally likely ones."""
    p = jax.nn.softmax(logits)
    return jnp.sum(sj.losses.kl_divergence(p, jnp.full_like(p, 1 / SYMBOLS)))


def hard(key, logits, **keywords):
    return sj.random.categorical(key, logits, mode="hard", **keywords)


def by_path(model, logits, image, key, draw, mode, softness):
    """A biased estimate, through soft draws or the soft part of hard ones."""
    keywords = dict(softness=softness, mode=mode)
    symbols = draw(key, logits, shape=(DRAWS, PLACES), **keywords)
    return jnp.mean(jax.vmap(model.cost, (0, None))(symbols, image))


def by_density(model, logits, image, key):
    """An unbiased estimate, by the probability of the symbols that are drawn."""
    symbols = hard(key, logits, shape=(DRAWS, PLACES))
    costs = jax.vmap(model.cost, (0, None))(symbols, image)
    others = (jnp.sum(costs) - costs) / (DRAWS - 1)
    log = jnp.sum(symbols * jax.nn.log_softmax(logits), (-2, -1))
    better = jax.lax.stop_gradient(costs - others)
    return jnp.mean(costs + better * (log - jax.lax.stop_gradient(log)))


def by_noise(model, logits, image, key):
    """The estimate by the density of the perturbed logits."""

    def cost(scores):
        return model.cost(sj.argmax(scores, axis=-1, mode="hard"), image)

    return sj.random.perturb(cost, key, samples=DRAWS, noise="gumbel", sigma=1.0)(
        logits
    )


def loss(model, images, key, name, softness):
    """Minus the evidence lower bound, with the gradient of an estimator."""

    def one(image, key):
        logits = model.logits(image)
        if name == SCORE:
            cost = by_density(model, logits, image, key)
        elif name == PERTURBED:
            cost = by_noise(model, logits, image, key)
        else:
            draw, mode = SOFT[name]
            cost = by_path(model, logits, image, key, draw, mode, softness)
        return cost + excess(logits)

    return jnp.mean(jax.vmap(one)(images, jax.random.split(key, len(images))))


def test(model, images, key):
    """The loss of hard draws, and that of always taking the likeliest symbol."""

    def one(image, key):
        logits = model.logits(image)
        symbols = hard(key, logits, shape=(10, PLACES))
        cost = jnp.mean(jax.vmap(model.cost, (0, None))(symbols, image))
        return cost + excess(logits)

    return jnp.mean(jax.vmap(one)(images, jax.random.split(key, len(images))))


def noise(model, images, key, name, softness):
    """The spread of the gradient over draws, relative to the size of its mean."""

    def gradient(key):
        found = eqx.filter_grad(loss)(model, images, key, name, softness)
        return found.encoder.layers[-1].weight

    found = jax.vmap(gradient)(jax.random.split(key, 100))
    mean = jnp.mean(found, axis=0)
    return jnp.sqrt(jnp.sum(jnp.var(found, axis=0)) / jnp.sum(mean**2))


def learn(name, train, held_out, seeds, steps):
    """Test losses of all seeds during training, the noise, and seconds for a step."""
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))

    def start(key):
        model = Model(key)
        return model, optimizer.init(eqx.filter(model, eqx.is_inexact_array))

    def step(model, state, key, softness):
        keys = jax.random.split(key)
        images = train[jax.random.randint(keys[0], (BATCH,), 0, len(train))]
        gradient = eqx.filter_grad(loss)(model, images, keys[1], name, softness)
        updates, state = optimizer.update(gradient, state)
        return eqx.apply_updates(model, updates), state

    axes = (eqx.if_array(0), eqx.if_array(0), 0, None)
    step_all = eqx.filter_jit(eqx.filter_vmap(step, in_axes=axes))
    axes = (eqx.if_array(0), None, None)
    test_all = eqx.filter_jit(eqx.filter_vmap(test, in_axes=axes))
    models, states = eqx.filter_vmap(start)(jax.random.split(jax.random.key(0), seeds))
    schedule = np.geomspace(*SOFTNESS, steps)
    curve, times = [], []
    for i in tqdm(range(steps), desc=f"{name:<24}", leave=False):
        keys = jax.random.split(jax.random.fold_in(jax.random.key(1), i), seeds)
        begin = time.perf_counter()
        models, states = jax.block_until_ready(
            step_all(models, states, keys, jnp.float32(schedule[i]))
        )
        times.append(time.perf_counter() - begin)
        if i % 50 == 49 or i == steps - 1:
            curve.append((i + 1, np.asarray(test_all(models, held_out, keys[0]))))
    key, last = jax.random.key(2), jnp.float32(SOFTNESS[1])
    noises = eqx.filter_jit(
        eqx.filter_vmap(lambda model: noise(model, train[:BATCH], key, name, last))
    )(models)
    return curve, np.asarray(noises), np.median(times)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--output", type=Path, default=Path("latent_variables.png"))
    args = parser.parse_args()
    train, held_out = load_data()
    print(
        f"{PLACES} places of {SYMBOLS} symbols, {args.seeds} seeds, {args.steps} "
        "steps: mean and spread over seeds, on images never seen\n"
    )
    print(f"{'gradient by':<26} {'nats an image':>15} {'noise':>8} {'a step':>10}")
    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name in [*SOFT, SCORE, PERTURBED]:
        curve, noises, seconds = learn(name, train, held_out, args.seeds, args.steps)
        i, losses = zip(*curve, strict=True)
        cell = f"{losses[-1].mean():.2f} ± {losses[-1].std():.2f}"
        print(f"{name:<26} {cell:>15} {noises.mean():>8.2f} {1e3 * seconds:7.1f} ms")
        axis.plot(i, np.mean(losses, axis=1), label=name)
    axis.set(xlabel="step", ylabel="nats an image, hard draws")
    axis.legend(fontsize=9)
    figure.savefig(args.output, dpi=120)
    print(f"\nSaved {args.output}")


if __name__ == "__main__":
    main()
