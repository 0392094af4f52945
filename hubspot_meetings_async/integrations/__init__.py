"""Bridges to other libraries, each for those who have it installed. Importing this imports none of them."""
