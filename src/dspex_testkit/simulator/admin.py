"""The admin API: targets, specs, cassettes, faults, journal and reset, for clients in other processes and languages.

    GET    /_admin/targets                 what there is, and what of its cassettes was played and missed
    POST   /_admin/targets                 {"model", "spec"?, "faults"?, "limits"?}  → how to reach it
    PATCH  /_admin/targets/ID              {"spec"?, "faults"?, "limits"?}
    DELETE /_admin/targets/ID
    GET    /_admin/journal?target=&since=  the LM calls
    DELETE /_admin/journal
    POST   /_admin/reset                   the journal, and every script, schedule and limit from its start

In place of a spec stands ``"cassette": NAME``, with ``"cassette_options"`` if need be. A name leads into the folder
that the server was started with and never out of it; without such a folder no file is opened for anybody.

Whoever asks shows the token made at the start. A web page could make its reader's browser ask; so the Host must be this
machine, and there must be no foreign Origin.
"""

import asyncio
import logging
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Unpack
from urllib.parse import urlsplit

from aiohttp import web

from dspex_testkit.errors import DSPexTestkitError, InvalidArgsError
from dspex_testkit.limits import brief
from dspex_testkit.protocol import codec
from dspex_testkit.simulator.namespace import Namespace
from dspex_testkit.simulator.registry import DEFAULT_ID, Registry, TargetSettings, read_sent_spec
from dspex_testkit.simulator.target import Target, read_model

_logger = logging.getLogger("dspex_testkit.simulator")

PREFIX: Final = "/_admin/"
_LOCAL: Final = frozenset({"127.0.0.1", "localhost"})
_CONFIGURABLE: Final = frozenset({"spec", "cassette", "cassette_options", "faults", "limits"})


class Admin:
    """Answers the admin API.

    Args:
        registry: What is administered.
        root: The server's URL.
        token: What a caller has to show.
        cassettes: The folder whose cassettes a caller may name; None to let nobody name one.
    """

    def __init__(self, registry: Registry, root: str, token: str, cassettes: Path | None = None) -> None:
        self._registry = registry
        self._root = root
        self._token = token
        self._cassettes = cassettes

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        """Answer one request."""
        forbidden = self._forbidden(request)
        if forbidden is not None:
            return _reply({"error": forbidden, "error_code": "forbidden"}, 403)
        try:
            payload = await request.read()
            body = _read(payload)
            if not isinstance(body, dict):
                raise InvalidArgsError("The body should be a JSON object.")
            # In a thread: a cassette may have to be read, and others are served meanwhile.
            answer = await asyncio.to_thread(
                self._answer, request.method, request.path.removeprefix(PREFIX), request.query, body
            )
        except DSPexTestkitError as error:
            return _reply({"error": error.message, "error_code": error.code}, 400)
        except (TypeError, ValueError) as error:
            _logger.debug("%s %s", request.method, request.path, exc_info=error)
            problem = "A value in the body has another type than is wanted."
            return _reply({"error": problem, "error_code": "invalid_args"}, 400)
        if answer is None:
            return _reply({"error": f"No {request.method} {request.path} here.", "error_code": "unknown"}, 404)
        return _reply(answer, 200)

    def target(self, model: str, **given: Unpack[TargetSettings]) -> Target:
        """Make a target."""
        provider, model = read_model(model)
        namespace, key = self._registry.add(provider, model.partition("/")[2], **given)
        return Target(
            id=namespace.id,
            provider=provider,
            model=model,
            root=f"{self._root}/t/{namespace.id}",
            api_key=key,
            registry=self._registry,
        )

    def _forbidden(self, request: web.BaseRequest) -> str | None:
        if _host(request.headers.get("Host", "")) not in _LOCAL:
            return "The Host of an admin request is 127.0.0.1 or localhost."
        if is_foreign(request.headers, self._root):
            return f"Origin {request.headers['Origin']} may not administer this simulator."
        shown = request.headers.get("Authorization", "").removeprefix("Bearer ")
        if not secrets.compare_digest(shown.encode(errors="surrogateescape"), self._token.encode()):
            return "An admin request carries 'Authorization: Bearer TOKEN' with the token made at the start."
        return None

    def _answer(self, method: str, path: str, query: Mapping[str, str], body: dict[str, Any]) -> Any:
        head, _, id = path.partition("/")
        match method, head, bool(id):
            case "GET", "targets", False:
                return {"targets": [_described(namespace) for namespace in self._registry]}
            case "POST", "targets", False:
                if not isinstance(body.get("model"), str):
                    raise InvalidArgsError("model: a model such as 'openai/gpt-4o-mini' is wanted.")
                return self.target(body.pop("model"), **self._configuration(body)).to_dict()
            case "PATCH", "targets", True:
                self._registry.configure(id, **self._configuration(body))
                return {"id": id}
            case "DELETE", "targets", True:
                self._registry.remove(id)
                return {"id": id}
            case "GET", "journal", False:
                calls = self._registry.calls(query.get("target"), since=_number(query.get("since", "0")))
                return {"calls": [call.to_dict() for call in calls]}
            case "DELETE", "journal", False:
                return {"forgotten": self._registry.journal.clear()}
            case "POST", "reset", False:
                self._registry.reset()
                return {}
        return None

    def _configuration(self, body: Mapping[str, Any]) -> dict[str, Any]:
        unknown = [key for key in body if key not in _CONFIGURABLE]
        if unknown:
            raise InvalidArgsError(f"Unknown key {unknown[0]!r}; known are model, {', '.join(sorted(_CONFIGURABLE))}.")
        for key in ("spec", "cassette_options", "limits"):
            if not isinstance(body.get(key, {}), Mapping):
                raise InvalidArgsError(f"{key}: an object is wanted.")
        read = dict(body)
        if "spec" in body:
            read["spec"] = read_sent_spec(body["spec"])
        if "cassette" in body:
            read["cassette"] = self._cassette(body["cassette"])
        if body.get("cassette_options"):
            # Here, because a simulator of mocks does without what reads cassettes.
            from dspex_testkit.cassettes import sent_options

            read["cassette_options"] = sent_options(body["cassette_options"])
        return read

    def _cassette(self, name: Any) -> Path:
        """The file of a cassette that somebody names over HTTP, inside the folder that was allowed."""
        if not isinstance(name, str):
            raise InvalidArgsError("cassette: the name of a cassette is wanted.")
        if self._cassettes is None:
            raise InvalidArgsError(
                "No cassette may be named over HTTP: start the simulator with the folder that holds them, "
                "ProviderSimulator(cassettes=FOLDER) or serve --cassettes FOLDER."
            )
        # Here, because a simulator of mocks does without what reads cassettes.
        from dspex_testkit.cassettes import CassetteLibrary

        return CassetteLibrary(self._cassettes).path(name)


def _described(namespace: Namespace) -> dict[str, Any]:
    report = namespace.answers.report()
    return {
        "id": namespace.id,
        "provider": namespace.provider,
        "model": namespace.model,
        "mode": namespace.answers.source,
        "faults": [fault.model_dump(exclude_defaults=True) for fault in namespace.faults.faults],
        "default": namespace.id == DEFAULT_ID,
        "cassette": None if report is None else report.to_dict(),
    }


def is_foreign(headers: Mapping[str, str], root: str) -> bool:
    """Whether a web page of somebody else's made its reader's browser ask; a program sends no Origin at all."""
    return headers.get("Origin", root) != root


def _host(header: str) -> str | None:
    try:
        return urlsplit(f"//{header}").hostname
    except ValueError:
        return None


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > 18:
        raise InvalidArgsError(f"since: a number is wanted, not {brief(text)}.")
    return int(text)


def _read(payload: bytes) -> Any:
    try:
        return codec.loads(payload) if payload else {}
    except ValueError as error:
        raise InvalidArgsError(f"The body is no JSON: {error}") from None


def _reply(body: Any, status: int) -> web.Response:
    return web.Response(body=codec.dumps(body), status=status, content_type="application/json")
