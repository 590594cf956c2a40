"""What commands do with programs.

definition   from a create request, or from what a pool remembers, to a record
lookup       the program that a request means
execution    inputs and a resolved LM become outputs
"""
