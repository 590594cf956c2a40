"""How methods of the store travel. One that is not named here is asked, and counts as a change: slow, but right."""

LIVE = frozenset({"counters", "deck"})
"""Give an object that stays with the store; its methods travel in turn."""

REMEMBERED = frozenset({"get_program", "get_lm", "was_deleted", "find_lm", "named_lms", "has_budgets"})
"""What an execution reads; a worker remembers the answer until something changes."""

TOLD = frozenset({"record", "count_execution"})
"""Nobody waits for the answer. They arrive in order, and before anything that is asked later."""

UNNOTICED = (
    REMEMBERED
    | TOLD
    | {
        "admit",
        "assignments",
        "budgets",
        "costs",
        "programs",
        "session_data",
        "calls",
        "count",
        "changes",
        "next_index",
        "record_change",
        "clear",
        "keep",
        "learn",
        "recorded_lm",
        "take",
    }
)
"""Change nothing that a worker remembers."""
