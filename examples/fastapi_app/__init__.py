"""A service that books and logs meetings."""
