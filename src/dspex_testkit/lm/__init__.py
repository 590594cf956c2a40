"""Which LM answers, and why.

    config/      what clients write, as values
    resolution   which scope decides
    policy       what answers for a config of a real provider
    factory      builds the LM of a config; `lm_cache` keeps it for the next execution
    live, recorded, composed, members, ensembles/, cache/   what is built

Nothing here imports dspy until an LM is built, so that configuring costs no import. `reading`, `params` and `providers`
are former places of what is in `config/`.
"""
