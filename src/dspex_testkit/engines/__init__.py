"""What every engine of the kit shares, whether it answers by itself, from a recording, or asks somebody else.

    engine_lm       `EngineLM`, the `dspy.LM` in front of each, and what copies of it share
    caller          on whose behalf an engine is asked
    signature_shape what a signature asks for, worked out once
    responses       a call from the program's side: what was asked, what the adapter reads from the answer, the tokens
    prompts         what was asked, as journals keep it
    entry           the one maker of journal entries
    stream_events   a finished answer as the events of a stream
    values          values as JSON
    lm_errors       how a failure of the kit's own reaches a program

It stands on `calls` and `dspy_internals`; mocks, cassettes, live LMs and ensembles stand on it.
"""
