"""The journal of a bulk run: what was to be sent and what became of it, on disk before the next step is taken.

`rows` knows what a row says, `store` when it is safe, `database` how the file is kept and what damage looks like.
"""
