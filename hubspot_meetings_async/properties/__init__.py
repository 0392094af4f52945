"""Definitions of properties, and records checked against them."""
