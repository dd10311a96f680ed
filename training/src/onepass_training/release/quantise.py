"""int8 graphs: the same graphs with their constant matrix products in int8, each row of activations quantised by itself.

Per column of weights, per row of activations. Quantising all rows of an activation by one scale, as ONNX Runtime's dynamic
quantisation does, would make a candidate's score depend on its neighbours (docs/decisions/014-int8-graphs.md). Weights take 7
bits of the 8: products of 8 by 8 bits overflow the 16-bit sums of processors without VNNI, where the answers would be others.
"""

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from .graph import SharedWeights

DOMAIN = "com.microsoft"
"""MatMulIntegerToFloat, on ONNX Runtime's CPU provider: int8 graphs are for the CPU."""
QUANTISED = ("encode", "rank")
"""The towers stay fp32: their output is the item table's, which knows no precision; the head is too small to matter."""
WEIGHT_LIMIT, ROW_LIMIT, ZERO = 63, 127, 128
LEAST = np.float32(1e-9)
"""In place of the largest magnitude of a row of zeros."""


def quantise_columns(matrix: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """matrix [in, out] as int8 [in, out] and scales [out]: column c is int8[:, c] * scales[c], nearly."""
    largest = np.abs(matrix).max(axis=0)
    scales = np.where(largest > 0, largest, 1) / np.float32(WEIGHT_LIMIT)
    return np.rint(matrix / scales).astype(np.int8), scales.astype(np.float32)


class _Quantiser:
    """Rewrites one graph. Values keep their names; new ones begin with q."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self._constants = {tensor.name: tensor for tensor in model.graph.initializer}
        self._inputs = {value.name for value in model.graph.input}
        self._nodes: list[onnx.NodeProto] = []
        self._rows: dict[str, tuple[str, str]] = {}

    def run(self) -> onnx.ModelProto:
        """The rewritten graph, constants in it."""
        for node in list(self._model.graph.node):
            if self._takes(node):
                self._replace(node)
            else:
                self._nodes.append(node)
        graph = self._model.graph
        used = {name for node in self._nodes for name in node.input}
        rewritten = helper.make_graph(
            self._nodes, graph.name, graph.input, graph.output, [t for t in self._constants.values() if t.name in used]
        )
        domains = [*self._model.opset_import, helper.make_opsetid(DOMAIN, 1)]
        model = helper.make_model(rewritten, opset_imports=domains, producer_name=self._model.producer_name)
        model.ir_version = self._model.ir_version
        return model

    def _takes(self, node: onnx.NodeProto) -> bool:
        """Products with a constant matrix of something the trunk has made. The raw row's stay: a feature may be of any size."""
        constant = node.op_type in ("MatMul", "Gemm") and node.input[1] in self._constants
        return constant and node.input[0] not in self._inputs

    def _replace(self, node: onnx.NodeProto) -> None:
        matrix, scales = quantise_columns(numpy_helper.to_array(self._constants[node.input[1]]))
        row, largest = self._quantised_rows(node.input[0])
        product = self._add(
            "MatMulIntegerToFloat", row, self._constant(f"{node.output[0]}_int8", matrix),
            self._constant("q_step", np.array(1 / ROW_LIMIT, np.float32)), self._constant(f"{node.output[0]}_scales", scales),
            self._constant("q_zero", np.array(ZERO, np.uint8)), domain=DOMAIN,
        )  # fmt: skip
        output = node.output[0]
        if node.op_type == "MatMul":
            self._nodes.append(helper.make_node("Mul", [product, largest], [output]))
        else:
            self._nodes.append(helper.make_node("Add", [self._add("Mul", product, largest), node.input[2]], [output]))

    def _quantised_rows(self, value: str) -> tuple[str, str]:
        """`value` [n, in] as uint8 around 128, and each row's largest magnitude [n, 1], which counts as 127 steps."""
        if value not in self._rows:
            largest = self._add("ReduceMax", self._add("Abs", value), axes=[-1], keepdims=1)
            largest = self._add("Max", largest, self._constant("q_least", np.array([LEAST])))
            unit, step = self._add("Div", value, largest), self._constant("q_step", np.array(1 / ROW_LIMIT, np.float32))
            row = self._add("QuantizeLinear", unit, step, self._constant("q_zero", np.array(ZERO, np.uint8)))
            self._rows[value] = (row, largest)
        return self._rows[value]

    def _constant(self, name: str, value: NDArray) -> str:
        self._constants[name] = numpy_helper.from_array(np.asarray(value), name)
        return name

    def _add(self, operator: str, *inputs: str, domain: str = "", **attributes: object) -> str:
        output = f"q{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, list(inputs), [output], domain=domain, **attributes))
        return output


def quantise_graphs(graphs: dict[str, Path], directory: Path, weights_name: str) -> None:
    """Writes an int8 graph into `directory` for each of the fp32 `graphs` (name -> file), and their one weights file."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = SharedWeights()
    for path in graphs.values():
        model = _Quantiser(onnx.load(path)).run()
        for tensor in model.graph.initializer:
            weights.move_out(tensor, weights_name)
        (directory / path.name).write_bytes(model.SerializeToString(deterministic=True))
    weights.write(directory / weights_name)
