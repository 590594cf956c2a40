"""Which signature a prompt is about, read out of the text that DSPy's adapters write.

Over HTTP nobody says which signature is being answered. DSPy's adapters describe it in the system
message, though, with names, types and JSON schemas; that is enough to answer with typed values under the right names,
as a mock in the program's own process does. Everything else is a prompt like any other.
"""

import ast
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, Literal, Optional, Union

import dspy
from dspy.lm15 import FunctionTool, Request
from pydantic.errors import PydanticUserError

from dspex_testkit.dspy_internals.call_stack import Capture
from dspex_testkit.mock_lm.direct import next_tool
from dspex_testkit.simulator.shaped import shaped
from dspex_testkit.wires.exchange import Ask

_INPUTS = "Your input fields are:\n"
_OUTPUTS = "Your output fields are:\n"
_STRUCTURE = "All interactions will be structured in the following way"
_JSON_OUTPUTS = "Outputs will be a JSON object with the following fields.\n"
_BAML_OUTPUT = "\nOutput field `"
_OBJECTIVE = "In adhering to this structure, your objective is:"
_ASKS_FOR = "Respond with "
_FIELD = re.compile(r"^\d+\. `(\w+)` \((.+?)\):(.*)$", re.MULTILINE)
_NOTE = re.compile(r"^\{(\w+)\} +# note: the value you produce (.*)$", re.MULTILINE)
_CHAT_SECTION = re.compile(r"^\[\[ ## (\w+) ## \]\]\n", re.MULTILINE)
_ANY_SECTION = re.compile(r"^(?:\[\[ ## \w+ ## \]\]|<\w+>)\n", re.MULTILINE)
_XML_SECTION = re.compile(r"^<(\w+)>\n(.*?)\n</\1>", re.MULTILINE | re.DOTALL)
_CONTAINERS: Mapping[str, Any] = {
    "list": list,
    "dict": dict,
    "set": set,
    "tuple": tuple,
    "Optional": Optional,
    "Union": Union,
}
_SCALARS: Mapping[str, Any] = {"str": str, "int": int, "float": float, "bool": bool}

# What a signature written as a string is called; the prompt does not tell, and most are written so.
_NAME = "StringSignature"


@dataclass(frozen=True)
class Asked:
    """What was asked, with what DSPy's adapter knew."""

    ask: Ask

    @cached_property
    def capture(self) -> Capture | None:
        """The call that wrote the prompt, where an adapter did."""
        return read_prompt(self.ask.request)


@dataclass(frozen=True, slots=True)
class Prompted:
    """A signature with the adapter that described it."""

    adapter: Any
    signature: Any
    input_types: Mapping[str, str]


def read_prompt(request: Request) -> Capture | None:
    """What DSPy's adapter knew when it wrote this request; None for a prompt that none of them wrote."""
    system, asked = _described(request)
    prompted = None if system is None else _read_system(system)
    if prompted is None:
        return None
    inputs = _read_inputs(prompted, asked)
    full_signature, inputs = _with_native_fields(prompted.signature, inputs, request)
    return Capture(
        adapter=prompted.adapter,
        signature=prompted.signature,
        full_signature=full_signature,
        demos=(),
        inputs=inputs,
        lm=None,
    )


def _described(request: Request) -> tuple[str | None, str]:
    """The text that describes the signature, and the last thing that the user said."""
    system: Any = request.system
    texts = [message.text for message in request.messages if message.role == "user" and message.text]
    asked = texts[-1] if texts else ""
    if system is not None:
        text = system if isinstance(system, str) else "\n".join(getattr(part, "text", "") for part in system)
        return (text if _OUTPUTS in text else None), asked
    # Where a client believes that a model takes no instructions, they stand before what the user says first.
    if not texts or _OUTPUTS not in texts[0] or _OBJECTIVE not in texts[0]:
        return None, asked
    section = _ANY_SECTION.search(texts[0], texts[0].index(_OBJECTIVE))
    if section is None:
        return texts[0], asked
    return texts[0][: section.start()], asked if len(texts) > 1 else texts[0][section.start() :]


@lru_cache(maxsize=256)
def _read_system(system: str) -> Prompted | None:
    try:
        return _prompted(system)
    except (AttributeError, LookupError, TypeError, ValueError, RecursionError, MemoryError, PydanticUserError):
        # Cut off or written by hand, with a schema or a name that is none: a prompt like any other.
        return None


def _prompted(system: str) -> Prompted | None:
    _, _, rest = system.partition(_INPUTS)
    described_inputs, found, rest = rest.partition(_OUTPUTS)
    described_outputs, structured, rest = rest.partition(_STRUCTURE)
    structure, _, objective = rest.partition(_OBJECTIVE)
    if not found or not structured:
        return None
    notes = dict(_notes(structure))
    input_types = {name: kind for name, kind, _ in _FIELD.findall(described_inputs)}
    fields: dict[str, Any] = {name: (str, dspy.InputField()) for name in input_types}
    for name, kind, desc in _FIELD.findall(described_outputs):
        fields[name] = (_annotation(kind, notes.get(name, "")), dspy.OutputField(desc=desc.strip() or name))
    instructions = "\n".join(line.strip() for line in objective.strip().splitlines())
    signature = dspy.Signature(fields, instructions or "Answer.", signature_name=_NAME)
    return Prompted(_adapter(structure), signature, input_types)


def _adapter(structure: str) -> Any:
    # BAML's prompt has the headers of chat, and yet wants JSON.
    if _JSON_OUTPUTS in structure or _BAML_OUTPUT in structure:
        return dspy.JSONAdapter()
    return dspy.ChatAdapter() if _CHAT_SECTION.search(structure) else dspy.XMLAdapter()


def _notes(structure: str) -> Iterator[tuple[str, str]]:
    """What is said about the values of fields, by name."""
    _, is_json, described = structure.partition(_JSON_OUTPUTS)
    if not is_json:
        yield from _NOTE.findall(structure)
        return
    try:
        written = json.loads(described)
    except ValueError:
        return
    for value in written.values():
        yield from _NOTE.findall(str(value))


def _annotation(kind: str, note: str) -> Any:
    if kind in _SCALARS:
        return _SCALARS[kind]
    _, has_schema, schema = note.partition("JSON schema: ")
    if has_schema:
        return shaped(schema)
    _, has_choices, choices = note.partition("one of: ")
    if has_choices and not kind.startswith("Literal["):
        return Literal[tuple(choices.split("; "))]
    try:
        return _spelled(ast.parse(kind, mode="eval").body)
    except (ValueError, SyntaxError):
        # A class of the program's own, of which nothing but the name is told.
        return str


def _spelled(node: ast.expr) -> Any:
    """A type as Python spells it, of those that need no import.

    Raises:
        ValueError: It is none of them.
    """
    if isinstance(node, ast.Constant) and node.value is None:
        return None
    if isinstance(node, ast.Name) and node.id in {*_SCALARS, "NoneType"}:
        return _SCALARS.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.BitOr):
        return Union[_spelled(node.left), _spelled(node.right)]  # noqa: UP007 - made of values
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        parts = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        if node.value.id == "Literal":
            return Literal[tuple(ast.literal_eval(part) for part in parts)]
        if node.value.id in _CONTAINERS:
            return _CONTAINERS[node.value.id][tuple(map(_spelled, parts))]
    raise ValueError(ast.dump(node))


def _read_inputs(prompted: Prompted, text: str) -> dict[str, Any]:
    asked, _, _ = text.rpartition(f"\n\n{_ASKS_FOR}")
    body = asked or text
    if isinstance(prompted.adapter, dspy.XMLAdapter):
        written = dict(_XML_SECTION.findall(body))
    else:
        _, *cut = _CHAT_SECTION.split(body)
        written = dict(zip(cut[::2], cut[1::2], strict=True))
    return {
        name: _value(written[name].strip("\n"), kind) for name, kind in prompted.input_types.items() if name in written
    }


def _value(written: str, kind: str) -> Any:
    if kind == "str":
        return written
    if kind == "bool":
        return written == "True"
    try:
        return json.loads(written)
    except ValueError:
        return written


def _with_native_fields(signature: Any, inputs: dict[str, Any], request: Request) -> tuple[Any, dict[str, Any]]:
    """The signature with what an adapter takes out of the prompt because it travels natively."""
    reasoning = request.config.reasoning
    if reasoning is not None and not reasoning.is_off and "reasoning" not in signature.fields:
        signature = signature.prepend("reasoning", dspy.OutputField(), dspy.Reasoning)
    tool = next_tool(request)
    if tool is None:
        return signature, inputs
    signature = signature.append("tools", dspy.InputField(), list[dspy.Tool])
    return signature.append("tool_calls", dspy.OutputField(), dspy.ToolCalls), {**inputs, "tools": [_tool(tool)]}


def _tool(tool: FunctionTool) -> dspy.Tool:
    properties = dict(tool.parameters.get("properties") or {})
    types = {name: shaped(json.dumps(schema)) for name, schema in properties.items()}
    return dspy.Tool(func=_never_called, name=tool.name, desc=tool.description or "", args=properties, arg_types=types)


def _never_called(**_: Any) -> None:
    """Stands for a tool that lives with whoever asks."""
