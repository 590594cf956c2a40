"""Random values that look real and keep to the types and constraints."""

import datetime
import subprocess
import sys
from typing import Any, Literal

import dspy
import pydantic
import pytest

from dspex_testkit.errors import AnswerError, InvalidMockSpecError, MissingExtraError
from dspex_testkit.mock_lm import MockLM


class Node(pydantic.BaseModel):
    """A tree."""

    name: str
    children: list["Node"] = []


class Person(dspy.Signature):  # type: ignore[misc]
    """Describe a person."""

    question: str = dspy.InputField()
    email: str = dspy.OutputField()
    city: str = dspy.OutputField()
    code: str = dspy.OutputField(pattern=r"^[A-Z]{3}-\d{2}$")
    age: int = dspy.OutputField(ge=18, le=20)
    born: datetime.date = dspy.OutputField()
    level: Literal["a", "b"] = dspy.OutputField()
    either: int | str = dspy.OutputField()
    maybe: str | None = dspy.OutputField()
    tree: Node = dspy.OutputField()


def _person(i: int = 0, **options: Any) -> Any:
    with dspy.context(lm=MockLM.random(realistic=True, **options)):
        return dspy.Predict(Person)(question=f"q{i}")


def test_a_fields_name_steers_its_value() -> None:
    """Addresses for `email`, patterns and bounds kept, recursive models finite."""
    for i in range(10):
        person = _person(i)
        assert "@" in person.email
        assert not person.city.startswith("mock_")
        assert person.code[:3].isupper()
        assert 18 <= person.age <= 20
        assert isinstance(person.tree, Node)


def test_realistic_values_are_seeded() -> None:
    """The same for the same seed and request, whatever was asked before."""
    first = _person(3, seed=5).toDict()
    _person(4, seed=5)
    assert _person(3, seed=5).toDict() == first != _person(3, seed=6).toDict()


def test_another_process_says_the_same() -> None:
    """Nothing depends on hash seeds or order."""
    code = (
        "import dspy\nfrom dspex_testkit.mock_lm import MockLM\n"
        "with dspy.context(lm=MockLM.random(seed=1, realistic=True)):\n"
        "    print(dspy.Predict('question -> name, email, n: int')(question='q').toDict())"
    )
    found = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert len(found) == 1


def test_a_locale_can_be_chosen() -> None:
    """And one that Faker lacks is refused."""
    assert _person(locale="de_DE").city != _person(locale="ja_JP").city
    with pytest.raises(InvalidMockSpecError, match="xx_XX"):
        MockLM.random(locale="xx_XX")


def test_nulls_come_as_often_as_told() -> None:
    """Only where null is allowed."""
    assert _person(null_rate=1.0).maybe is None
    assert _person(null_rate=1.0).email is not None
    shares = [_person(i, null_rate=0.5).maybe is None for i in range(40)]
    assert 5 < sum(shares) < 35


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """At construction, with what to install."""
    monkeypatch.setitem(sys.modules, "faker", None)
    with pytest.raises(MissingExtraError, match=r"dspex-testkit\[random\]"):
        MockLM.random(realistic=True)


def test_a_pattern_without_the_extra_is_refused_with_the_way_out() -> None:
    """A plain mock knows no text for a pattern."""
    with pytest.raises(AnswerError, match="realistic"), dspy.context(lm=MockLM()):
        dspy.Predict(Person)(question="q")
