"""The one call loop, and what it is made of: attempts, deadlines, retries, the circuit breaker."""
