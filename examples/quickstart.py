"""Learn to rank patients when a quarter of the training data is wrong.

The data are 442 diabetes patients: ten measurements each, and how far the disease went
a year later. The model is a linear score, judged by how well it orders patients it has
never seen. A quarter of the training targets are gross errors, which ruins least
squares. Ranks are safe from that: the largest outlier is merely the last in line. But
hard ranks are integers, so the gradient of a loss made of them is zero and nothing is
learned. `sj.rank` is the same function with a useful gradient, and training on it needs
one keyword.

Run with `python examples/quickstart.py`.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_diabetes
from sklearn.linear_model import HuberRegressor, LinearRegression
from tqdm import tqdm

import softjax as sj

STEPS = 100
PICTURE = Path(__file__).parents[1] / "docs/images/quickstart.png"

# The keywords of `sj.rank` to try. Mode and method are independent of each other.
CHOICES = {
    "hard": {"mode": "hard"},
    "smooth": {"mode": "smooth"},
    "c0": {"mode": "c0"},
    "c2": {"mode": "c2"},
    "PNorm(1.8)": {"mode": sj.solvers.PNorm(1.8)},
    "smooth, neuralsort": {"mode": "smooth", "method": "neuralsort"},
}


def load_data():
    """Measurements and targets for training and testing, and spoiled targets."""
    rng = np.random.default_rng(0)
    x, y = (np.asarray(a, np.float32) for a in load_diabetes(return_X_y=True))
    x = x / x.std(axis=0)
    train, test = np.split(rng.permutation(len(y)), [300])
    wrong = rng.random(len(train)) < 0.25
    errors = rng.uniform(1_000, 10_000, len(train)).astype(np.float32)
    return x[train], y[train], np.where(wrong, errors, y[train]), x[test], y[test]


def loss(weights, x, y, **keywords):
    """One minus the rank correlation of the scores `x @ weights` and the targets."""
    ranks = sj.rank(x @ weights, standardize=True, **keywords)
    return 1 - jnp.corrcoef(ranks, sj.rank(y, mode="hard"))[0, 1]


@jax.jit
def wrong_pairs(weights, x, y):
    """Percentage of pairs of patients put in the wrong order. A coin toss gets 50."""
    first, second = jnp.triu_indices(len(y), k=1)
    score = x @ weights
    agreement = jnp.sign(score[first] - score[second]) * jnp.sign(y[first] - y[second])
    return 50 * (1 - jnp.mean(agreement))


def learn(name, keywords, x, y, x_test, y_test):
    """Train on ranks; return the held-out error after each step and |gradient|."""
    loss_and_grad = jax.jit(jax.value_and_grad(lambda w: loss(w, x, y, **keywords)))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.1, STEPS))
    weights = jax.random.normal(jax.random.key(2), x.shape[1:])
    state = optimizer.init(weights)
    errors = [wrong_pairs(weights, x_test, y_test)]
    norms = []
    for _ in tqdm(range(STEPS), desc=f"{name:<18}", leave=False):
        _, gradient = loss_and_grad(weights)
        updates, state = optimizer.update(gradient, state)
        weights = optax.apply_updates(weights, updates)
        errors.append(wrong_pairs(weights, x_test, y_test))
        norms.append(jnp.linalg.norm(gradient))
    return np.array(errors), float(norms[0])


def draw(curves, clean, ruined):
    """Left: what a soft rank is. Right: what it is good for."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    styles = {
        "hard": ("0.35", "-"),
        "smooth": ("tab:blue", "-"),
        "c0": ("tab:orange", "-"),
    }

    moving = jnp.linspace(-1.0, 1.0, 401)
    others = jnp.broadcast_to(jnp.array([-0.6, -0.1, 0.1, 0.6]), (401, 4))
    values = jnp.concatenate([moving[:, None], others], axis=1)
    for name, (color, line) in styles.items():
        ranks = sj.rank(values, descending=False, **CHOICES[name])[:, 0]
        left.plot(moving, ranks, line, color=color, label=f'mode="{name}"')
    left.set(
        title="Rank of one value among five", xlabel="the value", ylabel="its rank"
    )
    left.plot(others[0], jnp.full(4, 0.8), "k|", label="the other four")
    left.set_xticks([-1, -0.5, 0, 0.5, 1])
    left.set_yticks(range(1, 6))
    left.legend(frameon=False)

    for name, (color, line) in styles.items():
        right.plot(curves[name], line, color=color, label=f'ranks, mode="{name}"')
    right.axhline(ruined, color="tab:red", ls="--", label="least squares")
    right.axhline(clean, color="0.6", ls=":", label="least squares, clean targets")
    right.set(
        title="Training on spoiled targets",
        xlabel="gradient step",
        ylabel="held-out pairs in wrong order (%)",
        ylim=(20, 55),
    )
    right.legend(frameon=False, loc="upper right", bbox_to_anchor=(1, 0.78))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE, dpi=150)


def main():
    x, y, y_spoiled, x_test, y_test = load_data()

    def report(label, error, gradient=""):
        print(f"{label:<40} {gradient:>12} {error:9.1f} %")

    print(f"{'training loss':<40} {'|gradient|':>12} {'wrong pairs':>11}")
    clean = wrong_pairs(LinearRegression().fit(x, y).coef_, x_test, y_test)
    report("squares, clean targets", clean)
    ruined = wrong_pairs(LinearRegression().fit(x, y_spoiled).coef_, x_test, y_test)
    report("squares", ruined)
    huber = HuberRegressor(max_iter=1000).fit(x, y_spoiled).coef_
    report("Huber", wrong_pairs(huber, x_test, y_test))
    curves = {}
    for name, keywords in CHOICES.items():
        curves[name], norm = learn(name, keywords, x, y_spoiled, x_test, y_test)
        report(f"ranks, {name}", curves[name][-1], f"{norm:.3f}")
    draw(curves, clean, ruined)
    print(f"Picture: {PICTURE}")


if __name__ == "__main__":
    plt.switch_backend("Agg")  # needs no screen
    main()
