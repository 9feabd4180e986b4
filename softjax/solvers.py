"""The optimization layer, `softjax_solvers`, under the name `softjax.solvers`."""

from softjax_solvers import *  # noqa: F403
