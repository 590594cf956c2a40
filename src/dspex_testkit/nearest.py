"""The nearest valid name, for messages that refuse one: the one place that decides what "did you mean" names."""

from collections.abc import Iterable
from difflib import SequenceMatcher, get_close_matches
from itertools import islice

_LONGEST = 100
"""Characters of a name that are compared: whoever refuses a name may be refusing a whole book."""
_ALIKE = 0.6
"""The share of characters that two names have in common, at least."""
_MOST = 1000
"""Names that are compared, for the known ones may be a client's as well."""


def nearest(name: str, known: Iterable[str], *, limit: int = 3, alike: float = _ALIKE) -> list[str]:
    """Known names that resemble the given one, best first; upper and lower case are the same.

    Args:
        name: The given one.
        known: The names that there are.
        limit: How many are wanted.
        alike: The share of characters that has to be the same; more, where the given name may be right.
    """
    folded = {candidate[:_LONGEST].casefold(): candidate for candidate in islice(known, _MOST)}
    return [
        folded[match] for match in get_close_matches(name[:_LONGEST].casefold(), list(folded), n=limit, cutoff=alike)
    ]


def nearest_hint(name: str, known: Iterable[str], *, alike: float = _ALIKE) -> str:
    """` (did you mean 'x'?)`, or nothing."""
    found = nearest(name, known, limit=1, alike=alike)
    return f" (did you mean {found[0]!r}?)" if found else ""


def did_you_mean(name: str, known: Iterable[str], otherwise: str) -> str:
    """`did you mean 'x'?`, or what else to say where no name is near."""
    found = nearest(name, known, limit=1)
    return f"did you mean {found[0]!r}?" if found else otherwise


def most_similar(text: str, known: Iterable[str], *, limit: int = 3) -> list[str]:
    """Known texts by similarity, best first, whatever the similarity."""
    matcher = SequenceMatcher(b=text.casefold())

    def similarity(candidate: str) -> float:
        matcher.set_seq1(candidate.casefold())
        return matcher.ratio()

    return sorted(known, key=similarity, reverse=True)[:limit]
