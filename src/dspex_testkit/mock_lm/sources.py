"""Where a mock's answers come from: rules first, then demos, a table, a script, a function, or nothing at all."""

from collections.abc import Sequence
from typing import Any

from dspex_testkit.calls import Counters
from dspex_testkit.errors import NoMatchingRuleError
from dspex_testkit.mock_lm.answers import Answer
from dspex_testkit.mock_lm.forms import demo_answer, exhausted
from dspex_testkit.mock_lm.functions import call_async, call_now, load_function
from dspex_testkit.mock_lm.mock_call import MockCall
from dspex_testkit.mock_lm.reading_forms import read_form
from dspex_testkit.mock_lm.rules import RuleBook
from dspex_testkit.mock_lm.spec import MockSpec
from dspex_testkit.mock_lm.table import Table


class Source:
    """Decides the answer to a call, as a spec says.

    Args:
        spec: How to answer.
        counters: Positions and uses.
        allow_import: Module prefixes from which the spec may name a function.
    """

    def __init__(self, spec: MockSpec, counters: Counters, *, allow_import: Sequence[str] | None = None) -> None:
        self._mode = spec.mode
        self._counters = counters
        self._follow_demos = spec.follow_demos
        self._on_exhausted = spec.on_exhausted
        self.rules = RuleBook(spec.rule_index, counters)
        self._table = None if spec.responses is None else Table(spec.responses)
        self._script = tuple(read_form(value, f"script[{i}]") for i, value in enumerate(spec.script or ()))
        self._function = None if spec.function is None else load_function(spec.function, allow_import)

    def answer(self, call: MockCall) -> Answer:
        """The answer to a call; what it leaves open is made up afterwards.

        Raises:
            MockLMError: Nothing answers it.
        """
        if self._function is not None:
            found = self._before(call)
            return self._from_function(call_now(self._function, call), call) if found is None else found
        return self._before(call) or self._base(call)

    async def aanswer(self, call: MockCall) -> Answer:
        """The same where a function may have to be awaited."""
        if self._function is not None:
            found = self._before(call)
            return self._from_function(await call_async(self._function, call), call) if found is None else found
        return self._before(call) or self._base(call)

    def _before(self, call: MockCall) -> Answer | None:
        if len(self.rules):
            rule = self.rules.find(call)
            if rule is not None:
                return rule.form.resolve(call, self._counters)
        if self._follow_demos:
            fields = demo_answer(call)
            if fields is not None:
                return Answer(rule="demo", fields=fields)
        return None

    def _base(self, call: MockCall) -> Answer:
        if self._table is not None:
            form = self._table.find(call)
            if form is None:
                raise self._table.miss(call)
            return form.resolve(call, self._counters)
        if self._script:
            return self._next_of_script(call)
        if self._mode == "deterministic" and (len(self.rules) or self._follow_demos):
            raise self._no_rule(call)
        return Answer(rule="random" if self._mode == "random" else "derived")

    def _next_of_script(self, call: MockCall) -> Answer:
        index, count = self._counters.next_index("script"), len(self._script)
        if index >= count and self._on_exhausted == "error":
            raise exhausted("The script of this mock", count, index, call)
        form = self._script[index % count if self._on_exhausted == "cycle" else min(index, count - 1)]
        return form.resolve(call, self._counters)

    def _from_function(self, result: Any, call: MockCall) -> Answer:
        return read_form(result, "function").resolve(call, self._counters)

    def _no_rule(self, call: MockCall) -> NoMatchingRuleError:
        what = f"None of the {len(self.rules)} rules of this mock" if len(self.rules) else "No demo in the prompt"
        near = self.rules.nearest_miss(call)
        nearest = f" Nearest: {near}." if near else ""
        return NoMatchingRuleError(
            f"{what} matches {call.describe()} (model {call.provider_model!r}, program {call.program_id!r}, session "
            f"{call.session_id!r}, turn {call.turn}), and there are no responses.{nearest} Add a rule without "
            "conditions, or responses with a 'default'.",
            details={
                "signature": call.signature_name,
                "rules": len(self.rules),
                "unused": self.rules.unused()[:20],
            },
        )
