"""The weights of a set of device graphs: each converted and placed in the one weights file once, whatever graphs hold it."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto

from ..release.graph import NUMPY_TO_ONNX, SharedWeights
from .sizes import Sizes, State

WEIGHTS = "weights.bin"
DTYPES = {"float32": np.dtype(np.float32), "float16": np.dtype(np.float16)}


class DeviceWeights:
    """Weights of the state as initializers of graphs, of the type `dtype` unless told otherwise."""

    def __init__(self, state: State, sizes: Sizes, dtype: str) -> None:
        """ValueError naming the weight if the state is not that of a model of these sizes, or is too large for the type."""
        self.state, self.sizes, self.element = state, sizes, DTYPES[dtype]
        self.file = SharedWeights()
        self._tensors: dict[str, TensorProto] = {}
        _check(state, sizes)

    @property
    def onnx_type(self) -> int:
        """ONNX's number of the type."""
        return NUMPY_TO_ONNX[self.element]

    def tensor(self, name: str, make: Callable[[], NDArray], element: np.dtype | None = None) -> onnx.TensorProto:
        """What `make` gives, made at the first call for that name and type."""
        element = element or self.element
        key = name if element == self.element else f"{name}.{element.name}"
        if key not in self._tensors:
            with np.errstate(over="ignore"):
                array = np.ascontiguousarray(make().astype(element, copy=False))
            if not np.isfinite(array).all():
                raise ValueError(f"{name} has weights that are no {element.name} numbers")
            tensor = TensorProto(name=key, data_type=NUMPY_TO_ONNX[element], dims=list(array.shape), raw_data=array.tobytes())
            self.file.move_out(tensor, WEIGHTS)
            self._tensors[key] = tensor
        return self._tensors[key]

    def write(self, directory: Path) -> None:
        """Writes the weights file, when all graphs are built."""
        self.file.write(directory / WEIGHTS)


def _check(state: State, sizes: Sizes) -> None:
    """Shapes of some weights tell all sizes."""
    width, last = sizes.width, sizes.layers - 1
    expected = {
        f"trunk.blocks.{last}.qkv.weight": (3 * width, width),
        "wanted.weight": (sizes.embedding * sizes.actions, width),
        "action_head.2.bias": (sizes.actions,),
    }
    for name, shape in expected.items():
        if name not in state:
            raise ValueError(f"the weights have no {name}")
        if state[name].shape != shape:
            raise ValueError(f"{name} is {state[name].shape} where {shape} is wanted")
    if state["input.0.weight"].shape[1] != sizes.columns:
        raise ValueError(f"input.0.weight reads rows of {state['input.0.weight'].shape[1]} columns, not {sizes.columns}")
