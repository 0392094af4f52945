"""Micro-batching: many tasks each await one call, and the calls travel together in batches."""
