"""Named LMs: what a name may be, and turning references into the LMs they stand for."""

from collections.abc import Callable, Collection
from dataclasses import dataclass

from dspex_testkit.errors import InvalidLMConfigError, LMCycleError, UnknownLMError
from dspex_testkit.lm.config.providers import ENSEMBLE, find_provider
from dspex_testkit.lm.config.values import LMConfig, LMReference
from dspex_testkit.nearest import nearest_hint

_LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Definition:
    """A named LM.

    What an engine counts belongs to the definition: whoever refers to it shares the position of its script.
    """

    name: str
    value: LMConfig | LMReference
    lm_id: str


Lookup = Callable[[str], Definition | None]


def check_name(name: str) -> str:
    """The name, if an LM may be defined under it.

    Raises:
        InvalidLMConfigError: It could be taken for a provider or a model, or is no readable word.
    """
    problem = None
    if "/" in name:
        problem = "contains '/', and 'provider/model' is never a name"
    elif name.strip().lower() == ENSEMBLE or find_provider(name) is not None:
        problem = "is the name of a provider"
    elif name != name.strip() or not name.isprintable() or len(name) > _LONGEST_NAME:
        problem = f"has blanks around it, unprintable characters or more than {_LONGEST_NAME} characters"
    if problem:
        raise InvalidLMConfigError(f"An LM cannot be named {name!r}: it {problem}; write a word such as 'fast'")
    return name


def unknown_name(name: str, known: Collection[str]) -> UnknownLMError:
    """The error for a name under which no LM is defined."""
    defined = ", ".join(sorted(known)) or "none"
    return UnknownLMError(
        f"No LM is defined under the name {name!r}{nearest_hint(name, known)}; defined are: {defined}",
        details={"name": name, "named": sorted(known)},
    )


def expand(value: LMConfig | LMReference, lookup: Lookup, path: tuple[str, ...] = ()) -> tuple[LMConfig, str | None]:
    """The LM that a value stands for now, its members too; and the id of the definition it came from.

    Args:
        value: A config, which is returned as it is unless a member refers to a name, or a reference.
        lookup: Gives definitions by name.
        path: The names on the way here.

    Raises:
        UnknownLMError: A name has no definition.
        LMCycleError: A name leads back to itself.
    """
    if isinstance(value, LMReference):
        if value.name in path:
            raise LMCycleError(
                f"The named LM {value.name!r} would be made of itself: {' → '.join([*path, value.name])}",
                details={"path": [*path, value.name]},
            )
        definition = lookup(value.name)
        if definition is None:
            raise unknown_name(value.name, ())
        config, inner_id = expand(definition.value, lookup, (*path, value.name))
        return config.patched(value.params), inner_id or definition.lm_id
    if not value.references:
        return value, None
    spec = value.ensemble
    assert spec is not None
    members = tuple(expand(member, lookup, path)[0] for member in spec.members)
    judge = None if spec.judge is None else expand(spec.judge, lookup, path)[0]
    return value.with_fields(ensemble=spec.model_copy(update={"members": members, "judge": judge})), None
