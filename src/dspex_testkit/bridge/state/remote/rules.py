"""How each method of the store, and of what stands beside it, travels; named by object and method.

Every one has to be named: what is missing does not travel. A test compares this with the protocols.
"""

from enum import Enum, auto


class Rule(Enum):
    """How a worker comes to an answer, and what the others have to know of it."""

    REMEMBERED = auto()
    """An execution reads it; a worker remembers the answer until something changes."""
    ASKED = auto()
    """It is asked each time, and changes nothing that a worker remembers."""
    TOLD = auto()
    """Nobody waits for the answer; it arrives in order, before anything asked later. Nothing remembered changes."""
    CHANGES = auto()
    """It is asked, and what workers remember holds no longer."""
    HERE = auto()
    """The worker answers itself."""


RULES: dict[str, Rule] = {
    "store.journal": Rule.HERE,
    "store.accounts": Rule.HERE,
    "store.counters": Rule.HERE,
    "store.deck": Rule.HERE,
    "store.epoch": Rule.HERE,
    "store.settle": Rule.HERE,
    "store.close": Rule.HERE,
    "store.put_program": Rule.CHANGES,
    "store.get_program": Rule.REMEMBERED,
    "store.programs": Rule.ASKED,
    "store.delete_program": Rule.CHANGES,
    "store.was_deleted": Rule.REMEMBERED,
    "store.count_execution": Rule.TOLD,
    "store.set_lm": Rule.CHANGES,
    "store.get_lm": Rule.REMEMBERED,
    "store.define_lm": Rule.CHANGES,
    "store.undefine_lm": Rule.CHANGES,
    "store.find_lm": Rule.REMEMBERED,
    "store.named_lms": Rule.REMEMBERED,
    "store.assignments": Rule.ASKED,
    "store.has_budgets": Rule.REMEMBERED,
    "store.session_data": Rule.ASKED,
    "store.update_session_data": Rule.CHANGES,
    "store.drop_session": Rule.CHANGES,
    "store.drop_programs": Rule.CHANGES,
    "store.reset": Rule.CHANGES,
    "journal.record": Rule.TOLD,
    "journal.record_change": Rule.ASKED,
    "journal.calls": Rule.ASKED,
    "journal.changes": Rule.ASKED,
    "journal.count": Rule.ASKED,
    "journal.clear": Rule.ASKED,
    "accounts.admit": Rule.ASKED,
    "accounts.record": Rule.TOLD,
    "accounts.costs": Rule.ASKED,
    "accounts.set_budget": Rule.CHANGES,
    "accounts.budgets": Rule.ASKED,
    "counters.next_index": Rule.ASKED,
    "deck.records": Rule.HERE,
    "deck.shared": Rule.HERE,
    "deck.current": Rule.HERE,
    "deck.learn": Rule.ASKED,
    "deck.use": Rule.CHANGES,
    "deck.eject": Rule.CHANGES,
    "deck.take": Rule.ASKED,
    "deck.keep": Rule.ASKED,
    "deck.forgo": Rule.ASKED,
    "deck.recorded_lm": Rule.REMEMBERED,
}
