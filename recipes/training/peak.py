"""What a device can do at best, and where that figure comes from: utilisation means nothing without it."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from recipes.training.flops import measure_peak

CONFIGURED, MEASURED = "as configured", "of the measured matmul"
# Dense bfloat16 products with sums in float32, TFLOP/s; sheets that count sparse ones give twice that. The first name
# that CUDA's holds counts. Sources: NVIDIA's data sheets of H100, H200, A100 and L40S Tensor Core GPUs, and the white
# paper "NVIDIA Ada GPU Architecture" (appendix A) for the RTX 4090.
SHEETS = (
    ("H200 NVL", 835.5),
    ("H200", 989.5),
    ("H100 NVL", 835.5),
    ("H100 PCIe", 756.5),
    ("H100", 989.5),
    ("A100", 312.0),
    ("L40S", 362.05),
    ("GeForce RTX 4090", 165.2),
)
# Parts of a device, and others that share its name.
_OTHERS = ("MIG", "Laptop", "RTX 4090 D")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Floating-point operations a second, and the source of the figure in words."""

    flops: float
    source: str

    def times(self, devices: int) -> Peak:
        """That of several devices together."""
        return Peak(flops=self.flops * devices, source=self.source)


def peak_of(device: torch.device, dtype: torch.dtype, *, configured: float) -> Peak:
    """The peak of a device: as configured, else of its data sheet, else measured.

    Args:
        device: that computes.
        dtype: that it computes in; data sheets are used for bfloat16 alone.
        configured: TFLOP/s; 0: not.
    """
    if configured:
        return Peak(flops=configured * 1e12, source=CONFIGURED)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    known = of_sheet(name) if dtype == torch.bfloat16 else None
    return Peak(flops=measure_peak(device, dtype), source=MEASURED) if known is None else known


def of_sheet(name: str) -> Peak | None:
    """The peak of a device by CUDA's name for it; None where no data sheet is known."""
    if any(other in name for other in _OTHERS):
        return None
    for known, tflops in SHEETS:
        if known in name:
            return Peak(flops=tflops * 1e12, source=f"of the data sheet of {known}")
    return None
