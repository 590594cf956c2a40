"""LM configs: from what clients write to values that name an LM.

    values      configs, patches, references and ensembles as values
    reading     every shape in which a config is written; `ensembles` reads what is theirs, `fields` single values
    params      the parameters of an LM, with their types and ranges
    providers   the table of providers
    naming      LMs under names of a client's own

The values may be imported from here; nothing is loaded before, because the table of providers is asked by light tools.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_testkit.lm.config.values import (
        CacheMode,
        CacheOptions,
        EnsembleSpec,
        LMConfig,
        LMPatch,
        LMReference,
        LMValue,
        ParsedConfig,
        Strategy,
    )

__all__ = [
    "CacheMode",
    "CacheOptions",
    "EnsembleSpec",
    "LMConfig",
    "LMPatch",
    "LMReference",
    "LMValue",
    "ParsedConfig",
    "Strategy",
]


def __getattr__(name: str) -> object:
    if name in __all__:
        from dspex_testkit.lm.config import values

        return getattr(values, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
