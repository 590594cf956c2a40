"""What reports carry home, also from another process of the run: names of attributes and of JUnit's properties."""

CALLS_ATTRIBUTE = "dspex_testkit_calls"
"""Where a report carries its test and its LM calls; pytest-xdist sends it along with the rest."""
ARTIFACTS_ATTRIBUTE = "dspex_testkit_artifacts"
"""Where the report of a failed test carries what it leaves behind, by file name."""

CALLS, COST, SEED_USED = "lm_calls", "lm_cost_usd", "lm_seed"
"""JUnit's names for what a test asked."""
