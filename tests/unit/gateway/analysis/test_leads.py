"""Where a key led, for as many as there is room for."""

from __future__ import annotations

from gateway.analysis.leads import Leads


def test_the_least_recently_used_leave_first() -> None:
    leads = Leads(most=2)
    leads.put("a", "1")
    leads.put("b", "2")
    assert leads.get("a") == "1"
    leads.put("c", "3")
    assert [leads.get(lead) for lead in "abc"] == ["1", None, "3"]


def test_the_newest_holds() -> None:
    leads = Leads()
    leads.put("a", "1")
    leads.put("a", "2")
    assert leads.get("a") == "2"
