"""What to write where a test meets an LM that nobody answers for: the likeliest first error of a suite."""

from collections.abc import Iterator

_UNANSWERED = frozenset({"LMNotConfiguredError", "NetworkBlockedError"})
"""By name: a test that meets them has imported dspy, and this module is for everybody."""


def add_advice(error: BaseException) -> None:
    """Add a note to an error that says what to write, where it is one of those."""
    chain = list(_chain(error))
    if any(type(each).__name__ in _UNANSWERED for each in chain):
        models = [model for each in chain if isinstance(model := getattr(each, "model", None), str)]
        answers = f"@pytest.mark.lm({next(iter(models), 'openai/gpt-4o')!r}, responses={{'default': '…'}})"
        error.add_note(
            "Nobody answers for this LM here. Write one of these at the test:\n"
            "  @pytest.mark.lm_policy('mock')       mocks answer for every dspy.LM;\n"
            f"  {answers}   says what, beside the policy;\n"
            "  @pytest.mark.lm_cassette             plays a recording;\n"
            "  @pytest.mark.lm_live                 asks the provider, under --lm-live."
        )
    elif isinstance(error, ValueError) and str(error).startswith("No LM is loaded"):
        error.add_note(
            "Ask for the fixture dspy_lm, or enter dspy.context(lm=…). In a thread of its own neither holds: start "
            "the work with dspy.Parallel, run it in contextvars.copy_context(), or give the program its LM "
            "(program.set_lm)."
        )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__
