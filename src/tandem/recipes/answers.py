"""The ways in which the stage of answers answers, by name: what is planned, asked and told.

Nothing here loads a model or a source.
"""

from __future__ import annotations

from collections.abc import Mapping

STANDARD, COT_SC, DOCUMENTS, ORACLE = "standard", "CoT-SC", "Verify-and-Edit", "Verify-and-Edit (oracle)"
"""The four ways to answer, by the names of the report."""
METHODS: Mapping[str, str] = {
    STANDARD: "standard",
    COT_SC: "cot-sc",
    DOCUMENTS: "verify-and-edit",
    ORACLE: "verify-and-edit",
}
"""Which method each of them is."""
ANSWER_TOKENS = 16
"""Longest answer without a chain; the world's are names, years and single words."""
SHOWN = "demonstrations.jsonl"
"""The file of worked examples that the stage leaves."""
