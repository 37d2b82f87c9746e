"""Accelerators the planner knows: dense bf16 peak and memory, each with where the figures stand.

Peaks are dense (without structured sparsity) and for accumulation in fp32. Memory is what a program finds, a little
less than what is soldered. What this does not do: ask the machine; a plan is for hardware one may not have. Rejected:
prices in the table; they differ by seller and month, so a plan takes the price from its reader.
"""

from __future__ import annotations

from dataclasses import dataclass

from tandem.errors import UserError
from tandem.recipes.check import suggest
from tandem.recipes.sections import Planning


@dataclass(frozen=True)
class Accelerator:
    """One kind of device."""

    name: str
    """Its name, as `[plan] device` gives it."""
    tflops: float
    """Dense bf16 peak, TFLOP/s."""
    memory_gib: float
    """Memory of one device, GiB."""
    source: str
    """Where the peak is published."""


KNOWN = (
    Accelerator("A100", 312, 79, "NVIDIA A100 data sheet (80 GB)"),
    Accelerator("A100-40G", 312, 39, "NVIDIA A100 data sheet (40 GB)"),
    Accelerator("H100", 989, 79, "NVIDIA H100 SXM data sheet (80 GB)"),
    Accelerator("H200", 989, 139, "NVIDIA H200 SXM data sheet (141 GB)"),
    Accelerator("TPU-v4", 275, 32, "Jouppi et al. 2023, arXiv 2304.01433, table 4 (a chip)"),
    Accelerator("RTX-4090", 165, 23.5, "NVIDIA Ada architecture white paper, appendix (24 GB)"),
)

TPU_V4_PRICES = (("3 years committed", 1.45), ("1 year committed", 2.03), ("on demand", 3.22))
"""Dollars for a chip and hour: Google Cloud's list for us-central2, 2023. For the talk's price of 1T tokens."""


def accelerator(planning: Planning) -> Accelerator:
    """The device a [plan] section means: one of the table, changed or made by `tflops` and `memory_gib`.

    Raises `UserError` for a name outside the table without both figures.
    """
    by_name = {device.name.lower(): device for device in KNOWN}
    known = by_name.get(planning.device.lower())
    if known is None:
        if planning.tflops is None or planning.memory_gib is None:
            names = [device.name for device in KNOWN]
            raise UserError(
                f"is '{planning.device}', which is not in the planner's table",
                where="plan.device",
                remedy=suggest(planning.device, names)
                or f"use one of {', '.join(names)}; or also give plan.tflops and plan.memory_gib",
            )
        return Accelerator(planning.device, planning.tflops, planning.memory_gib, "given")
    if planning.tflops is None and planning.memory_gib is None:
        return known
    return Accelerator(
        known.name, planning.tflops or known.tflops, planning.memory_gib or known.memory_gib, f"{known.source}; changed"
    )
