"""Where the figure comes from that utilisation is a share of."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from recipes.training.peak import CONFIGURED, MEASURED, SHEETS, Peak, of_sheet, peak_of

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("name", "tflops"),
    [
        ("NVIDIA H100 80GB HBM3", 989.5),
        ("NVIDIA H100 PCIe", 756.5),
        ("NVIDIA H100 NVL", 835.5),
        ("NVIDIA H200", 989.5),
        ("NVIDIA H200 NVL", 835.5),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A100 80GB PCIe", 312.0),
        ("NVIDIA L40S", 362.05),
        ("NVIDIA GeForce RTX 4090", 165.2),
    ],
)
def test_a_known_device_has_the_peak_of_its_sheet(name, tflops):
    found = of_sheet(name)
    assert found.flops == tflops * 1e12
    assert found.source.startswith("of the data sheet of ")


@pytest.mark.parametrize(
    "name",
    ["", "NVIDIA L40", "NVIDIA GeForce RTX 4090 Laptop GPU", "NVIDIA GeForce RTX 4090 D", "NVIDIA A10", "Tesla T4",
     "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA B200"],
)  # fmt: skip
def test_a_device_without_a_sheet_or_a_part_of_one_is_measured(name):
    assert of_sheet(name) is None


def test_a_longer_name_stands_before_the_shorter_one_that_it_holds():
    names = [name for name, _ in SHEETS]
    assert not any(early in late for k, early in enumerate(names) for late in names[k + 1 :])


@given(tflops=st.floats(0.001, 5000), devices=st.integers(1, 64))
def test_what_is_configured_counts_and_devices_add_up(tflops, devices):
    found = peak_of(CPU, torch.bfloat16, configured=tflops)
    assert found == Peak(flops=tflops * 1e12, source=CONFIGURED)
    assert found.times(devices) == Peak(flops=tflops * 1e12 * devices, source=CONFIGURED)


def test_a_cpu_is_measured_and_says_so():
    found = peak_of(CPU, torch.float32, configured=0.0)
    assert found.source == MEASURED == "of the measured matmul"
    assert 1e8 < found.flops < 1e15


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_reaches_less_than_its_sheet_says():
    device = torch.device("cuda")
    known = of_sheet(torch.cuda.get_device_name(device))
    if known is None:
        pytest.skip("no data sheet of this device is known")
    assert peak_of(device, torch.bfloat16, configured=0.0) == known
    measured = peak_of(device, torch.float32, configured=0.0)
    assert measured.source == MEASURED
    assert measured.flops < known.flops
