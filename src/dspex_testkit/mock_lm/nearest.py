"""The nearest valid name, for messages that refuse one."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches


def nearest(name: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Known names that resemble the given one, best first."""
    folded = {candidate.casefold(): candidate for candidate in known}
    return [folded[match] for match in get_close_matches(name.casefold(), list(folded), n=limit, cutoff=0.6)]


def nearest_hint(name: str, known: Iterable[str]) -> str:
    """` (did you mean 'x'?)`, or nothing."""
    found = nearest(name, known, limit=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def most_similar(text: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Known texts by similarity, best first, whatever the similarity."""
    matcher = SequenceMatcher(b=text.casefold())

    def similarity(candidate: str) -> float:
        matcher.set_seq1(candidate.casefold())
        return matcher.ratio()

    return sorted(known, key=similarity, reverse=True)[:limit]
