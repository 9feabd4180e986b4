# %% [markdown]
# # A first gradient through a sort
#
# Sorting, ranking and counting answer with whole numbers. Move an input a little, and
# the answer stays as it is, so its gradient is zero. This notebook shows the problem,
# the remedy, and what the remedy is good for.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import softjax as sj

jnp.set_printoptions(precision=3, suppress=True)
x = jnp.array([0.2, 1.0, 0.3, 0.7])


def first_rank(x, **keywords):
    return sj.rank(x, **keywords)[0]


# %% [markdown]
# `sj.rank` counts from the largest element, as a podium does. With `mode="hard"` it is
# the function you know, and there is nothing to learn from:

# %%
print("ranks   ", sj.rank(x, mode="hard"))
print("gradient", jax.grad(first_rank)(x, mode="hard"))

# %% [markdown]
# Without that keyword ranks are soft. They are close to the hard ones, and the first
# element now learns that it falls behind if the third one grows:

# %%
print("ranks   ", sj.rank(x))
print("gradient", jax.grad(first_rank)(x))

# %% [markdown]
# ## What softness is
#
# Let one number move past four others. Its hard rank is a staircase. Its soft rank
# crosses each step on a slope that is about as wide as the *softness*, in the unit of
# the numbers. Where steps are closer than that, they merge into one slope.

# %%
others = jnp.array([-0.6, -0.1, 0.1, 0.6])
moving = jnp.linspace(-1.0, 1.0, 401)


def rank_among_others(x, softness, mode):
    row = jnp.append(x, others)
    return sj.rank(row, descending=False, softness=softness, mode=mode)[0]


curve = jax.jit(jax.vmap(rank_among_others, (0, None, None)), static_argnums=2)
figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
axis.plot(moving, curve(moving, 1.0, "hard"), color="0.5", label="hard")
for softness in (0.02, 0.1, 0.5):
    label = f"softness {softness}"
    axis.plot(moving, curve(moving, softness, "smooth"), label=label)
axis.plot(moving, curve(moving, 0.5, "c0"), "--", label='softness 0.5, mode="c0"')
axis.plot(others, jnp.full(4, 0.8), "k|", label="the other four")
axis.set(xlabel="the number", ylabel="its rank", yticks=range(1, 6))
axis.legend(frameon=False, fontsize=9)
plt.show()

# %% [markdown]
# ## What it is good for
#
# Twelve points of the plane come with an order, say of preference. We look for the
# direction in which they stand in that order: a single number, the angle, and a loss
# made of ranks. Only the order is known, and no value along the direction.

# %%
points = jax.random.normal(jax.random.key(0), (12, 2))


def along(angle):
    return points @ jnp.array([jnp.cos(angle), jnp.sin(angle)])


TRUTH = 1.2
wanted = sj.rank(along(TRUTH), mode="hard")


def loss(angle, softness, mode="smooth"):
    """Mean squared distance to the wanted ranks."""
    ranks = sj.rank(along(angle), softness=softness, mode=mode)
    return jnp.mean((ranks - wanted) ** 2)


# %% [markdown]
# Gradient descent on the soft loss needs nothing special: `jax.grad` and a step.

# %%
step = jax.jit(lambda angle: angle - 0.02 * jax.grad(loss)(angle, 0.3))
path = [jnp.array(-1.0)]
for _ in range(30):
    path.append(step(path[-1]))

start, end = path[0], path[-1]
print(f"hard loss: {loss(start, 1, 'hard'):.2f} -> {loss(end, 1, 'hard'):.2f}")
print(f"angle: {start:.2f} -> {end:.2f}, and the points were ordered at {TRUTH}")

# %% [markdown]
# The picture says why. The hard loss is flat between its jumps, whichever way one
# looks. The soft ones are hills to walk down, smoother with more softness. With too
# much of it, differences between ranks are washed out.

# %%
angles = jnp.linspace(-2.0, 4.2, 600)
curve = jax.jit(jax.vmap(loss, (0, None, None)), static_argnums=2)
figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
axis.plot(angles, curve(angles, 1.0, "hard"), color="0.5", lw=1, label="hard")
for softness in (0.3, 3.0):
    label = f"softness {softness}"
    axis.plot(angles, curve(angles, softness, "smooth"), label=label)
descent = jnp.stack(path)
axis.plot(descent, curve(descent, 0.3, "smooth"), "k.-", ms=6, label="descent")
axis.set(xlabel="angle", ylabel="loss")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## From here
#
# - Every function along an axis works so: `sort`, `argmax`, `top_k`, `median`,
#   `quantile`. [All of SoftJAX](../../tour.md) has a picture of each.
# - Softness is the first thing to set, and [How to choose](../../choose.md) says how.
