"""Rules of softening: what is exact, what is kept hard, and what is said about it."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close
from parametrize import each

import softjax as sj

SOFTNESS = 0.1
X = np.array([0.3, -0.05, 0.9, 0.55])


def step(x, softness=SOFTNESS):
    return 1 / (1 + np.exp(-np.asarray(x, float) / softness))


def share(x, softness=SOFTNESS):
    p = np.exp(np.asarray(x, float) / softness)
    return p / p.sum()


P, H = share(X), step(X)
ABOVE = [np.ones(4), *(step(X - k * 0.4) for k in range(3)), np.zeros(4)]
TABLE = np.array([3, 1, 4, 1])
FLOATS = np.array([[1.0, 2.0], [5.0, 3.0], [-1.0, 0.5], [2.0, 2.0]])


@sj.keep_hard
def is_high(x):
    return x > 0.5


@jax.custom_jvp
def rounded(x):
    return jnp.floor(x) * (x > 0)


rounded.defjvp(lambda primals, tangents: (rounded(*primals), tangents[0]))


def _binomial(p):
    """Probabilities of how many of independent events happen."""
    out = np.ones(1)
    for q in p:
        out = np.convolve(out, [1 - q, q])
    return out


def _shifted(x, k):
    return np.concatenate([x[k:], x[:k]])


# A program of X, and its exact expected value under the probabilities P and H.
EXACT = {
    "comparison": (lambda x: x > 0, H),
    "negation": (lambda x: ~(x > 0), 1 - H),
    "an event and its opposite": (lambda x: (x > 0) & ~(x > 0), 0 * H),
    "complementary events": (lambda x: (x > 0) | (x <= 0), np.ones(4)),
    "an event or itself": (lambda x: (x > 0) | (x > 0), H),
    "independent events": (lambda x: jnp.all(x > 0), np.prod(H)),
    "any": (lambda x: jnp.any(x > 0), 1 - np.prod(1 - H)),
    "parity": (
        lambda x: (x[0] > 0) ^ (x[1] > 0),
        H[0] * (1 - H[1]) + H[1] * (1 - H[0]),
    ),
    "where": (lambda x: jnp.where(x > 0, x, 2 * x), H * X + (1 - H) * 2 * X),
    "mask of infinities": (
        lambda x: jax.nn.softmax(jnp.where(x > 0, x, -jnp.inf)),
        H * np.exp(X) / np.sum(H * np.exp(X)),
    ),
    "where of a logarithm": (
        lambda x: jnp.where(x > 0, jnp.log(x), -5.0),
        np.where(X > 0, H * np.log(np.abs(X)) + (1 - H) * -5, -5),
    ),
    "count": (lambda x: jnp.sum(x > 0), np.sum(H)),
    "sum of two": (
        lambda x: ((x[0] > 0).astype(int) + (x[1] > 0)) == 1,
        _binomial(H[:2])[1],
    ),
    "square of an indicator": (lambda x: (x > 0).astype(int) ** 2, H),
    "indexing": (lambda x: x[jnp.argmax(x)], P @ X),
    "negative index": (lambda x: x[jnp.argmax(x) - 4], P @ X),
    "table of integers": (lambda x: jnp.asarray(TABLE)[jnp.argmax(x)], P @ TABLE),
    "index of an index": (
        lambda x: jnp.asarray(FLOATS)[:, 0][jnp.asarray(TABLE)[jnp.argmax(x)] % 4],
        P @ FLOATS[TABLE % 4, 0],
    ),
    "rows": (lambda x: jnp.asarray(FLOATS)[jnp.argmax(x)], P @ FLOATS),
    "one hot": (lambda x: jax.nn.one_hot(jnp.argmax(x), 4), P),
    "parity of an index": (lambda x: jnp.argmax(x) % 2 == 0, P[0] + P[2]),
    "square of an index": (lambda x: jnp.argmax(x) ** 2, P @ np.arange(4) ** 2),
    "two coordinates of one index": (
        lambda x: jnp.asarray(FLOATS)[
            jnp.unravel_index(jnp.argmax(jnp.append(x, x)), FLOATS.shape)
        ],
        share(np.append(X, X)) @ FLOATS.ravel(),
    ),
    "dynamic slice": (
        lambda x: jax.lax.dynamic_slice(x, (jnp.argmax(x),), (1,)),
        np.array([P @ X]),
    ),
    "dynamic update": (
        lambda x: jax.lax.dynamic_update_slice(x, jnp.ones(1), (jnp.argmax(x),)),
        X * (1 - P) + P,
    ),
    "scatter add": (lambda x: x.at[jnp.argmax(x)].add(2.0), X + 2 * P),
    "scatter": (lambda x: x.at[jnp.argmax(x)].set(2.0), X * (1 - P) + 2 * P),
    "roll by an index": (
        lambda x: jax.lax.dynamic_slice(
            jnp.concatenate([x, x]), (jnp.argmax(x),), (4,)
        ),
        sum(P[k] * _shifted(X, k) for k in range(4)),
    ),
    "first of events": (
        lambda x: jnp.argmax(x > 0.5),
        np.sum(
            [k * step(X - 0.5)[k] * np.prod(1 - step(X - 0.5)[:k]) for k in range(4)]
        ),
    ),
    "place among knots": (
        lambda x: jnp.asarray(FLOATS)[:, 1][jnp.searchsorted(np.arange(3) * 0.4, x)],
        sum((ABOVE[k] - ABOVE[k + 1]) * FLOATS[k, 1] for k in range(4)),
    ),
    "x == max(x)": (lambda x: x == jnp.max(x), P),
    "x == clip(x)": (lambda x: x == jnp.clip(x, 0.0, 0.6), H * step(0.6 - X)),
    "branches": (
        lambda x: jax.lax.cond(x[0] > 0, lambda: 3.0, lambda: 7.0),
        3 * H[0] + 7 * (1 - H[0]),
    ),
    "switch": (
        lambda x: jax.lax.switch(jnp.argmax(x), [lambda k=k: k**2.0 for k in range(4)]),
        P @ np.arange(4) ** 2,
    ),
    "loop over samples": (
        lambda x: jax.lax.scan(lambda c, y: (c + (y > 0), c), 0, x)[0],
        np.sum(H),
    ),
    "jit and vmap": (
        lambda x: jax.jit(jax.vmap(lambda y: jnp.where(y > 0, 1.0, -1.0)))(x),
        2 * H - 1,
    ),
    "conversion to integers": (
        jax.jit(lambda x: (4 * x).astype(int)),
        sum(step(4 * X - k) - step(-k - 4 * X) for k in range(1, 6)),
    ),
    "checkpoint": (lambda x: jax.checkpoint(lambda x: x > 0)(x), H),
    "keep_hard": (is_high, X > 0.5),
    "known mask": (lambda x: jnp.where(jnp.arange(4) > 1, x, 0.0), [0, 0, *X[2:]]),
    "not a number": (lambda x: jnp.isnan(x), np.zeros(4)),
    "finite": (lambda x: jnp.isfinite(x) & (x < jnp.inf), np.ones(4)),
    "smooth library function": (
        lambda x: jax.nn.logsumexp(x) + jax.nn.softplus(x),
        np.log(np.sum(np.exp(X))) + np.log1p(np.exp(X)),
    ),
    "behind stop_gradient": (
        lambda x: jax.lax.stop_gradient(jnp.where(x > 0, 1.0, 0.0)) * x,
        np.where(X > 0, X, 0),
    ),
}


def test_exact_expectations():
    """All in one program: each is small, and compiling is what takes time."""

    def run(x):
        return {
            name: sj.soften(fn, SOFTNESS, on_unsupported="raise")(x)
            for name, (fn, _) in EXACT.items()
        }

    with jax.enable_x64(True):
        found = jax.jit(run)(X)
        assert all(jnp.ndim(found[n]) == np.ndim(w) for n, (_, w) in EXACT.items())
        for name, (_, wanted) in EXACT.items():
            np.testing.assert_allclose(
                np.asarray(found[name], float),
                np.asarray(wanted, float),
                atol=2e-7,
                err_msg=name,
            )


def test_rules_of_differentiation_are_kept_hard_or_softened():
    x = jnp.array([0.45, 1.6])
    hard = jax.grad(lambda x: sj.soften(sj.keep_hard(rounded))(x).sum())(x)
    assert_close(hard, np.ones(2))
    soft = jax.grad(lambda x: sj.soften(rounded)(x).sum())(x)
    assert np.all(np.abs(soft - 1) > 0.1)


def test_samplers_of_booleans_are_softened():
    key, x = jax.random.key(0), jnp.asarray(X, jnp.float32)
    found = sj.soften(lambda x: jax.random.bernoulli(key, x))(x)
    wanted = step(x - jax.random.uniform(key, x.shape))
    assert_close(found, np.float32(wanted))


def program(x):
    return jnp.where(x > 0, x, 0.0) * jnp.sort(x)[jnp.argmax(x)]


def test_straight_through():
    x = jnp.asarray(X, jnp.float32)
    weights = jnp.arange(1.0, 5.0)

    @jax.jit
    def both(x):
        out = {}
        for through in (False, True, "output", "per_op"):
            fn = sj.soften(program, straight_through=through)

            def summed(x, fn=fn):
                return jnp.vdot(weights, fn(x))

            out[str(through)] = jax.value_and_grad(summed)(x)
        return out | {"hard": jnp.vdot(weights, program(x))}

    found = both(x)
    for through in ("True", "output", "per_op"):
        assert found[through][0] == found["hard"]
    assert found["False"][0] != found["hard"]
    assert_close(found["True"][1], found["False"][1])
    assert_close(found["output"][1], found["False"][1])
    assert np.all(found["per_op"][1] != 0)


def test_per_op_values_are_hard_everywhere():
    def many(x):
        index = jnp.argsort(x)
        return (
            x[index],
            jax.nn.one_hot(index, 4),
            jnp.sum(x > 0.2),
            (x > 0.2) & (x < 0.8),
            jnp.floor(x * 3),
            jax.lax.top_k(x, 2)[0],
            jax.lax.cond(x[0] > 0, lambda: 1.0, lambda: 2.0),
        )

    x = jnp.asarray(X, jnp.float32)
    found = jax.jit(sj.soften(many, straight_through="per_op"))(x)
    for soft, hard in zip(found, many(x), strict=True):
        assert_close(soft.astype(float), np.asarray(hard, np.float32), atol=1e-6)


def test_kinds_have_keywords_of_their_own():
    def fn(x):
        return x > 0, jnp.abs(x), jnp.max(x)

    ops = {"comparison": 0.3, "abs": dict(mode="hard"), "max": dict(mode="c0")}
    above, size, largest = sj.soften(fn, ops=ops)(jnp.asarray(X))
    assert_close(above, np.float32(step(X, 0.3)))
    assert_close(size, np.abs(np.float32(X)))
    assert_close(largest, np.float32(0.9))
    how = [(e.outcome, e.how) for e in sj.soften.report(fn, ops=ops)(X).entries]
    assert how[0] == ("soft", "comparison: soft step, softness 0.3")
    assert how[1][0] == "kept"


def unsupported(x):
    return jax.lax.sort((x, x[::-1]), num_keys=2)[1]


def test_what_stays_hard_is_named_with_its_place():
    x = jnp.asarray(X)
    with pytest.warns(UserWarning, match=r"sort at .*test_soften_rules.py:\d+.*keys"):
        out = sj.soften(unsupported)(x)
    assert_close(out, unsupported(x))
    with pytest.raises(NotImplementedError, match=r"sort at .*test_soften_rules.py"):
        sj.soften(unsupported, on_unsupported="raise")(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sj.soften(unsupported, on_unsupported="ignore")(x)
    (entry,) = sj.soften.report(unsupported)(x).hard
    assert entry.primitive == "sort"
    assert "sort" in repr(sj.soften.report(unsupported)(x))


@pytest.mark.slow
def test_places_in_notebooks_are_lines_of_a_cell():
    cell = "def rule(x):\n    return x > 0.5\n"
    names = {}
    exec(compile(cell, "/tmp/ipykernel_12/3456.py", "exec"), names)
    (entry,) = sj.soften.report(names["rule"])(jnp.asarray(X)).entries
    assert entry.place.startswith("cell:2:")


@each("name", ["callback", "condition", "equality", "reduction"])
def test_no_primitive_is_silently_hard(name):
    programs = {
        "callback": lambda x: jax.pure_callback(np.sign, x, x),
        "condition": lambda x: jax.lax.while_loop(
            lambda c: c[0] < 2, lambda c: c + 1, x
        ),
        "equality": lambda x: x == x[::-1] ** 2,
        "reduction": lambda x: jax.lax.reduce(
            x, jnp.float32(0), lambda a, b: jnp.where(a > b, a, b + 0.1), (0,)
        ),
    }
    report = sj.soften.report(programs[name])(jnp.asarray(X, jnp.float32))
    (entry,) = report.hard
    assert "test_soften_rules.py" in entry.place


def test_loops_carry_what_they_need():
    """Against a loop in Python over the same numbers."""

    def loop(x):
        def body(carry):
            i, best, count, done = carry
            y = x[i]
            done = done | (y > 0.8)
            best = jnp.where(done, best, jnp.maximum(best, y))
            return i + 1, best, count + (y > 0.2), done

        start = (0, -1.0, 0, False)
        return jax.lax.while_loop(lambda c: c[0] < 4, body, start)

    i, best, count, done = sj.soften(loop, ops={"max": dict(mode="hard")})(X)
    p_done, value = 0.0, -1.0
    for y in np.float32(X):
        p_done = p_done + (1 - p_done) * step(y - 0.8)
        value = p_done * value + (1 - p_done) * max(value, y)
    assert (i, i.dtype) == (4, jnp.int32)
    assert_close(count, np.float32(np.sum(step(X - 0.2))))
    assert_close(done, np.float32(p_done))
    assert_close(best, np.float32(value))


def test_pytrees_keywords_and_constants():
    def fn(params, *, n, flags, scale=2.0):
        total = params["w"] * n if flags["sum"] else params["b"]
        return {"out": total > scale, "name": "kept", "n": n}

    params = {"w": jnp.array([0.5, 2.0]), "b": jnp.zeros(2)}
    out = sj.soften(fn)(params, n=2, flags={"sum": True})
    assert_close(out["out"], np.float32(step(np.array([1.0, 4.0]) - 2)))
    assert (out["name"], out["n"]) == ("kept", 2)


def test_closed_over_and_traced():
    def loss(threshold):
        return jnp.sum(sj.soften(lambda x: x > threshold)(jnp.asarray(X)))

    p = step(X - 0.4)
    wanted = -np.sum(p * (1 - p)) / SOFTNESS
    assert_close(jax.grad(loss)(0.4), np.float32(wanted), atol=1e-5)


def test_hessian_and_forward_mode():
    fn = sj.soften(lambda x: jnp.sum(jnp.where(x > 0, x**2, 0.0)))
    both = jax.jit(lambda x: (jax.hessian(fn)(x), jax.jacfwd(jax.grad(fn))(x)))
    hessian, forward = both(jnp.asarray(X, jnp.float32))
    p = step(X)
    first = p * (1 - p) / SOFTNESS
    second = first * (1 - 2 * p) / SOFTNESS
    wanted = np.diag(second * X**2 + 4 * first * X + 2 * p).astype(np.float32)
    assert_close(hessian, wanted, atol=2e-5)
    assert_close(forward, wanted, atol=2e-5)


def test_check():
    check = sj.soften.check(lambda x: (x > 0, x[jnp.argmax(x)]), jnp.asarray(X))
    assert check.error < 1e-6
    assert np.count_nonzero(check.hard_gradient) == 1
    assert np.count_nonzero(check.gradient) == 4
    assert not check.report.hard
    assert "hard for want of a rule: 0" in repr(check)


@pytest.mark.parametrize(
    ("keywords", "words"),
    [
        ({"ops": {"sorts": 0.1}}, "no kind 'sorts'.*argmax"),
        ({"ops": {"sort": {"width": 1}}}, "does not take 'width'.*softness"),
        ({"ops": {"sort": -1.0}}, "softness must be positive"),
        ({"softness": 0.0}, "softness must be positive"),
        ({"mode": "smoth"}, "smoth"),
        ({"straight_through": "all"}, "straight_through must be one of.*'all'"),
        ({"on_unsupported": "pass"}, "on_unsupported must be one of.*'pass'"),
    ],
)
def test_bad_keywords(keywords, words):
    with pytest.raises(ValueError, match=words):
        sj.soften(jnp.sin, **keywords)
    with pytest.raises(ValueError, match=words):
        sj.soften.report(jnp.sin, **keywords)


def test_bad_functions():
    for mark in (sj.soften, sj.keep_hard):
        with pytest.raises(TypeError, match="fn must be a function, got 3"):
            mark(3)
    with pytest.raises(TypeError, match="ops must be a dict"):
        sj.soften(jnp.sin, ops=[0.1])
