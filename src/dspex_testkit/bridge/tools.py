"""Tools of a `react` program: declared in JSON, answering with canned values."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from dspex_testkit.bridge.signatures.type_json import parse_type
from dspex_testkit.errors import InvalidProgramError, UnknownTypeError
from dspex_testkit.limits import json_kind

_ANSWER_KEYS = ("responses", "returns", "answer")


def check_tools(raw: object) -> tuple[dict[str, Any], ...]:
    """The declared tools as plain records, once they are known to be usable.

    A tool is ``{"name", "description"?, "args"?: {name: type}, "returns": value}`` or, to answer by argument,
    ``"responses": {argument value: answer, "default": answer}``.

    Raises:
        InvalidProgramError: A tool without a name or an answer, two of one name, or args that are no map.
    """
    if raw is None or raw == {}:
        return ()
    if not isinstance(raw, list):
        raise InvalidProgramError(f"Invalid program definition: tools must be a list, but {json_kind(raw)} came")
    tools: dict[str, dict[str, Any]] = {}
    for position, tool in enumerate(raw):
        name = tool.get("name") if isinstance(tool, Mapping) else None
        if not isinstance(name, str) or not name.isidentifier():
            raise InvalidProgramError(
                f"Invalid program definition: tools[{position}] must be a map with a 'name' that is an identifier, "
                f"but {tool!r} came"
            )
        if name == "finish" or name in tools:
            reason = "react adds a tool 'finish' itself" if name == "finish" else "it was declared before"
            raise InvalidProgramError(f"Invalid program definition: tool name {name!r} is taken: {reason}")
        args = tool.get("args") or tool.get("parameters") or {}
        if not isinstance(args, Mapping):
            raise InvalidProgramError(f"Invalid program definition: args of tool {name!r} must be a map, not {args!r}")
        for arg, spelling in args.items():
            try:
                parse_type(spelling)
            except UnknownTypeError as error:
                raise InvalidProgramError(
                    f"Invalid program definition: argument {arg!r} of tool {name!r}: {error.message}"
                ) from None
        if not any(key in tool for key in _ANSWER_KEYS):
            raise InvalidProgramError(
                f"Invalid program definition: tool {name!r} has no canned answer; write 'returns' or 'responses'"
            )
        tools[name] = {**tool, "name": name, "args": dict(args)}
    return tuple(tools.values())


def build_tool(tool: Mapping[str, Any]) -> Any:
    """The `dspy.Tool` of a checked declaration."""
    import dspy
    from pydantic import TypeAdapter

    from dspex_testkit.bridge.signatures.annotations import annotate

    types = {name: annotate(parse_type(spelling), f"{tool['name']}_{name}") for name, spelling in tool["args"].items()}
    return dspy.Tool(
        _canned(tool),
        name=tool["name"],
        desc=str(tool.get("description") or tool.get("desc") or f"Tool {tool['name']}"),
        args={name: TypeAdapter(kind).json_schema() for name, kind in types.items()},
        arg_types=types,
    )


def _canned(tool: Mapping[str, Any]) -> Callable[..., Any]:
    """A function that looks its answer up."""
    responses = tool.get("responses")

    def answer(**arguments: Any) -> Any:
        if not isinstance(responses, Mapping):
            return tool.get("returns", tool.get("answer"))
        for value in arguments.values():
            if isinstance(value, str) and value in responses:
                return responses[value]
        whole = json.dumps(arguments, sort_keys=True, separators=(",", ":"))
        if whole in responses:
            return responses[whole]
        if "default" in responses:
            return responses["default"]
        raise LookupError(f"Tool {tool['name']!r} has no response for {arguments!r}; it has {sorted(responses)}")

    return answer
