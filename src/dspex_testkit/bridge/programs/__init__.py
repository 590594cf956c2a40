"""Programs: what a client defines, found again, compiled to a module of DSPy, and run.

definition   from a create request, or from what a pool remembers, to a record
lookup       the program that a request means
tools        the canned tools of a `react` program
modules      DSPy modules, compiled once per process
execution    inputs and a resolved LM become outputs
"""
