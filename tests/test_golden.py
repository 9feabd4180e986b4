"""Printed figures: the operators against the reference figures, row by row.

Softness 0.1 and no standardization; computed in float32.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from assertions import assert_close

import softjax as sj

INPUTS = {
    "x": [-0.2, -1.0, 0.3, 1.0],
    "y": [0.2, -0.5, 0.5, -1.0],
    "fa": [0.1, 0.2, 0.8, 1.0],
    "fb": [0.7, 0.3, 0.1, 0.9],
    "u": [0.41845711, 0.21629545, 0.96532146, 0.57450053],
    "v": [0.41845711, 0.21629545, 0.96532146, 0.57450053, 0.53222649],
    "m": [[0.41845711, 0.21629545, 0.96532146], [0.57450053, 0.53222649, 0.35490518]],
    "i": [1.0, 2.0, 3.0],
}
VALUES = [
    ("sj.relu(x)", [0.0126928011, 4.53988992e-06, 0.304858735, 1.00000454]),
    ("sj.relu(x, mode='hard')", [0.0, 0.0, 0.3, 1.0]),
    ("sj.clip(x, -0.5, 0.5)", [-0.19523241, -0.4993285, 0.28734074, 0.4993285]),
    ("sj.clip(x, -0.5, 0.5, mode='hard')", [-0.2, -0.5, 0.3, 0.5]),
    ("sj.abs(x)", [0.15231883, 0.9999092, 0.27154448, 0.9999092]),
    ("sj.sign(x)", [-0.76159416, -0.9999092, 0.90514825, 0.9999092]),
    ("sj.round(x)", [-0.04651704, -1.0, 0.1188737, 1.0]),
    ("sj.heaviside(x)", [0.119202922, 4.53978687e-05, 0.952574127, 0.999954602]),
    ("sj.max(x)", 0.9993548976691374),
    ("sj.min(x)", -0.9997287789452775),
    ("sj.median(x)", 0.05000033589501627),
    ("sj.median(x, mode='hard')", 0.05),
    ("sj.top_k(x, k=3)[0]", [0.9993549, 0.29728716, -0.19691387]),
    ("sj.sort(x)", [-0.99972878, -0.19691387, 0.29728716, 0.9993549]),
    ("sj.ranking(x, mode='hard', descending=False)", [1.0, 0.0, 2.0, 3.0]),
    (
        "sj.ranking(x, descending=False)",
        [1.00636968, 0.000339874686, 1.99421369, 2.99907667],
    ),
    ("sj.argmax(x)", [6.13857697e-06, 2.05926316e-09, 0.0009110456, 0.999082814]),
    ("sj.argmin(x)", [0.000335349372, 0.999662389, 2.25956629e-06, 2.06045775e-09]),
    ("sj.argmedian(x, mode='hard')", [0.5, 0.0, 0.5, 0.0]),
    ("sj.argmedian(x)", [0.499999764, 5.62675608e-08, 0.499999764, 4.15764163e-07]),
    (
        "sj.top_k(x, k=3)[1]",
        [
            [6.13857697e-06, 2.05926316e-09, 0.0009110456, 0.999082814],
            [0.00668677917, 2.24316451e-06, 0.992406021, 0.000904957153],
            [0.992970214, 0.000333104397, 0.00669058067, 6.10101985e-06],
        ],
    ),
    (
        "sj.argsort(x)",
        [
            [0.000335349372, 0.999662389, 2.25956629e-06, 2.06045775e-09],
            [0.992970214, 0.000333104397, 0.00669058067, 6.10101985e-06],
            [0.00668677917, 2.24316451e-06, 0.992406021, 0.000904957153],
            [6.13857697e-06, 2.05926316e-09, 0.0009110456, 0.999082814],
        ],
    ),
    ("sj.greater(x, y)", [0.01798621, 0.00669285, 0.11920292, 1.0]),
    ("sj.greater_equal(x, y)", [0.01798621, 0.00669285, 0.11920292, 1.0]),
    ("sj.less(x, y)", [0.98201379, 0.993307149, 0.880797078, 2.06115369e-09]),
    ("sj.less_equal(x, y)", [0.98201379, 0.993307149, 0.880797078, 2.06115369e-09]),
    (
        "sj.logical_and(fa, fb, use_geometric_mean=True)",
        [0.26457513, 0.24494897, 0.28284271, 0.9486833],
    ),
    (
        "sj.logical_or(fa, fb, use_geometric_mean=True)",
        [0.48038476, 0.25166852, 0.57573593, 0.99999684],
    ),
    ("sj.logical_not(fa)", [0.9, 0.8, 0.2, 0.0]),
    (
        "sj.logical_xor(fa, fb, use_geometric_mean=True)",
        [0.58702688, 0.43498731, 0.63937484, 0.17309871],
    ),
    ("sj.all(fa, use_geometric_mean=True)", 0.35565588200778464),
    ("sj.any(fa, use_geometric_mean=True)", 0.9980519925071494),
    ("sj.logical_and(fa, fb)", [0.07, 0.06, 0.08, 0.9]),
    ("sj.where(fa, x, y)", [0.16, -0.6, 0.34, 1.0]),
    ("sj.relu_st(x)", [0.0, 0.0, 0.3, 1.0]),
    ("sj.sort_st(x)", [-1.0, -0.2, 0.3, 1.0]),
    (
        "sj.top_k_st(x, k=3)[1]",
        [[0.0, 0.0, 0.0, 1.0], [0.0, 0.0, 1.0, 0.0], [1.0, 0.0, 0.0, 0.0]],
    ),
    ("sj.greater_st(x, y)", [0.0, 0.0, 0.0, 1.0]),
    ("sj.argmax(i)", [2.06106005e-09, 4.53978686e-05, 0.9999546]),
    ("sj.argmedian(u)", [0.495553956, 0.008692348, 0.000199739291, 0.495553956]),
    (
        "sj.argsort(u)",
        [
            [0.114092958, 0.86146128, 0.00048112414, 0.0239646378],
            [0.742554231, 0.098344767, 0.00313131302, 0.155969689],
            [0.166975269, 0.0221144035, 0.0159597616, 0.794950566],
            [0.00411469085, 0.000544954558, 0.975750772, 0.0195895826],
        ],
    ),
    (
        "sj.top_k(u, k=3)[1]",
        [
            [0.00411469085, 0.000544954558, 0.975750772, 0.0195895826],
            [0.166975269, 0.0221144035, 0.0159597616, 0.794950566],
            [0.742554231, 0.098344767, 0.00313131302, 0.155969689],
        ],
    ),
    ("sj.max(u)", 0.9550070794223621),
    ("sj.median(u)", 0.494137017678798),
    ("sj.top_k(u, k=2)[0]", [0.95500708, 0.54676106]),
    ("sj.sort(u)", [0.24830531, 0.42462602, 0.54676106, 0.95500708]),
    ("sj.ranking(v, descending=False, mode='hard')", [1.0, 0.0, 4.0, 3.0, 2.0]),
    (
        "sj.ranking(v, descending=False)",
        [1.37238141, 0.25184717, 3.94097212, 2.40480632, 2.13591075],
    ),
    (
        "sj.take_along_axis(m, sj.argmin(m, axis=1, keepdims=True), axis=1)",
        [[0.24029622], [0.39747788]],
    ),
    (
        "sj.take_along_axis("
        "m, sj.argmin(m, axis=1, mode='hard', keepdims=True), axis=1)",
        [[0.21629545], [0.35490518]],
    ),
]
SHAPES = [
    ("sj.argmax(jnp.zeros((3, 4)), axis=1)", (3, 4)),
    ("sj.argmax(jnp.zeros((3, 4)), axis=0)", (4, 3)),
    ("sj.argmax(jnp.zeros((3, 4)), axis=1, keepdims=True)", (3, 1, 4)),
    ("sj.argmax(jnp.zeros((3, 4)), axis=0, keepdims=True)", (1, 4, 3)),
    ("sj.top_k(jnp.zeros((3, 4)), k=2, axis=1)[1]", (3, 2, 4)),
    ("sj.top_k(jnp.zeros((3, 4)), k=2, axis=0)[1]", (2, 4, 3)),
    ("sj.argsort(jnp.zeros((3, 4)), axis=1)", (3, 4, 4)),
    ("sj.argsort(jnp.zeros((3, 4)), axis=0)", (3, 4, 3)),
    ("sj.argmedian(jnp.zeros((3, 4)), axis=1)", (3, 4)),
    ("sj.argmedian(jnp.zeros((3, 4)), axis=0)", (4, 3)),
    ("sj.argmedian(jnp.zeros((3, 4)), axis=1, keepdims=True)", (3, 1, 4)),
    ("sj.argmedian(jnp.zeros((3, 4)), axis=0, keepdims=True)", (1, 4, 3)),
]


def evaluate(expression):
    inputs = {name: jnp.asarray(value, jnp.float32) for name, value in INPUTS.items()}
    return eval(expression, {"sj": sj, "jnp": jnp, **inputs})


@pytest.mark.defaults
@pytest.mark.parametrize(
    ("expression", "expected"), VALUES, ids=[expression for expression, _ in VALUES]
)
def test_values(expression, expected):
    out = evaluate(expression)
    assert out.dtype == jnp.float32
    assert_close(out, np.asarray(expected), atol=2e-6)


@pytest.mark.parametrize(
    ("expression", "shape"), SHAPES, ids=[expression for expression, _ in SHAPES]
)
def test_shapes(expression, shape):
    # Tracing is enough, and compiles nothing.
    assert jax.eval_shape(lambda: evaluate(expression)).shape == shape
