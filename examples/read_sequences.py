"""Read sequences of handwritten digits that follow a grammar.

A digit is followed by the next one, by its triple or by its opposite (modulo 10), half,
three or two times of ten; the images are real, and half covered by noise, so that many
can only be read from their neighbours. A small network scores each image as each digit,
a matrix scores what follows what, and both are trained by

- the cross-entropy of each image alone;
- a chain by the entropy: a conditional random field, whose gradient is the difference
  of its marginals and the truth;
- a sparse chain (`mode="c0"`), which gives most sequences probability 0;
- the best sequences themselves: the soft first, second and third best of a chain
  (`st.top_k`), of which the nearest to the truth should have few errors. It begins with
  the weights of the chain by the entropy after half of the steps.

They are judged by the best sequence of images never seen: errors of digits, sequences
with any error, and sequences that are none of the three best. Mean and standard
deviation over seeds, each with its own split, network and batches.

Run with `python examples/read_sequences.py`; `--steps 20 --seeds 1` is a try.
"""

import argparse
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from sklearn.datasets import load_digits
from tqdm import tqdm

import softjax as sj

st = sj.structured
LENGTH, BATCH, KINDS = 12, 16, 10
CHAIN = st.Chain()


def grammar():
    """Probability of each digit after each other."""
    after = np.zeros((KINDS, KINDS))
    for digit in range(KINDS):
        after[digit, (digit + 1) % KINDS] += 0.5
        after[digit, (3 * digit) % KINDS] += 0.3
        after[digit, (digit + 5) % KINDS] += 0.2
    return after


class Reader(eqx.Module):
    """Scores of digits for each image, and of what follows what."""

    network: eqx.nn.MLP
    follows: jax.Array

    def __init__(self, key):
        self.network = eqx.nn.MLP(64, KINDS, 32, 1, key=key)
        self.follows = jnp.zeros((KINDS, KINDS))

    def __call__(self, images):
        follows = jnp.broadcast_to(self.follows, (LENGTH - 1, KINDS, KINDS))
        return jax.vmap(self.network)(images), follows


def structure_of(digits):
    """The path of a chain through these digits."""
    one = jax.nn.one_hot(digits, KINDS)
    return one, one[:-1, :, None] * one[1:, None, :]


def alone(scores, digits):
    return jnp.sum(sj.losses.simplex_loss(scores[0], structure_of(digits)[0]))


def chain(scores, digits, mode="smooth"):
    return st.fenchel_young_loss(
        CHAIN, scores, structure_of(digits), softness=1.0, mode=mode, method="recursion"
    )


def best_three(scores, digits):
    found = st.top_k(CHAIN, scores, 3, candidates=16, softness=1.0, mode="c0")
    right = jnp.sum(found.structures[0] * structure_of(digits)[0], axis=(1, 2))
    return LENGTH - right[0] + sj.min(LENGTH - right, softness=0.5)


LOSSES = {
    "each image alone": alone,
    "chain, entropy": chain,
    "chain, sparse": functools.partial(chain, mode="c0"),
    "three best of a chain": best_three,
}


def draw(key, images, digits):
    """A sequence under the grammar, and an image of each digit, half covered."""
    keys = jax.random.split(key, 4)
    after = jnp.log(jnp.asarray(grammar(), jnp.float32))

    def follow(digit, key):
        return jax.random.categorical(key, after[digit]), digit

    first = jax.random.randint(keys[0], (), 0, KINDS)
    _, sequence = jax.lax.scan(follow, first, jax.random.split(keys[1], LENGTH))
    same = jnp.where(sequence[:, None] == digits, 0, -jnp.inf)
    drawn = images[jax.random.categorical(keys[2], same)]
    noise = jax.random.uniform(keys[3], (2, LENGTH, 64))
    return jnp.where(noise[0] < 0.5, noise[1], drawn), sequence


def judge(reader, by_neighbours, key, images, digits):
    """Errors of digits and of sequences, and how often the three best are all wrong."""

    def one(key):
        seen, sequence = draw(key, images, digits)
        scores = reader(seen)
        if not by_neighbours:
            scores = scores[0], jnp.zeros_like(scores[1])
        found = st.top_k(CHAIN, scores, 3, mode="hard").structures[0]
        wrong = jnp.argmax(found, axis=-1) != sequence
        any_wrong = jnp.any(wrong, axis=-1)
        return jnp.mean(wrong[0]), any_wrong[0], jnp.all(any_wrong)

    found = jax.lax.map(one, jax.random.split(key, 512), batch_size=64)
    return jnp.stack([jnp.mean(x) for x in found])


def learn(loss, seed, steps, start=None):
    """The reader after these steps, and after half of them, of one seed."""
    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(y))
    x, y = jnp.asarray(x / 16, jnp.float32)[order], jnp.asarray(y)[order]
    train, test = (x[:1300], y[:1300]), (x[1300:], y[1300:])
    optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, steps))
    reader = Reader(jax.random.key(seed)) if start is None else start
    state = optimizer.init(eqx.filter(reader, eqx.is_inexact_array))

    @eqx.filter_jit
    def step(reader, state, key):
        def total(reader):
            seen, sequences = jax.vmap(lambda key: draw(key, *train))(
                jax.random.split(key, BATCH)
            )
            return jnp.mean(jax.vmap(loss)(jax.vmap(reader)(seen), sequences))

        updates, state = optimizer.update(eqx.filter_grad(total)(reader), state)
        return eqx.apply_updates(reader, updates), state

    first, half = 0 if start is None else steps // 2, reader
    for i in tqdm(range(first, steps), leave=False):
        half = reader if i == steps // 2 else half
        reader, state = step(reader, state, jax.random.key(1000 * seed + i))
    errors = eqx.filter_jit(judge)(reader, loss is not alone, jax.random.key(-1), *test)
    return np.asarray(errors), half


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600)
    args = parser.parse_args()
    print(
        f"Sequences of {LENGTH} digits, half covered, never seen; {args.seeds} seeds, "
        f"{args.steps} steps\n"
    )
    columns = "digits", "sequences", "three best"
    print(f"{'wrong (%)':<22} " + " ".join(f"{name:>13}" for name in columns))
    halves = {}
    for name, loss in LOSSES.items():
        found = []
        for seed in range(args.seeds):
            start = halves[seed] if loss is best_three else None
            errors, half = learn(loss, seed, args.steps, start)
            found.append(100 * errors)
            if loss is chain:
                halves[seed] = half
        mean, spread = np.mean(found, axis=0), np.std(found, axis=0)
        cells = [f"{m:5.1f} ± {s:3.1f}" for m, s in zip(mean, spread, strict=True)]
        print(f"{name:<22} " + " ".join(f"{c:>13}" for c in cells), flush=True)


if __name__ == "__main__":
    main()
