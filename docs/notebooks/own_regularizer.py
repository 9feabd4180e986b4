# %% [markdown]
# # A regularizer of your own
#
# A hard operator is the solution of a linear program: `argmax`, for one, is the best
# distribution over the elements, which puts everything on the largest. SoftJAX
# subtracts a convex function from the objective, the *regularizer*,
#
# $$ \max_{y \in \Delta} \; \langle y, x \rangle - s \sum_i r(y_i), $$
#
# and the solution becomes a smooth function of x. Which function r it is, is what the
# keyword `mode` says. There are some by name. A new one is one method of a class,
# and then every operator has it.

# %%
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt

import softjax as sj

jnp.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## One function: the link
#
# All that is asked for is the *link*, the inverse of r': how much weight does an
# element buy with a score of t? It must not decrease, and it may be 0 for low scores,
# which then get nothing at all. The entropy, `mode="smooth"`, has an exponential there,
# and the square, `mode="c0"`, a ramp. Let us take something in between: an exponential
# that is cut off at 0.


# %%
class Shifted(sj.solvers.Regularizer):
    def link(self, t):
        return jnp.expm1(jnp.maximum(t, 0))


# %% [markdown]
# Is that allowed? `check_regularizer` tries what a regularizer has to be, and tells
# which properties the results will have. It takes some seconds, as it compiles much:

# %%
print(sj.solvers.check_regularizer(Shifted()))

# %% [markdown]
# ## Every operator has it
#
# An instance of the class goes where the name of a mode would go.

# %%
x = jnp.array([0.2, 1.0, 0.3, 0.7])
for mode in ("smooth", "c0", Shifted()):
    print(f"{mode!s:<10}", sj.argmax(x, mode=mode, softness=0.8))

mine = dict(mode=Shifted(), softness=0.8)
print("sort      ", sj.sort(x, **mine))
print("x > 0.5   ", sj.greater(x, 0.5, **mine))

# %% [markdown]
# And gradients, of any order. Nobody wrote a derivative: that of the solution follows
# from its optimality conditions, whatever the link is.

# %%
print(jax.grad(lambda x: sj.max(x, **mine))(x))

# %% [markdown]
# ## What it looks like
#
# One number moves past three others. In the upper row is the share of it in the
# `argmax`, in the lower one the derivative of that share. Where a sparse mode has
# decided, the derivative is exactly 0. The same softness is not equally wide in all
# modes, so compare shapes rather than widths.

# %%
others = jnp.array([-0.6, 0.1, 0.5])
moving = jnp.linspace(-1.0, 1.0, 401)


def share(x, softness, mode):
    return sj.argmax(jnp.append(x, others), softness=softness, mode=mode)[0]


value_and_slope = jax.jit(
    jax.vmap(jax.value_and_grad(share), (0, None, None)), static_argnums=2
)
figure, axes = plt.subplots(
    2, 2, figsize=(9, 5), sharex=True, sharey="row", layout="constrained"
)
for column, softness in zip(axes.T, (0.1, 0.5), strict=True):
    for mode in ("smooth", "c0", Shifted()):
        curves = value_and_slope(moving, softness, mode)
        for axis, curve in zip(column, curves, strict=True):
            axis.plot(moving, curve, label=str(mode))
    column[0].set_title(f"softness {softness}")
    column[1].set_xlabel("the number that moves")
axes[0, 0].set_ylabel("its share in the argmax")
axes[1, 0].set_ylabel("derivative")
axes[0, 0].legend(frameon=False)
plt.show()

# %% [markdown]
# ## From here
#
# - [Your own regularizer](../../regularizers.md) has the theory: what is derived from
#   the link, and which closed forms make it faster.
# - `examples/own_regularizer.py` draws sixteen operators in this mode, and
#   `examples/learned_regularizer.py` learns the link together with a model.
