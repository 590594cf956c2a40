"""How long a mock takes: for an answer, to its first token, between tokens. Seeded, so that runs agree."""

from collections.abc import Mapping
from typing import Any

from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.mock_lm.durations import Duration, read_duration
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.spec import MockSpec
from dspex_testkit.mock_lm.typed_values import number_source


class Timing:
    """The delays of one mock."""

    def __init__(self, spec: MockSpec) -> None:
        self._seed = str(spec.seed)
        self._latency = None if spec.latency_ms is None else read_duration(spec.latency_ms, "latency_ms")
        stream: Mapping[str, Any] = {} if spec.stream is None else spec.stream.model_dump()
        self._stream = {key: read_duration(value, key) for key, value in stream.items() if value is not None}

    def latency(self, call: MockCall, answer: Answer) -> float:
        """Seconds until the whole answer is there, or a stream begins."""
        given = self._latency if answer.latency_ms is None else answer.latency_ms
        if given is not None and not isinstance(given, Duration):
            given = read_duration(given, "latency_ms")  # a function's `Answer` has it as it was written
        return self._sample(given, call, "latency")

    def pauses(self, call: MockCall) -> "Pauses | None":
        """The delays before the tokens of a stream; None where there are none."""
        if not self._stream:
            return None
        return Pauses(self, call, self._stream.get("first_token_ms"), self._stream.get("between_tokens_ms"))

    def _sample(self, duration: Duration | None, call: MockCall, path: str) -> float:
        if duration is None:
            return 0.0
        return duration.at(number_source(self._seed, call.model, call.prompt)(path) / 2**64)


class Pauses:
    """The delays within one stream."""

    def __init__(self, timing: Timing, call: MockCall, first: Duration | None, between: Duration | None) -> None:
        self._timing = timing
        self._call = call
        self._first = first
        self._between = between

    def before(self, chunk: int) -> float:
        """Seconds before a chunk, counted from 0."""
        return self._timing._sample(self._between if chunk else self._first, self._call, f"chunk {chunk}")
