"""Several LMs that answer as one.

candidates   what a member answered, or why it did not
voting       a majority per output field
failures     which failures let a chain ask its next member
decision     how the answers become one
judging      an LM that picks among them
ensemble     asks the members, journals them as children of one call, and answers
member_calls their calls and counters
"""
