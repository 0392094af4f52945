"""Copies of an account's meetings: in SQLite, PostgreSQL, JSONL, CSV and Parquet, kept in step."""
