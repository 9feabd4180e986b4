# %% [markdown]
# # Softening a whole program
#
# Somebody wrote a rule by hand: a few thresholds on the measurements of a biopsy, and
# branches that end in a risk. It is a program of comparisons and jumps, so its gradient
# is zero, and its thresholds are a guess. We leave it as it is, and let `sj.soften`
# make a differentiable function of it, which improves the guess.
#
# The data are the breast cancer biopsies of scikit-learn, 569 patients.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_breast_cancer

import softjax as sj

data = load_breast_cancer()
names = ["worst radius", "worst concave points"]
columns = [list(data.feature_names).index(name) for name in names]
x = data.data[:, columns]
x = ((x - x.mean(axis=0)) / x.std(axis=0)).astype(np.float32)
malignant = data.target == 0
train, test = np.split(np.random.default_rng(0).permutation(len(x)), [285])

# %% [markdown]
# ## The rule
#
# Plain JAX: `jnp.where`, `lax.cond`, comparisons, and `&`. Numbers are in standard
# deviations.


# %%
def risk(rules, patient):
    radius, concave = patient
    both = (radius > rules["radius"]) & (concave > rules["concave"])

    def large(_):
        return jnp.array(0.95)

    def other(_):
        return jnp.where(both, 0.8, 0.1)

    return jax.lax.cond(radius > rules["very large"], large, other, None)


guess = {
    "radius": jnp.array(-1.0),
    "concave": jnp.array(-0.5),
    "very large": jnp.array(2.5),
}


def loss(rules, patients, malignant, program):
    """Cross-entropy of the risks that a program tells."""
    risks = jnp.clip(jax.vmap(program, (None, 0))(rules, patients), 0.01, 0.99)
    return -jnp.mean(jnp.where(malignant, jnp.log(risks), jnp.log1p(-risks)))


def show_gradient(program):
    gradient = jax.grad(loss)(guess, x[train], malignant[train], program)
    print({name: f"{slope:.3f}" for name, slope in gradient.items()})


show_gradient(risk)

# %% [markdown]
# ## One line
#
# `sj.soften` traces the program as `jax.jit` does, and replaces what is hard.

# %%
soft_risk = sj.soften(risk, softness=0.2)
show_gradient(soft_risk)

# %% [markdown]
# A report says what was replaced, where it stands, and by what:

# %%
print(sj.soften.report(risk, softness=0.2)(guess, x[0]))

# %% [markdown]
# ## Training
#
# By the soft program. The hard one is what will be used, and is what we judge.

# %%
optimizer = optax.adam(0.05)


@jax.jit
def step(rules, state):
    gradient = jax.grad(loss)(rules, x[train], malignant[train], soft_risk)
    updates, state = optimizer.update(gradient, state)
    return optax.apply_updates(rules, updates), state


def errors(rules):
    hard = jax.vmap(risk, (None, 0))(rules, x[test])
    return np.mean((hard > 0.5) != malignant[test])


rules, state = guess, optimizer.init(guess)
for _ in range(200):
    rules, state = step(rules, state)
print(f"errors of the hard program: {errors(guess):.1%} -> {errors(rules):.1%}")
for name in rules:
    print(f"  {name}: {guess[name]:.2f} -> {rules[name]:.2f}")

# %% [markdown]
# It is the same program with better numbers, and still one that can be read. On the
# left as it was guessed, in the middle as it was trained, on the right trained and
# soft.

# %%
grid = jnp.linspace(-2.5, 3.5, 121)
figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), sharey=True, layout="constrained")
for axis, (title, program, numbers) in zip(
    axes,
    [
        ("guessed", risk, guess),
        ("trained", risk, rules),
        ("trained, soft", soft_risk, rules),
    ],
    strict=True,
):
    plane = jax.jit(
        jax.vmap(
            jax.vmap(lambda a, b, p=program, n=numbers: p(n, (a, b)), (0, None)),
            (None, 0),
        )
    )
    image = axis.pcolormesh(grid, grid, plane(grid, grid), cmap="coolwarm")
    image.set_clim(0, 1)
    for marker, which in (("k.", ~malignant), ("kx", malignant)):
        axis.plot(*x[test][which[test]].T, marker, ms=4, alpha=0.5)
    axis.set(title=title, xlabel=names[0])
axes[0].set_ylabel(names[1])
figure.colorbar(image, label="risk")
plt.show()

# %% [markdown]
# Dots are benign, crosses malignant, of patients that were not trained on.
#
# ## From here
#
# - [Soften a whole program](../../soften.md) has the rules: loops, indices, what stays
#   hard and why, and how to keep a part hard on purpose.
# - If you write a program anew, `import softjax.numpy as jnp` has the whole of
#   `jax.numpy`, soft where it matters.
