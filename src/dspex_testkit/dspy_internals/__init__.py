"""Every name of DSPy's that is not public in `dspy` or `dspy.lm15`: the only room that may break when DSPy moves one.

It imports nothing of this package but `errors`, and every room above may import it. It says what DSPy knows and does;
what is to happen there (who answers for an LM, what comes of a call, how to wait) is handed in as an argument.
`tests/dspy_internals` has a canary for each file, which fails by name when DSPy moves what the file needs, and a test
that no other room reaches into DSPy.

    call_stack        which signature is being answered, by which adapter, for which module
    execution         the functions that every call of an LM goes through: who answers, and what comes of it
    file_names        names of files in messages, for which DSPy's canonical requests have no place
    asked_lm          the LM that is being asked, without importing dspy
    retries           where DSPy waits before it asks again
    wire              canonical requests, responses, events and errors as JSON
    native_transport  DSPy's own HTTP client, as far as recording and replacing its traffic needs it
    adapter_text      how adapters write a value, and read it back
    price_list        the prices of models that DSPy ships, read without importing dspy
    model_list        what DSPy says of a model: its capabilities, the cost of an answer
    global_settings   what `dspy.configure` has set, as a value that can be put back
    interpreter       where DSPy's local interpreter starts its process
"""
