"""Which LM answers, and why.

    config/      what clients write, as values
    resolution   which scope decides
    policy       what answers for a config of a real provider
    keys         where the key of a provider is found
    factory      builds the LM of a config; `lm_cache` keeps it for the next execution
    live, recorded, composed, members, ensembles/, cache/   what is built
    capabilities what a model can do, which adapters ask; `prices` what its tokens cost
    loops        event loops in threads, for what is asked side by side or with a deadline
    scoring      functions of the user's that choose among answers

Nothing here imports dspy until an LM is built, so that configuring costs no import. `reading`, `params` and `providers`
are former places of what is in `config/`.
"""
