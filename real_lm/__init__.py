"""A real LM asks the kit's questions of itself: what is recorded of it, and how; `cassettes/` holds what it said.

`python -m real_lm.record` makes the recordings, `tox run -e real-lm` makes them twice and compares, and
`tests/cassettes/test_real_recordings.py` replays them without any model.
"""
