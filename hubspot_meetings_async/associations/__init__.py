"""Links between records: v4, the v3 style, and any number of them at a time."""
