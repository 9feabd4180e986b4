"""Signatures with the keywords that operators of a kind share.

They are made at run time, and mkdocstrings reads source.
"""

import inspect

import griffe

import softjax

_KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: griffe.ParameterKind.positional_only,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: griffe.ParameterKind.positional_or_keyword,
    inspect.Parameter.VAR_POSITIONAL: griffe.ParameterKind.var_positional,
    inspect.Parameter.KEYWORD_ONLY: griffe.ParameterKind.keyword_only,
    inspect.Parameter.VAR_KEYWORD: griffe.ParameterKind.var_keyword,
}


def _parameters(fn) -> griffe.Parameters:
    return griffe.Parameters(
        *(
            griffe.Parameter(
                p.name,
                kind=_KINDS[p.kind],
                default=None if p.default is p.empty else repr(p.default),
            )
            for p in inspect.signature(fn).parameters.values()
        )
    )


class SoftjaxExtension(griffe.Extension):
    def on_function_instance(self, *, func: griffe.Function, **kwargs) -> None:
        fn = getattr(softjax, func.name, None)
        if inspect.isfunction(fn) and fn.__module__ == func.parent.canonical_path:
            func.parameters = _parameters(fn)
