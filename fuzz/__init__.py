"""Attacks on live bridges, with a seed: random commands, hostile packets, kills, endurance, odd environments.

Run with ``tox run -e fuzz``; nothing in here is installed.
"""
