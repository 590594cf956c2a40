"""Signatures: what a client defines, as a value, and compiled to what reads inputs, writes outputs and is DSPy's class.

    types, type_names      the closed list of types          inputs    JSON in, typed values out
    type_grammar, type_json   their spellings                 outputs   typed values in, JSON out
    constraints            bounds and choices                values    any value as JSON
    definitions, fields    the shapes of a definition        annotations, fieldtypes   as Python types
    fieldnames             names, there and back             spec      a definition as a value
    compiled               what programs use, made once for equal definitions

A client's text never reaches DSPy's own parser, which would import a module named like a type.
"""

from dspex_testkit.bridge.signatures.spec import SignatureSpec, parse_signature

__all__ = ["SignatureSpec", "parse_signature"]
