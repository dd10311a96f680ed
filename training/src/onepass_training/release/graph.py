"""A small builder of ONNX graphs, and the one weights file that several of them share."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

OPSET = 17
IR_VERSION = 8
SPLIT_INTO = 18
"""From this opset on a Split into equal parts says how many."""
MICROSOFT = "com.microsoft"
"""Domain of ONNX Runtime's own operators."""
INLINE_BYTES = 256
"""Constants up to this size stay in the graph: shapes and scalars, which the runtime folds."""
ALIGNMENT = 64
NUMPY_TO_ONNX = {
    np.dtype(np.float32): TensorProto.FLOAT, np.dtype(np.float16): TensorProto.FLOAT16, np.dtype(np.int64): TensorProto.INT64,
    np.dtype(np.int32): TensorProto.INT32, np.dtype(np.bool_): TensorProto.BOOL,
}  # fmt: skip


class SharedWeights:
    """External data of all graphs, each distinct content once."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._offsets: dict[bytes, int] = {}

    def place(self, content: bytes) -> int:
        """Offset of `content` in the file, written at the first call."""
        digest = hashlib.sha256(content).digest()
        if digest not in self._offsets:
            self._data.extend(bytes(-len(self._data) % ALIGNMENT))
            self._offsets[digest] = len(self._data)
            self._data.extend(content)
        return self._offsets[digest]

    def move_out(self, tensor: onnx.TensorProto, name: str) -> None:
        """Moves a tensor's bytes into the file called `name`, unless they are few."""
        content = tensor.raw_data
        if len(content) <= INLINE_BYTES:
            return
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for entry, value in (("location", name), ("offset", self.place(content)), ("length", len(content))):
            tensor.external_data.add(key=entry, value=str(value))

    def write(self, path: Path) -> None:
        """Writes the file."""
        path.write_bytes(self._data)


class GraphBuilder:
    """Collects nodes and constants; values are named by counter."""

    def __init__(
        self, name: str, weights: SharedWeights, weights_name: str, opset: int = OPSET, ir_version: int = IR_VERSION
    ) -> None:
        self.name, self._weights, self._weights_name = name, weights, weights_name
        self._opset, self._ir_version = opset, ir_version
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[bytes, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._outputs: list[onnx.ValueInfoProto] = []
        self._shapes: list[onnx.ValueInfoProto] = []

    def input(self, name: str, shape: Sequence[str | int], element: int = TensorProto.FLOAT) -> str:
        """An input; names in `shape` are dynamic."""
        self._inputs.append(helper.make_tensor_value_info(name, element, list(shape)))
        return name

    def output(self, name: str, value: str, shape: Sequence[str | int], element: int = TensorProto.FLOAT) -> None:
        """Makes `value` the output `name`."""
        self._nodes.append(helper.make_node("Identity", [value], [name]))
        self._outputs.append(helper.make_tensor_value_info(name, element, list(shape)))

    def output_in_place(self, name: str, shape: Sequence[str | int], element: int, operator: str, *inputs: str) -> str:
        """A node whose result is the output `name` itself, so that it can write into memory that the output is bound to."""
        self._nodes.append(helper.make_node(operator, list(inputs), [name]))
        self._outputs.append(helper.make_tensor_value_info(name, element, list(shape)))
        return name

    def of_shape(self, value: str, shape: Sequence[str | int], element: int) -> str:
        """`value`, of which the runtime is told a shape that it cannot infer; equal names in `shape` are equal sizes."""
        self._shapes.append(helper.make_tensor_value_info(value, element, list(shape)))
        return value

    def constant(self, array: NDArray) -> str:
        """An initializer; equal ones are one."""
        array = np.ascontiguousarray(array)
        content = array.tobytes()
        key = repr((array.dtype.str, array.shape)).encode() + content
        if key not in self._constants:
            tensor = TensorProto(name=f"c{len(self._constants)}", data_type=NUMPY_TO_ONNX[array.dtype], dims=list(array.shape))
            tensor.raw_data = content
            self._weights.move_out(tensor, self._weights_name)
            self._constants[key] = tensor
        return self._constants[key].name

    def initializer(self, tensor: onnx.TensorProto) -> str:
        """An initializer that has a name already, and perhaps its data in the weights file."""
        self._constants.setdefault(tensor.name.encode(), tensor)
        return tensor.name

    def integers(self, *values: int) -> str:
        """A constant int64 vector, for shapes, axes and sizes."""
        return self.constant(np.array(values, np.int64))

    def __call__(self, operator: str, *inputs: str, outputs: int = 1, **attributes: object) -> str:
        """Adds a node and names its output."""
        return self.several(operator, *inputs, outputs=outputs, **attributes)[0]

    def several(
        self, operator: str, *inputs: str, outputs: int, unwanted: Sequence[int] = (), **attributes: object
    ) -> list[str]:
        """Adds a node and names its outputs, but for those that are unwanted, which are not computed."""
        names = ["" if index in unwanted else f"v{len(self._nodes)}_{index}" for index in range(outputs)]
        if operator == "Split" and len(inputs) == 1 and self._opset >= SPLIT_INTO:
            attributes["num_outputs"] = outputs
        self._nodes.append(helper.make_node(operator, list(inputs), names, **attributes))
        return names

    def write(self, path: Path) -> None:
        """Writes the graph beside its weights file."""
        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, self.name, self._inputs, self._outputs, constants, value_info=self._shapes)
        domains = [helper.make_opsetid("", self._opset)]
        if any(node.domain == MICROSOFT for node in self._nodes):
            domains.append(helper.make_opsetid(MICROSOFT, 1))
        model = helper.make_model(graph, opset_imports=domains, producer_name="onepass-training")
        model.ir_version = self._ir_version
        path.write_bytes(model.SerializeToString(deterministic=True))
