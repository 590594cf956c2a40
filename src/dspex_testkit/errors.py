"""One tree of exceptions; each class has a stable code.

    DSPexTestkitError                  .code: snake_case string, .details: JSON-safe dict
      ProtocolError
        LocalProtocolError             we tried to send something illegal
        RemoteProtocolError            the peer did
          FrameTooLargeError, MalformedMessageError
      CommandError                     a request that cannot be answered as asked
        UnknownCommandError, InvalidArgsError, ProgramExistsError,
        ProgramNotFoundError, ProgramExecutionError, ExecutionTimeoutError, OverloadedError
        InvalidProgramError
          UnknownTypeError
      LMResolutionError                no LM could be chosen or built
        NoLMConfiguredError, InvalidLMConfigError, UnknownProviderError, PolicyUnavailableError,
        MissingKeyError, UnknownLMError, LMInUseError, LMCycleError, LMVerificationError
      LMCallError                      an LM was chosen, and the call did not come about
        BudgetExceededError, EnsembleError
      MockLMError                      an engine has no answer, or a wrong one
        InvalidMockSpecError, NoMatchingRuleError, AmbiguousRulesError, ScriptExhaustedError, AnswerError
      CassetteError                    a recording cannot be read, played, made or kept
        CassetteNotFoundError, CassetteFormatError, CassettePathError, CassetteBusyError, NoMatchingInteractionError,
        NothingRecordedError, SecretFoundError, StaleCassetteError, CassetteDriftError
        CassetteWriteError
          CassetteReadOnlyError
      RemoteCommandError               a bridge answered that a command failed
      PoolError                        a bridge's process, or a pool of them, did not do what it should
        WorkerStartError, WorkerExitedError, WorkerTimeoutError, WorkerBusyError, ResponseMismatchError,
        PoolExhaustedError, PoolClosedError, ProcessesLeftError
      CacheUnavailableError            remembered answers cannot be read or written
      NetworkBlockedError              another machine would have been asked
      JournalFileError                 a file of LM calls cannot be read
      LocalLMError                     weights on this machine cannot be served
      ReportWriteError                 the report cannot be written where it is wanted
      UsageError                       a wrong option, setting or argument of ours
        UnusablePatternError
      MissingExtraError                an optional dependency is not installed

Handlers raise; only the bridge's dispatcher turns exceptions into responses. On the wire the code travels
beside the message and, because stock DSPex keeps only the message, once more at its end: ``message [code]``.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:  # either costs the launcher milliseconds before its first answer
    from collections.abc import Mapping
    from typing import Any, ClassVar


class DSPexTestkitError(Exception):
    """Base of everything the kit raises on purpose.

    Args:
        message: What was wanted, what came and what to do, for a person to read.
        details: The same for a program; JSON-safe.
    """

    code: "ClassVar[str]" = "internal_error"

    def __init__(self, message: str, *, details: "Mapping[str, Any] | None" = None) -> None:
        super().__init__(message)
        self.details: dict[str, Any] = dict(details or {})

    @property
    def message(self) -> str:
        """The text without the code."""
        return str(self.args[0])


class ProtocolError(DSPexTestkitError):
    """Something illegal on the wire."""

    code = "protocol_error"


class LocalProtocolError(ProtocolError):
    """We tried to send something illegal."""

    code = "local_protocol_error"


class RemoteProtocolError(ProtocolError):
    """The peer sent something illegal."""

    code = "remote_protocol_error"


class FrameTooLargeError(RemoteProtocolError):
    """A frame announced more bytes than the configured maximum."""

    code = "frame_too_large"


class MalformedMessageError(RemoteProtocolError):
    """A frame's payload is not a request (or response) envelope."""

    code = "malformed_message"

    def __init__(self, message: str, *, request_id: "int | None" = None) -> None:
        super().__init__(message)
        self.request_id = request_id
        """The integer id that could be recovered, so that the sender need not wait out its timeout."""


class CommandError(DSPexTestkitError):
    """A request that cannot be answered as asked."""

    code = "command_error"


class UnknownCommandError(CommandError):
    """No handler has this name."""

    code = "unknown_command"


class InvalidArgsError(CommandError):
    """An argument is missing or has the wrong shape."""

    code = "invalid_args"


class InvalidProgramError(CommandError):
    """A program definition cannot be used."""

    code = "invalid_program"


class UnknownTypeError(InvalidProgramError):
    """A field's type is spelled in no known way, or is too large."""


class ProgramExistsError(CommandError):
    """The id belongs to another program."""

    code = "program_exists"


class ProgramNotFoundError(CommandError):
    """No program has this id where the caller may look."""

    code = "program_not_found"


class ProgramExecutionError(CommandError):
    """A program raised while it ran."""

    code = "program_execution_failed"


class ExecutionTimeoutError(CommandError):
    """A program did not answer within the time that its request allowed."""

    code = "execution_timeout"


class OverloadedError(CommandError):
    """More work is in flight than the bridge accepts."""

    code = "overloaded"


class LMResolutionError(DSPexTestkitError):
    """No LM could be chosen or built."""

    code = "lm_resolution_error"


class NoLMConfiguredError(LMResolutionError):
    """No scope supplies an LM."""

    code = "no_lm_loaded"


class InvalidLMConfigError(LMResolutionError):
    """An LM config has an unknown key, a wrong type or an impossible value."""

    code = "invalid_lm_config"


class UnknownProviderError(LMResolutionError):
    """The provider's name is not in the table."""

    code = "unknown_provider"


class PolicyUnavailableError(LMResolutionError):
    """The offline policy asks for something this version cannot do."""

    code = "policy_unavailable"


class MissingKeyError(LMResolutionError):
    """A live LM was configured, and its key is nowhere to be found."""

    code = "missing_api_key"


class UnknownLMError(LMResolutionError):
    """No LM was defined under the name."""

    code = "unknown_lm"


class LMInUseError(LMResolutionError):
    """A named LM cannot be removed while something refers to it."""

    code = "lm_in_use"


class LMCycleError(LMResolutionError):
    """A named LM would be made of itself."""

    code = "lm_cycle"


class LMVerificationError(LMResolutionError):
    """The LM was asked whether it is there, and did not answer."""

    code = "lm_verification_failed"


class LMCallError(DSPexTestkitError):
    """An LM was chosen, and the call did not come about."""

    code = "lm_call_failed"


class BudgetExceededError(LMCallError):
    """A budget is used up; nothing was sent."""

    code = "budget_exceeded"


class EnsembleError(LMCallError):
    """Too few members of an ensemble answered."""

    code = "ensemble_failed"


class MockLMError(DSPexTestkitError):
    """A mock LM has no answer, or was given a wrong one."""

    code = "mock_lm_error"


class InvalidMockSpecError(MockLMError):
    """A mock's spec has an unknown key or a wrong type."""

    code = "invalid_mock_spec"


class NoMatchingRuleError(MockLMError):
    """No rule matches the call and there is no default."""

    code = "no_matching_rule"


class AmbiguousRulesError(MockLMError):
    """Several rules match the call and none is more specific."""

    code = "ambiguous_rules"


class ScriptExhaustedError(MockLMError):
    """A script has no answer left."""

    code = "script_exhausted"


class AnswerError(MockLMError):
    """An answer does not fit the signature that asked for it."""

    code = "answer_mismatch"


class CassetteError(DSPexTestkitError):
    """A recording cannot be read, played, made or kept."""

    code = "cassette_error"


class CassetteNotFoundError(CassetteError):
    """No recording has this name."""

    code = "cassette_not_found"


class CassetteFormatError(CassetteError):
    """A file is no cassette, or one that cannot be used."""

    code = "cassette_format"


class CassettePathError(CassetteError):
    """A cassette's name leads out of the folder of cassettes."""

    code = "cassette_path"


class CassetteWriteError(CassetteError):
    """A recording cannot be written; what was recorded is kept until it can."""

    code = "cassette_write_failed"


class CassetteReadOnlyError(CassetteWriteError):
    """Recording was asked for, and the file may not be written."""

    code = "cassette_read_only"


class CassetteBusyError(CassetteError):
    """Another thread or process is recording this cassette."""

    code = "cassette_busy"


class NoMatchingInteractionError(CassetteError):
    """Nothing in the cassette answers the request."""

    code = "no_matching_interaction"


class UnfinishedRecordingError(CassetteError):
    """The recorded call got no final answer, and the present one reads on where that one had stopped."""

    code = "unfinished_recording"


class NothingRecordedError(CassetteError):
    """A recording was asked for, and no LM was called."""

    code = "nothing_recorded"


class SecretFoundError(CassetteError):
    """A recording would have held a secret; nothing was written."""

    code = "secret_found"


class StaleCassetteError(CassetteError):
    """A recording is older than allowed."""

    code = "stale_cassette"


class CassetteDriftError(CassetteError):
    """The provider answers otherwise than the recording says."""

    code = "cassette_drift"


class RemoteCommandError(DSPexTestkitError):
    """A bridge answered that a command failed.

    Args:
        command: The command.
        message: What the bridge said, without the code.
        code: The bridge's code.
        details: What the bridge said for a program.
    """

    code = "remote_command_error"

    def __init__(
        self, command: str, message: str, code: "str | None", *, details: "Mapping[str, Any] | None" = None
    ) -> None:
        super().__init__(f"{command} failed: {message} [{code}]", details=details)
        self.command = command
        self.remote_message = message
        self.remote_code = code or "unknown"


class PoolError(DSPexTestkitError):
    """A bridge's process, or a pool of them, did not do what it should."""

    code = "pool_error"


class WorkerStartError(PoolError):
    """A process could not be started, or refused its first ping."""

    code = "worker_start_failed"


class WorkerExitedError(PoolError):
    """A process ended, or closed its pipes, while something was wanted of it."""

    code = "worker_exited"


class WorkerTimeoutError(PoolError):
    """A process did not answer in time."""

    code = "worker_timeout"


class WorkerBusyError(PoolError):
    """A process that takes one command at a time has not answered the one before."""

    code = "worker_busy"


class ResponseMismatchError(PoolError):
    """The packet that came answers another request."""

    code = "response_mismatch"


class PoolExhaustedError(PoolError):
    """No worker became free in time."""

    code = "pool_exhausted"


class PoolClosedError(PoolError):
    """The pool was not started, or has been stopped."""

    code = "pool_closed"


class ProcessesLeftError(PoolError):
    """Processes that should have ended are still there."""

    code = "processes_left"


class CacheUnavailableError(DSPexTestkitError):
    """Remembered answers cannot be read or written where they are kept."""

    code = "cache_unavailable"


class NetworkBlockedError(DSPexTestkitError):
    """A connection to another machine was refused, because it was not allowed."""

    code = "network_blocked"


class UsageError(DSPexTestkitError):
    """A wrong option, setting or argument of ours."""

    code = "usage_error"


class UnusablePatternError(UsageError):
    """A regular expression that was sent is none, is too large, or ran out of time."""

    code = "unusable_pattern"


class JournalFileError(DSPexTestkitError):
    """A file of LM calls cannot be read."""

    code = "journal_file"


class LocalLMError(DSPexTestkitError):
    """Weights on this machine cannot be served."""

    code = "local_lm"


class ReportWriteError(DSPexTestkitError):
    """The report cannot be written where it is wanted."""

    code = "report_write"


class MissingExtraError(DSPexTestkitError):
    """An optional dependency is not installed."""

    code = "missing_extra"

    def __init__(self, feature: str, extra: str) -> None:
        super().__init__(
            f"{feature} needs the extra {extra!r}; install it with: pip install 'dspex-testkit[{extra}]'",
            details={"feature": feature, "extra": extra},
        )


class BridgeWarning(UserWarning):
    """A bridge did what a test asked and ignored a part of it; under pytest an error unless a suite says otherwise."""
