"""The rules of a mock: which one answers a call.

The most specific rule wins. Rules with equal conditions on the same properties are found by their values, so ten
thousand of them cost no more than one; only patterns and predicates are tried one by one.
"""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from typing import Any, Final

from dspex_testkit.calls import Counters
from dspex_testkit.errors import AmbiguousRulesError, InvalidMockSpecError
from dspex_testkit.limits import brief
from dspex_testkit.mock_lm.conditions import comparable
from dspex_testkit.mock_lm.rule import Key, Rule, RuleSpec, describe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dspex_testkit.mock_lm.mock_call import MockCall

_MISSING: Final = object()
_MOST_TOLD: Final = 200
"""Rules among which the nearest is looked for where none applies."""
_Keys = tuple[Key, ...]
_Values = tuple[str, ...]


class RuleIndex:
    """Rules, read and ready to be looked up; it does not change, so a spec reads its rules once.

    Args:
        specs: The rules as written.
        sent: A client wrote them, so that their patterns are bounded.

    Raises:
        InvalidMockSpecError: Two rules contradict each other: both apply to the same calls, neither is more specific.
    """

    def __init__(self, specs: Sequence[RuleSpec], *, sent: bool = False) -> None:
        self.rules = [Rule(spec, index, sent=sent) for index, spec in enumerate(specs)]
        self.by_values: dict[_Keys, dict[_Values, list[Rule]]] = {}
        for rule in self.rules:
            keys = tuple(sorted(rule.exact))
            self.by_values.setdefault(keys, {}).setdefault(_values(rule, keys), []).append(rule)
        self.counts_calls = any(("call",) in rule.exact or ("call",) in rule.conditions for rule in self.rules)
        _refuse_contradictions(self.rules)


class RuleBook:
    """Rules by specificity.

    Args:
        index: The rules.
        counters: Count the uses of rules with `times`.
    """

    def __init__(self, index: RuleIndex, counters: Counters) -> None:
        self._rules = index.rules
        self._counters = counters
        self._used: set[str] = set()
        self._index = index.by_values
        self.counts_calls = index.counts_calls

    def find(self, call: "MockCall") -> Rule | None:
        """The rule that answers a call, if one does.

        Raises:
            AmbiguousRulesError: Several apply and none is more specific.
        """
        candidates = self._candidates(call)
        candidates.sort(key=lambda rule: rule.specificity, reverse=True)
        for position, rule in enumerate(candidates):
            if rule.times is not None and self._counters.next_index(f"times:{rule.name}") >= rule.times:
                continue
            rivals = [other for other in candidates[position + 1 :] if other.specificity == rule.specificity]
            if rule.times is None and rivals:
                raise _ambiguous(rule, rivals[0], call)
            self._used.add(rule.name)
            return rule
        return None

    def unused(self) -> list[str]:
        """Names of the rules that have not answered yet, in this process."""
        return [rule.name for rule in self._rules if rule.name not in self._used]

    def nearest_miss(self, call: "MockCall") -> str | None:
        """Of the rule that came nearest to a call, which condition failed, and on what; None without rules."""
        best: tuple[int, str] | None = None
        for rule in self._rules[:_MOST_TOLD]:
            failed = []
            for key, condition in {**rule.exact, **rule.conditions}.items():
                value = _property(call, key)
                if value is _MISSING or not condition.test(value):
                    found = "there is none" if value is _MISSING else f"it was {brief(value)}"
                    failed.append(f"{'.'.join(key)} {condition.operator} {condition.operand!r}: {found}")
            told = "; ".join(failed) or "it had answered as often as it may"
            if best is None or len(failed) < best[0]:
                best = len(failed), f"{rule.name!r} did not hold: {told}"
        return None if best is None else best[1]

    def __len__(self) -> int:
        return len(self._rules)

    def _candidates(self, call: "MockCall") -> list[Rule]:
        known: dict[Key, Any] = {}

        def value_of(key: Key) -> Any:
            if key not in known:
                known[key] = _property(call, key)
            return known[key]

        found = []
        for keys, rules in self._index.items():
            values = [value_of(key) for key in keys]
            if any(value is _MISSING for value in values):
                continue
            for rule in rules.get(tuple(map(comparable, values)), ()):
                if rule.holds(value_of, _MISSING):
                    found.append(rule)
        return found


def _property(call: "MockCall", key: Key) -> Any:
    name, *rest = key
    if name == "inputs":
        return call.visible_inputs.get(rest[0], _MISSING)
    if name == "where":
        return call
    value = getattr(call, _ATTRIBUTES[name])
    return _MISSING if value is None else value


_ATTRIBUTES = {
    "signature": "signature_name",
    "program": "program_id",
    "session": "session_id",
    "provider": "provider",
    "model": "model",
    "provider_model": "provider_model",
    "adapter": "adapter_name",
    "outputs": "output_names",
    "prompt": "prompt",
    "turn": "turn",
    "call": "number",
    "has_tool_results": "has_tool_results",
    "tool_results": "tool_results",
}


def _values(rule: Rule, keys: _Keys) -> _Values:
    return tuple(comparable(rule.exact[key].operand) for key in keys)


def _refuse_contradictions(rules: Sequence[Rule]) -> None:
    """Refuse pairs that are sure to collide; patterns may or may not, which only a call can tell."""
    alike: dict[Any, Rule] = {}
    groups: dict[Any, dict[_Keys, list[Rule]]] = defaultdict(lambda: defaultdict(list))
    for rule in rules:
        conditions = {**rule.exact, **rule.conditions}
        identity = (
            rule.specificity,
            frozenset((key, c.operator, comparable(c.operand)) for key, c in conditions.items()),
        )
        earlier = alike.get(identity)
        # A rule that steps aside after a number of times may be followed by its like.
        if earlier is not None and earlier.times is None:
            raise _contradiction(earlier, rule)
        alike[identity] = rule
        groups[rule.specificity][tuple(sorted(conditions))].append(rule)
    for group in groups.values():
        for (keys, these), (other_keys, those) in combinations(group.items(), 2):
            _refuse_overlap(set(keys) & set(other_keys), these, those)


def _refuse_overlap(shared: set[Key], these: list[Rule], those: list[Rule]) -> None:
    keys = tuple(sorted(shared))
    exact = [
        [rule for rule in rules if rule.times is None and all(key in rule.exact for key in keys)]
        for rules in (these, those)
    ]
    by_values = {_values(rule, keys): rule for rule in exact[0]}
    for rule in exact[1]:
        other = by_values.get(_values(rule, keys))
        if other is not None:
            raise _contradiction(other, rule)


def _contradiction(one: Rule, other: Rule) -> InvalidMockSpecError:
    return InvalidMockSpecError(
        f"The rules {one.name!r} ({_conditions_of(one)}) and {other.name!r} ({_conditions_of(other)}) apply to the "
        "same calls and neither is more specific. Add a condition to one, give one a priority, or limit the first "
        "with times.",
        details={"rules": [one.name, other.name]},
    )


def _ambiguous(one: Rule, other: Rule, call: "MockCall") -> AmbiguousRulesError:
    return AmbiguousRulesError(
        f"Both {one.name!r} ({_conditions_of(one)}) and {other.name!r} ({_conditions_of(other)}) match "
        f"{call.describe()}, and neither is more specific. Add a condition to one, or give one a priority.",
        details={"rules": [one.name, other.name], "signature": call.signature_name},
    )


def _conditions_of(rule: Rule) -> str:
    return describe({**rule.exact, **rule.conditions})
