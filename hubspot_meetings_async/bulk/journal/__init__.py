"""The journal of a bulk run: what was to be sent and what became of it, on disk before the next step is taken.

`journal` knows which row is written when, `rows` what a row says, `store` when it is safe, `database` how the file is
kept, and `claim` whether a file may be a journal at all.
"""
