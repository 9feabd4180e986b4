# %% [markdown]
# # Learning to sort images
#
# Five images of handwritten digits, and the order in which they should stand: that is
# all a network is told here. Never which digit an image shows. It gives each image a
# score, the scores are sorted, and the soft permutation that sorts them is compared
# with the right one. The digits are those of scikit-learn, 8 x 8 pixels.

# %%
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_digits

import softjax as sj

images, digits = load_digits(return_X_y=True)
images = (images / 16).astype(np.float32)
train, test = np.split(np.random.default_rng(0).permutation(len(digits)), [1300])
LENGTH = 5


def draw(rng, among, count):
    """Sets of images of five different digits, in any order."""
    of_kind = [rng.choice(among[digits[among] == kind], count) for kind in range(10)]
    return rng.permuted(np.stack(of_kind, axis=1), axis=1)[:, :LENGTH]


# %% [markdown]
# ## A permutation as a matrix
#
# `sj.argsort` answers with one *soft index* for each place: a distribution over the
# elements. Together they are a matrix, and hard ones would be a permutation matrix.

# %%
jnp.set_printoptions(precision=2, suppress=True)
print(sj.argsort(jnp.array([0.3, 0.1, 0.8])))

# %% [markdown]
# So the loss is a cross-entropy: how much weight does each place give to the image that
# belongs there? With `return_log_probs=True` the logarithms come out exactly, also
# where the weights themselves are too small for float32.


# %%
def loss(network, images, digits):
    scores = jax.vmap(jax.vmap(network))(images)[..., 0]
    log_index = sj.argsort(scores, softness=0.3, return_log_probs=True)
    order = jnp.argsort(digits)  # of each row
    return -jnp.mean(jnp.take_along_axis(log_index, order[..., None], axis=-1))


@eqx.filter_jit
def accuracy(network, images, digits):
    """Share of the sets that are altogether in order, sorted hard."""
    scores = jax.vmap(jax.vmap(network))(images)[..., 0]
    right = jnp.argsort(scores) == jnp.argsort(digits)
    return jnp.mean(jnp.all(right, axis=-1))


# %% [markdown]
# ## Training

# %%
STEPS = 300
optimizer = optax.adam(optax.cosine_decay_schedule(3e-3, STEPS))
network = eqx.nn.MLP(64, 1, 128, 2, key=jax.random.key(0))
state = optimizer.init(eqx.filter(network, eqx.is_array))


@eqx.filter_jit
def step(network, state, images, digits):
    gradient = eqx.filter_grad(loss)(network, images, digits)
    updates, state = optimizer.update(gradient, state)
    return eqx.apply_updates(network, updates), state


rng = np.random.default_rng(0)
sets = draw(rng, test, 1000)
shares = []
for i in range(STEPS):
    chosen = draw(rng, train, 64)
    network, state = step(network, state, images[chosen], digits[chosen])
    if i % 100 == 99:
        share = accuracy(network, images[sets], digits[sets])
        print(f"step {i + 1}: {share:.0%} of the test sets are all in order")

# %% [markdown]
# ## What it has learned
#
# On the left, five sets of images it has never seen, sorted by their scores. On the
# right, the scores by the digit. Nobody told the network that digits are numbers, or
# that there are ten: the order was enough to find the line on which they lie.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
scores = jax.vmap(network)(images[test])[:, 0]
rows = []
for some in sets[:5]:
    order = np.argsort(jax.vmap(network)(images[some])[:, 0])
    framed = np.pad(images[some[order]].reshape(LENGTH, 8, 8), ((0, 0), (2, 2), (2, 2)))
    rows.append(np.hstack(framed))
left.imshow(np.vstack(rows), cmap="gray_r")
left.set(xticks=[], yticks=[], title="sorted by the network")
right.plot(digits[test] + rng.uniform(-0.2, 0.2, len(test)), scores, ".", ms=3)
right.set(xlabel="digit, which it was never told", ylabel="score", xticks=range(10))
plt.show()

# %% [markdown]
# ## From here
#
# - Other ways to relax the permutation are one keyword away, such as
#   `method="neuralsort"` or `"ot"`. `examples/sort_digits.py` compares all of them on
#   numbers of two digits, and [How to choose](../../choose.md) says when to take which.
# - If only the first k count, there is `sj.top_k`, and `sj.top_k_mask` for a set.
