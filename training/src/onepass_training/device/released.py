"""The weights of a release, read back from its encode and rank graphs (release/export.py wrote them)."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from .sizes import Sizes

MANIFESTS = ("manifest.json", "manifest.draft.json")
HELD = {"Gemm": 1, "MatMul": 1, "LayerNormalization": 1}
"""Operators with weights, and which of their inputs the first one is."""


def released(directory: Path) -> tuple[Sizes, dict[str, NDArray[np.float32]]]:
    """Sizes and weights of a release or draft, of its fp32 graphs even where int8 ones serve.

    FileNotFoundError or ValueError in a sentence where it is none, or its graphs are not as this version writes them.
    """
    path, manifest = _manifest(directory)
    try:
        model, graphs = manifest["model"], _fp32_graphs(manifest)
        layers, width = model["layers"], model["width"]
        files = {name: directory / graphs[name] for name in ("encode", "rank")}
        actions, embedding = len(manifest["vocabulary"]["actions"]), model["itemDimension"]
        state = _state(files, layers, width)
        sizes = Sizes(layers, width, model["heads"], state["input.0.weight"].shape[1], embedding, actions, model["window"],
                      model["contextRows"])  # fmt: skip
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} is incomplete: {error} is missing or of the wrong kind") from error
    _unscale(state, sizes)
    return sizes, state


def release_id(directory: Path) -> str | None:
    """The release's id; None of a draft, which has none yet. FileNotFoundError where it is neither."""
    _, manifest = _manifest(directory)
    return manifest.get("id")


def _manifest(directory: Path) -> tuple[Path, dict]:
    path = next((directory / name for name in MANIFESTS if (directory / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{directory} is no release: it has neither {' nor '.join(MANIFESTS)}")
    return path, json.loads(path.read_text())


def _fp32_graphs(manifest: dict) -> dict[str, str]:
    """File names; where several precisions are there, those of fp32."""
    return manifest.get("precisions", {}).get("fp32", {}).get("graphs", manifest["graphs"])


def _state(files: dict[str, Path], layers: int, width: int) -> dict[str, NDArray[np.float32]]:
    """Named as OnepassModel.serving_state() names them, queries still scaled."""
    encode = iter(_weights(files["encode"]))
    state: dict[str, NDArray[np.float32]] = {}

    def take(found: Iterator[tuple[str, list[NDArray]]], operator: str, name: str) -> None:
        kind, arrays = next(found, ("nothing", []))
        if kind != operator:
            raise ValueError(f"{files['encode'].parent}: where {name} is wanted the graph has {kind}: another version wrote it")
        first = arrays[0] if operator == "LayerNormalization" else arrays[0].T
        state[f"{name}.weight"] = np.ascontiguousarray(first)
        if len(arrays) > 1:
            state[f"{name}.bias"] = arrays[1]

    take(encode, "Gemm", "input.0"), take(encode, "Gemm", "input.2")
    for layer in range(layers):
        block = f"trunk.blocks.{layer}"
        for operator, part in (("LayerNormalization", "attention_norm"), ("MatMul", "qkv"), ("MatMul", "out"),
                               ("LayerNormalization", "feed_norm"), ("Gemm", "up"), ("Gemm", "down")):  # fmt: skip
            take(encode, operator, f"{block}.{part}")
    take(encode, "LayerNormalization", "final_norm")
    tail = iter(_weights(files["rank"])[-3:])
    take(tail, "MatMul", "wanted"), take(tail, "Gemm", "action_head.0"), take(tail, "Gemm", "action_head.2")
    return state


def _weights(path: Path) -> list[tuple[str, list[NDArray[np.float32]]]]:
    """Operators whose weights are constants, in order, and those constants."""
    graph = onnx.load(path).graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    found = []
    for node in graph.node:
        at = HELD.get(node.op_type)
        if at is not None and len(node.input) > at and node.input[at] in constants:
            found.append((node.op_type, [constants[name] for name in node.input[at:] if name in constants]))
    return found


def _unscale(state: dict[str, NDArray[np.float32]], sizes: Sizes) -> None:
    """Takes attention's 1 / sqrt(D) out of the queries' weights, where the graphs have it."""
    for layer in range(sizes.layers):
        weight = state[f"trunk.blocks.{layer}.qkv.weight"]
        weight[: sizes.width] /= np.float32(sizes.head_size**-0.5)
