"""Keys, taken out of what is journaled."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from dspex_testkit.calls import LMCall, Prompt

REDACTED: Final = "[redacted]"
_KEY_HEADERS: Final = ("authorization", "x-api-key", "x-goog-api-key", "api-key")
_LOOKS_LIKE_A_KEY: Final = re.compile(r"\b(?:sk-[\w-]{16,}|AIza[\w-]{30,}|xox[bp]-[\w-]{10,}|gsk_\w{16,})")


def keys_of(headers: Mapping[str, str], query: Mapping[str, str]) -> list[str]:
    """The keys that a request carries."""
    found = [headers[name].removeprefix("Bearer ").strip() for name in _KEY_HEADERS if name in headers]
    found += [query[name] for name in ("key", "access_token") if name in query]
    return [key for key in found if key]


def redacted(call: LMCall, keys: Iterable[str]) -> LMCall:
    """The call without keys: those that came with the request, and whatever looks like one."""
    # Too short to be secret, and apt to stand in any text.
    secret = [key for key in keys if len(key) >= 8]
    prompt = "" if call.prompt is None else str(call.prompt.to_dict())
    said = f"{call.inputs}{call.completion}{call.outputs}{call.error}{prompt}"
    if _LOOKS_LIKE_A_KEY.search(said) is None and not any(key in said or repr(key)[1:-1] in said for key in secret):
        return call
    return replace(
        call,
        inputs=_clean(call.inputs, secret),
        outputs=_clean(call.outputs, secret),
        completion=_clean(call.completion, secret),
        error=_clean(call.error, secret),
        prompt=None if call.prompt is None else Prompt.from_dict(_clean(call.prompt.to_dict(), secret)),
    )


def _clean(value: Any, keys: list[str]) -> Any:
    if isinstance(value, str):
        for key in keys:
            value = value.replace(key, REDACTED)
        return _LOOKS_LIKE_A_KEY.sub(REDACTED, value)
    if isinstance(value, Mapping):
        return {_clean(name, keys): _clean(item, keys) for name, item in value.items()}
    return [_clean(item, keys) for item in value] if isinstance(value, list | tuple) else value
