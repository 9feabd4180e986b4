"""SoftJAX: differentiable surrogates of hard JAX operations.

Each is the solution of a regularized linear program, with three independent choices:
`mode` (the regularizer), `method` (the formulation) and `solver` (the algorithm).

All public names stand in `_api.py`, which is imported when the first of them is used.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._api import *  # noqa: F403

    # The straight-through variants, which are generated.
    def __getattr__(name: str) -> Any: ...

else:

    def _load() -> dict[str, Any]:
        import importlib

        api = importlib.import_module("softjax._api")
        public = {name: getattr(api, name) for name in api._PUBLIC}
        globals().update(public, __all__=api._PUBLIC)
        return public

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            import importlib.metadata

            return importlib.metadata.version("softjax")
        if name == "__all__":
            return list(_load())
        # Python and its tools ask for names with underscores; nothing is behind them.
        if not name.startswith("_"):
            public = _load()
            if name in public:
                return public[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        _load()
        return sorted(globals())
