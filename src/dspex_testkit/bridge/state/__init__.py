"""What clients leave behind in a bridge, which the bridges of a pool may share.

records      programs and sessions as values
store        `StateStore`: all that is kept, as a protocol
sessions     sessions in the order of their last use
in_process   the store of one process, or of the host for a pool
remote/      the same for the workers of a pool, who ask the host
"""
