"""CLIP's image tower in eight-bit integers, by ONNX Runtime: an extra of its own, `pip install 'streamvl[onnx]'`."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets_build.core.files import DataError

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Int8Error(DataError):
    """Integers were asked for where their packages are missing, or of a tower that cannot be put into them."""


def is_installed() -> bool:
    """Whether ONNX Runtime and what prepares its files are there."""
    try:
        import onnx  # noqa: F401 - loading is the point
        import onnxruntime  # noqa: F401
    except ImportError:
        return False
    return True


def quantized(tower: torch.nn.Module, blank: Tensor, *, threads: int) -> Callable[[Tensor], Tensor]:
    """A function from one prepared picture `(1, 3, side, side) float32` to its embedding `(1, dimensions) float32`.

    The weights of matrix products are integers from the start, one scale for each output; what goes into a product is
    scaled by its own greatest number as it comes. `blank` is any picture of the right shape.

    Raises:
        Int8Error: the packages are missing, or the tower cannot be exported.
    """
    if not is_installed():
        raise Int8Error(
            "clip.precision=int8 needs onnxruntime and onnx, which are not installed; "
            "run: pip install 'streamvl[onnx]', or set clip.precision to fp32 or bf16"
        )
    with tempfile.TemporaryDirectory(prefix="streamvl-int8-") as folder:
        return _session(_written(tower, blank, Path(folder)), threads)


def _written(tower: torch.nn.Module, blank: Tensor, folder: Path) -> Path:
    """The tower as a file of ONNX Runtime with integer weights."""
    import torch
    from onnxruntime.quantization import QuantType, quantize_dynamic

    plain, small = folder / "plain.onnx", folder / "int8.onnx"
    try:
        with warnings.catch_warnings():
            # The exporter that needs no further package is told to be the older one.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                tower,
                (blank,),
                plain,
                dynamo=False,
                input_names=["picture"],
                output_names=["embedding"],
                opset_version=17,
            )
            quantize_dynamic(
                plain, small, weight_type=QuantType.QInt8, per_channel=True, op_types_to_quantize=["MatMul", "Gemm"]
            )
    # Exporters raise errors without a common base for whatever operation they do not know.
    except Exception as error:
        raise Int8Error(
            f"clip.precision=int8: this model cannot be put into integers ({' '.join(str(error).split())[:300]}); "
            "set clip.precision to fp32 or bf16"
        ) from error
    return small


def _session(path: Path, threads: int) -> Callable[[Tensor], Tensor]:
    import onnxruntime
    import torch

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session: Any = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def run(picture: Tensor) -> Tensor:
        (vector,) = session.run(None, {"picture": picture.numpy()})
        return torch.from_numpy(vector)

    return run
