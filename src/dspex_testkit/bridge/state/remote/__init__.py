"""A `StateStore` that lives in another process: the one that the workers of a pool share.

    values     Python values as JSON and back: records, assignments, calls, keys included
    board      numbers in shared memory that say whether what a worker remembers still holds
    rules      which methods are answered from memory, which are told without waiting, which change what others see
    link       the way to the store, and objects whose every method travels
    memory     what a worker need not ask again
    deck       the pool's cassettes as a worker sees them
    client     `RemoteStore`, the store as a worker sees it
    service    answers the workers' messages from a real store

Nothing here names a method of the store except where `rules` makes it faster, so a method that is added to the
protocol works across processes at once.
"""
