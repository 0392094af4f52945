"""Backfills of many accounts on many machines."""
