"""Answers that are remembered: `settings` say where, `responses` keeps them, `cached` is the LM that looks there."""
