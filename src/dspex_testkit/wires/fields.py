"""Values out of a provider's body, each of its kind; another kind is refused, with the place and what was wanted."""

from collections.abc import Mapping
from typing import Any

from dspex_testkit.limits import TOP_LOGPROBS, brief, json_kind
from dspex_testkit.wires.failures import refuse


def objects(body: Mapping[str, Any], key: str, *, required: bool = False) -> list[Mapping[str, Any]]:
    """A list of objects.

    Raises:
        Refused: It is something else, or missing where it is required.
    """
    value = body.get(key)
    if value is None and not required:
        return []
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        came = "nothing" if value is None else json_kind(value)
        raise refuse("invalid_request", f"{key}: a list of objects is wanted, {came} came.")
    return value


def object_of(body: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """An object; an empty one where nothing was said.

    Raises:
        Refused: It is something else.
    """
    value = body.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise refuse("invalid_request", f"{key}: an object is wanted, {json_kind(value)} came.")
    return value


def whole_number(body: Mapping[str, Any], key: str, default: int, *, most: int) -> int:
    """An integer from 1.

    Raises:
        Refused: It is not.
    """
    value = body.get(key)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise refuse("invalid_request", f"{key}: an integer from 1 to {most} is wanted, {brief(value)} came.")
    return value


def how_many(body: Mapping[str, Any], key: str, *, most: int = TOP_LOGPROBS) -> int:
    """An integer from 0, and 0 where nothing was said.

    Raises:
        Refused: It is not.
    """
    value = body.get(key) or 0
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise refuse("invalid_request", f"{key}: an integer from 0 to {most} is wanted, {brief(value)} came.")
    return value


def model_of(body: Mapping[str, Any]) -> str:
    """The model that is asked.

    Raises:
        Refused: None is named.
    """
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise refuse("invalid_request", "model: the name of a model is wanted.")
    return model
