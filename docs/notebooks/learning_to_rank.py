# %% [markdown]
# # Learning to rank
#
# A doctor has time for five of twenty patients and wants those first who need it most.
# What counts is the *order* at the top of the list, and the measure of it is called
# NDCG: every patient brings a gain that is discounted with the rank. Ranks have no
# gradient, so models are mostly trained for something else, such as the squared error,
# and judged by NDCG afterwards. Soft ranks let us train for what we measure.
#
# The data come with scikit-learn: ten measurements of 442 diabetes patients, and how
# far the disease went a year later.

# %%
import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from sklearn.datasets import load_diabetes

from softjax import losses

x, y = (np.asarray(a, np.float32) for a in load_diabetes(return_X_y=True))
x = jnp.asarray((x - x.mean(axis=0)) / x.std(axis=0))
need = jnp.asarray((y - y.min()) / (y.max() - y.min()))  # from 0 to 1

LENGTH, FIRST = 20, 5
rng = np.random.default_rng(0)
train, test = np.split(rng.permutation(len(y)), [300])
test_lists = rng.choice(test, (200, LENGTH))

# %% [markdown]
# ## Two losses
#
# `losses.ndcg` takes the scores of a model and grades, both with the list along the
# last axis. Scores of a network have no fixed scale, so `standardize=True` measures the
# softness in their own spread.


# %%
def squared_error(scores, need):
    return (scores - need) ** 2


def one_minus_ndcg(scores, need):
    return 1 - losses.ndcg(scores, 4 * need, FIRST, softness=0.1, standardize=True)


def hard_ndcg(network, lists):
    scores = jax.vmap(jax.vmap(network))(x[lists])[..., 0]
    return jnp.mean(losses.ndcg(scores, 4 * need[lists], FIRST, mode="hard"))


# %% [markdown]
# ## Training
#
# The same small network, the same lists, the same optimizer: only the loss differs.


# %%
def learn(loss, steps=200, batch=16):
    network = eqx.nn.MLP(10, 1, 16, 1, key=jax.random.key(0))
    optimizer = optax.adamw(3e-3, weight_decay=1e-2)
    state = optimizer.init(eqx.filter(network, eqx.is_array))

    def mean_loss(network, x, need):
        scores = jax.vmap(jax.vmap(network))(x)[..., 0]
        return jnp.mean(loss(scores, need))

    @eqx.filter_jit
    def step(network, state, x, need):
        gradient = eqx.filter_grad(mean_loss)(network, x, need)
        parameters = eqx.filter(network, eqx.is_array)
        updates, state = optimizer.update(gradient, state, parameters)
        return eqx.apply_updates(network, updates), state

    judge = eqx.filter_jit(hard_ndcg)
    rng = np.random.default_rng(1)
    curve = [(0, judge(network, test_lists))]
    for i in range(1, steps + 1):
        lists = rng.choice(train, (batch, LENGTH))
        network, state = step(network, state, x[lists], need[lists])
        if i % 10 == 0:
            curve.append((i, judge(network, test_lists)))
    return network, np.array(curve)


networks, curves = {}, {}
for loss in (squared_error, one_minus_ndcg):
    networks[loss.__name__], curves[loss.__name__] = learn(loss)
    print(f"{loss.__name__:<15} NDCG@{FIRST} {curves[loss.__name__][-1, 1]:.3f}")

# %% [markdown]
# On the left, what a doctor gets: the NDCG of lists of patients that no network has
# seen, with hard ranks. On the right, one such list in the order of the network that
# was trained for it: the longest bars should stand first.

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for name, curve in curves.items():
    left.plot(*curve.T, label=f"trained by {name}")
left.set(xlabel="step", ylabel=f"NDCG@{FIRST}, test lists")
left.legend(frameon=False)

patients = test_lists[0]
scores = jax.vmap(networks["one_minus_ndcg"])(x[patients])[:, 0]
in_order = need[patients][np.argsort(-scores)]
right.bar(np.arange(1, LENGTH + 1), in_order, color=["C1"] * FIRST + ["0.7"] * 15)
right.set(xlabel="place in the list", ylabel="need, from 0 to 1")
right.set_xticks([1, 5, 10, 15, 20])
plt.show()

# %% [markdown]
# Trained for the measure, the network gets there in fewer steps. On these few patients
# the squared error arrives at about the same place in the end, as its targets are
# clean. Where they are spoiled, it is far behind: `examples/quickstart.py` shows that.
#
# ## From here
#
# - Lists of different lengths: every loss takes `where=`, as
#   [Padded, weighted and ragged](../../padded_weighted_ragged.md) explains.
# - [Losses and metrics](../../losses.md) has more of them: reciprocal ranks, average
#   precision, Spearman's correlation, Fenchel-Young losses.
# - `examples/learn_to_rank.py` compares four losses over several splits.
