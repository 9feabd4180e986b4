"""Train a rule list that somebody wrote by hand, without touching it.

`triage` below reads like the protocol of a clinic: a few thresholds on measurements of
a biopsy, a score of warning signs, branches, and a look-up of the risk. It is written
with comparisons, `lax.cond`, a table and an index; its gradient is zero everywhere. One
line, `sj.soften(triage)`, makes a differentiable function of it, whose gradient moves
the thresholds. What is used in the end is the hard program again, with better numbers.

The data are the breast cancer biopsies of scikit-learn: 569 patients. Half of them are
learned from, and the other half is counted.

Run with `python examples/soften_program.py`; `--picture FILE` draws the program before
and after.
"""

import argparse
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from tqdm import tqdm

import softjax as sj

FEATURES = ("worst radius", "worst texture", "worst concave points", "worst area")
START = {
    "radius": jnp.array([-0.5, 1.5]),  # small, large; in standard deviations
    "texture": jnp.array(1.0),
    "concave": jnp.array(0.9),
    "area": jnp.array(1.0),
}
RISK = jnp.array([0.1, 0.4, 0.7, 0.9])  # by the number of warning signs


def triage(rules, patient):
    """Risk that a tumour is malignant: a hard program of one patient."""
    radius, texture, concave, area = patient
    signs = [texture > rules["texture"], concave > rules["concave"]]
    signs.append((area > rules["area"]) & (radius > rules["radius"][0]))
    by_signs = RISK[sum(sign.astype(int) for sign in signs)]

    def small(_):
        return jnp.where(signs[1], by_signs, 0.05)

    def not_small(_):
        return jnp.where(radius > rules["radius"][1], 0.95, by_signs)

    return lax.cond(radius < rules["radius"][0], small, not_small, None)


soft_triage = sj.soften(triage, softness=0.15)  # the one line


def loss(rules, patients, malignant, program):
    risk = jax.vmap(program, (None, 0))(rules, patients)
    risk = jnp.clip(risk, 0.01, 0.99)
    return -jnp.mean(jnp.where(malignant, jnp.log(risk), jnp.log1p(-risk)))


def load() -> list[jax.Array]:
    data: Any = load_breast_cancer()
    columns = [list(data.feature_names).index(name) for name in FEATURES]
    x = data.data[:, columns]
    x = (x - x.mean(axis=0)) / x.std(axis=0)
    malignant = data.target == 0
    split: Any = train_test_split(x, malignant, test_size=0.5, random_state=0)
    types = (jnp.float32, jnp.float32, bool, bool)
    return [jnp.asarray(part, t) for part, t in zip(split, types, strict=True)]


def train(patients, malignant, steps: int):
    optimizer = optax.adam(0.03)

    @jax.jit
    def step(rules, state):
        slopes = jax.grad(loss)(rules, patients, malignant, soft_triage)
        updates, state = optimizer.update(slopes, state)
        return optax.apply_updates(rules, updates), state

    rules, state = START, optimizer.init(START)
    for _ in tqdm(range(steps), leave=False):
        rules, state = step(rules, state)
    return rules


def draw(path: Path, rules_of: dict, patients, malignant) -> None:
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 4), sharey=True, layout="constrained")
    grid = jnp.linspace(-2.5, 3.5, 121)
    for axis, (name, rules) in zip(axes, rules_of.items(), strict=True):

        def risk(radius, concave, rules=rules):
            return triage(rules, jnp.stack([radius, radius * 0, concave, radius]))

        plane = jax.vmap(jax.vmap(risk, (0, None)), (None, 0))(grid, grid)
        image = axis.pcolormesh(grid, grid, plane, cmap="coolwarm", vmin=0, vmax=1)
        for label, marker in ((False, "."), (True, "x")):
            chosen = np.asarray(patients[malignant == label])
            axis.plot(chosen[:, 0], chosen[:, 2], "k" + marker, alpha=0.4, ms=4)
        axis.set(xlabel=f"{FEATURES[0]}, standardized", title=f"{name} training")
    axes[0].set_ylabel(f"{FEATURES[2]}, standardized")
    figure.colorbar(image, label="risk that the hard program says")
    figure.savefig(path, dpi=120)
    print(f"Saved {path}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--picture", type=Path, default=None)
    args = parser.parse_args()
    patients, others, malignant, others_malignant = load()

    print(sj.soften.report(triage)(START, patients[0]), end="\n\n")
    zero = jax.grad(loss)(START, patients, malignant, triage)
    print(f"Norm of the gradient of the hard program: {optax.global_norm(zero):.3f}")

    rules_of = {"before": START, "after": train(patients, malignant, args.steps)}
    for name, rules in rules_of.items():
        hard = jax.vmap(triage, (None, 0))(rules, others)
        error = jnp.mean((hard > 0.5) != others_malignant)
        cost = loss(rules, others, others_malignant, triage)
        print(f"Hard program {name} training: {error:.1%} errors, loss {cost:.3f}")
    for name, values in rules_of["after"].items():
        before, after = (
            np.array2string(np.asarray(v), precision=2) for v in (START[name], values)
        )
        print(f"  {name}: {before} -> {after}")
    if args.picture is not None:
        draw(args.picture, rules_of, others, others_malignant)


if __name__ == "__main__":
    main()
