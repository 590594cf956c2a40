"""A program of a bridge as tests like to see it: it is called with its inputs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dspex_testkit.plugin.answers import Answer
from dspex_testkit.plugin.lm_configs import LM, config_of

if TYPE_CHECKING:
    from dspex_testkit.plugin.facade import Session

__tracebackhide__ = True  # a test that fails shows its own lines


class Program:
    """A program of a bridge: call it with its inputs.

    Args:
        session: Whose it is.
        program_id: Its id.
        created: What the bridge said when it was created.
    """

    def __init__(self, session: "Session", program_id: str, created: Mapping[str, Any]) -> None:
        self.session = session
        self.program_id = program_id
        self.created = dict(created)

    def __call__(self, **inputs: Any) -> Answer:
        """Run it.

        Raises:
            RemoteCommandError: It failed; the error has the bridge's code.
        """
        return self.execute(inputs)

    async def acall(self, **inputs: Any) -> Answer:
        """The same for an event loop."""
        return await self.aexecute(inputs)

    def execute(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        lm: LM | None = None,
        session: str | None = None,
        timeout: float | None = None,
        options: Mapping[str, Any] | None = None,
        **more_inputs: Any,
    ) -> Answer:
        """Run it on an LM of this execution's own, or in another session.

        Args:
            inputs: Inputs whose names are taken here, such as ``{"lm": …}``.
            lm: Answers this execution alone.
            session: In whose name; its own session if None.
            timeout: Seconds to wait.
            options: Further options of the command.
            more_inputs: Inputs.

        Raises:
            RemoteCommandError: It failed.
        """
        args = self._args(inputs, more_inputs, lm, options)
        return Answer(self._in(session).call("execute_program", args, timeout=timeout))

    async def aexecute(
        self,
        inputs: Mapping[str, Any] | None = None,
        /,
        *,
        lm: LM | None = None,
        session: str | None = None,
        timeout: float | None = None,
        options: Mapping[str, Any] | None = None,
        **more_inputs: Any,
    ) -> Answer:
        """`execute` for an event loop."""
        args = self._args(inputs, more_inputs, lm, options)
        return Answer(await self._in(session).acall("execute_program", args, timeout=timeout))

    def get_lm(self) -> dict[str, Any]:
        """What would answer it, and what each scope holds."""
        return self.session.call("get_lm", {"program_id": self.program_id})

    def info(self) -> dict[str, Any]:
        """What the bridge knows of it."""
        return self.session.call("get_program_info", {"program_id": self.program_id})

    def delete(self) -> None:
        """Delete it."""
        self.session.call("delete_program", {"program_id": self.program_id})

    def __repr__(self) -> str:
        return f"<Program {self.program_id!r} of {self.session!r}>"

    def _in(self, session: str | None) -> "Session":
        return self.session if session is None else self.session.bridge.session(session)

    def _args(
        self, inputs: Mapping[str, Any] | None, more: Mapping[str, Any], lm: LM | None, options: Any
    ) -> dict[str, Any]:
        args: dict[str, Any] = {"program_id": self.program_id, "inputs": {**(inputs or {}), **more}}
        if options is not None or lm is not None:
            args["options"] = {**(options or {}), **({} if lm is None else {"lm_config": config_of(lm)})}
        return args
