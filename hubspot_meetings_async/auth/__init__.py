"""Who calls: tokens, OAuth, and the endpoints that give tokens."""
