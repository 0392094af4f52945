"""Search: typed filters, HubSpot's limits, and the walk past 10,000 results."""

from .filters import Filters, Where, associated_with, where
from .request import Plan, Searched, SearchRequest, Sort, SortedBy, ascending, descending, plan
from .walk import Search

__all__ = [
    "Filters",
    "Plan",
    "Search",
    "SearchRequest",
    "Searched",
    "Sort",
    "SortedBy",
    "Where",
    "ascending",
    "associated_with",
    "descending",
    "plan",
    "where",
]
