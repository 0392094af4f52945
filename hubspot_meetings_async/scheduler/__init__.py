"""Scheduling pages, free slots, bookings, and calendar events."""
