"""Finding out about texts once, without keeping them all."""

from dspex_testkit.cassettes.remembered import LONGEST_REMEMBERED, remembering_texts


def test_instructions_are_looked_at_once_and_pictures_are_not_kept() -> None:
    """What is remembered is held in memory, so only what is short is."""
    looked_at = []

    @remembering_texts
    def length(text: str) -> int:
        looked_at.append(len(text))
        return len(text)

    short, long = "a" * LONGEST_REMEMBERED, "a" * (LONGEST_REMEMBERED + 1)

    assert [length(short), length(short), length(long), length(long)] == [len(short)] * 2 + [len(long)] * 2
    assert looked_at == [len(short), len(long), len(long)]
