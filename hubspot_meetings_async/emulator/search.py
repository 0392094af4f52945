"""`POST …/{objectType}/search`: a page of the records that satisfy a search.

Must not know HTTP beyond a `Call` and its `Answer`, nor how records are found.
"""

from __future__ import annotations

from typing import Any

from .calls import Answer, Call, crm_of
from .portal import Portal
from .search_request import read_search

__all__ = ["search"]


def search(portal: Portal, call: Call) -> Answer:
    """A page of results, with the number of all of them. No associations, no history."""
    crm = crm_of(portal, call)
    wanted = read_search(call.body, portal.behaviour)
    total, found = portal.finder(crm).find(wanted, call.now_ms)
    payload: dict[str, Any] = {"total": total, "results": [crm.show(record, wanted.properties) for record in found]}
    following = wanted.offset + wanted.limit
    if following < total:
        payload["paging"] = {"next": {"after": str(following)}}
    return Answer(200, payload)
