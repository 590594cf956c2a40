"""Which scope decides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dspex_testkit.calls import Scope
from dspex_testkit.errors import NoLMConfiguredError
from dspex_testkit.lm.config.values import LMConfig, LMPatch
from dspex_testkit.lm.resolution import Assignment, resolve

SCOPES = list(Scope)

configs = st.builds(LMConfig, provider=st.sampled_from(["openai", "google"]), model=st.sampled_from(["a", "b", "c"]))
patches = st.builds(
    LMPatch, params=st.fixed_dictionaries({}, optional={"temperature": st.floats(0, 2), "seed": st.integers()})
)
levels = st.tuples(*[st.none() | configs | patches for _ in SCOPES])


def assigned(values: "tuple[LMConfig | LMPatch | None, ...]") -> list[Assignment | None]:
    """The values as what each scope holds, narrowest first."""
    return [
        None if value is None else Assignment(scope, value, f"lm-{scope}")
        for scope, value in zip(SCOPES, values, strict=True)
    ]


@given(levels)
def test_the_narrowest_scope_with_a_model_decides(values: "tuple[LMConfig | LMPatch | None, ...]") -> None:
    """Whatever the scopes hold, the first full config from the narrow end answers, or nobody does."""
    named = [(scope, value) for scope, value in zip(SCOPES, values, strict=True) if isinstance(value, LMConfig)]
    if not named:
        with pytest.raises(NoLMConfiguredError, match=r"^No LM is loaded\.$"):
            resolve(assigned(values))
        return
    scope, config = named[0]

    resolved = resolve(assigned(values))

    assert (resolved.scope, resolved.config.provider, resolved.config.model) == (scope, config.provider, config.model)
    assert resolved.lm_id == f"lm-{scope}"


@given(levels)
def test_patches_apply_from_the_wide_end_to_the_narrow(values: "tuple[LMConfig | LMPatch | None, ...]") -> None:
    """A narrower scope's parameter hides a wider one's; scopes wider than the deciding one do not count."""
    expected: dict[str, object] = {}
    decided = False
    for value in values:
        if isinstance(value, LMConfig):
            expected = {**value.params, **expected}
            decided = True
            break
        if value is not None:
            expected = {**value.params, **expected}

    if decided:
        assert resolve(assigned(values)).config.params == expected
