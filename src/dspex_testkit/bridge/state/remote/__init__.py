"""A `StateStore` that lives in another process: the one that the workers of a pool share.

values         Python values as JSON and back: records, assignments, calls, keys included
board          numbers in shared memory that say whether what a worker remembers still holds
rules          how each method travels: remembered, asked, told without waiting, a change that others have to see
link           the way to the store
memory         what a worker need not ask again
remote_object  something beside the store, whose methods travel by these rules
deck           the pool's cassettes as a worker sees them
client         `RemoteStore`, the store as a worker sees it
service        answers the workers' messages from a real store
"""
