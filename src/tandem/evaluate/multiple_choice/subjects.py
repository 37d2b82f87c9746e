"""The subjects of MMLU by category, as Hendrycks et al. (2021) group them and the usual tables show them."""

from __future__ import annotations

_LISTED = {
    "humanities": (
        "formal_logic high_school_european_history high_school_us_history high_school_world_history international_law "
        "jurisprudence logical_fallacies moral_disputes moral_scenarios philosophy prehistory professional_law "
        "world_religions"
    ),
    "other": (
        "business_ethics clinical_knowledge college_medicine global_facts human_aging management marketing "
        "medical_genetics miscellaneous nutrition professional_accounting professional_medicine virology"
    ),
    "social sciences": (
        "econometrics high_school_geography high_school_government_and_politics high_school_macroeconomics "
        "high_school_microeconomics high_school_psychology human_sexuality professional_psychology public_relations "
        "security_studies sociology us_foreign_policy"
    ),
    "stem": (
        "abstract_algebra anatomy astronomy college_biology college_chemistry college_computer_science "
        "college_mathematics college_physics computer_security conceptual_physics electrical_engineering "
        "elementary_mathematics high_school_biology high_school_chemistry high_school_computer_science "
        "high_school_mathematics high_school_physics high_school_statistics machine_learning"
    ),
}
CATEGORIES = {name: tuple(listed.split()) for name, listed in _LISTED.items()}
"""Category → subjects."""

SUBJECTS = tuple(sorted(subject for subjects in CATEGORIES.values() for subject in subjects))
"""All 57, in alphabetical order."""


def category(subject: str) -> str:
    """The category of a subject; `other` for one of the user's own."""
    return next((name for name, subjects in CATEGORIES.items() if subject in subjects), "other")
