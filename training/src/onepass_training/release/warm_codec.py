"""The graphs by which the warm tier packs keys and values: of no release, for tensors [tokens, width] of any size.

`python -m onepass_training.release.warm_codec DIRECTORY` writes them; those that serve are in libs/warm-tier/graphs.
"""

import argparse
from pathlib import Path

import numpy as np
from onnx import TensorProto

from onepass_training.release.graph import GraphBuilder, SharedWeights

TENSOR = ("tokens", "width")
CHANNELS = (1, "width")
STEPS = 254
"""From -127 to 127: as many below a channel's middle as above it, so that a constant channel comes back as it was."""
SMALLEST_STEP = np.finfo(np.float32).tiny
"""Of a channel that does not change: any other than 0 would do."""


def graphs() -> dict[str, GraphBuilder]:
    """By file name."""
    made = (_encode_f32(), _encode_f16(), _decode_f16(), _encode_i8(), _decode_i8())
    return {f"{graph.name}.onnx": graph for graph in made}


def write_graphs(directory: Path) -> None:
    """Writes all graphs into an existing directory."""
    for name, graph in graphs().items():
        graph.write(directory / name)


def _builder(name: str) -> GraphBuilder:
    # All constants are scalars and stay inside.
    return GraphBuilder(name, SharedWeights(), "")


def _scalar(graph: GraphBuilder, value: float) -> str:
    return graph.constant(np.array(value, np.float32))


def _prove(graph: GraphBuilder, tensor: str) -> None:
    """0 when every number of `tensor` is finite, else NaN, which is what 0 times an infinity or a NaN is."""
    nothing = graph("Mul", tensor, _scalar(graph, 0.0))
    graph.output("proof", graph("ReduceSum", nothing, keepdims=0), ())


def _encode_f32() -> GraphBuilder:
    """A copy, off the event loop."""
    graph = _builder("f32-encode")
    tensor = graph.input("tensor", TENSOR)
    graph.output("packed", tensor, TENSOR)
    _prove(graph, tensor)
    return graph


def _encode_f16() -> GraphBuilder:
    graph = _builder("f16-encode")
    packed = graph("Cast", graph.input("tensor", TENSOR), to=TensorProto.FLOAT16)
    graph.output("packed", packed, TENSOR, TensorProto.FLOAT16)
    # What is finite in 32 bits and too large for 16 is infinite from here on.
    _prove(graph, graph("Cast", packed, to=TensorProto.FLOAT))
    return graph


def _decode_f16() -> GraphBuilder:
    graph = _builder("f16-decode")
    packed = graph.input("packed", TENSOR, TensorProto.FLOAT16)
    graph.output("tensor", graph("Cast", packed, to=TensorProto.FLOAT), TENSOR)
    return graph


def _encode_i8() -> GraphBuilder:
    """Each channel by its own step and middle over all tokens: channels of keys lie far from 0, each at a place of its own."""
    graph = _builder("i8-encode")
    tensor = graph.input("tensor", TENSOR)
    most, least = (graph(operator, tensor, axes=[0], keepdims=1) for operator in ("ReduceMax", "ReduceMin"))
    # Scaled before the difference is taken: that of two finite numbers may not be finite.
    share = _scalar(graph, 1 / STEPS)
    difference = graph("Sub", graph("Mul", most, share), graph("Mul", least, share))
    step = graph("Max", difference, _scalar(graph, SMALLEST_STEP))
    half = _scalar(graph, 0.5)
    middle = graph("Add", graph("Mul", most, half), graph("Mul", least, half))
    steps = graph("Round", graph("Div", graph("Sub", tensor, middle), step))
    limit = STEPS / 2
    held = graph("Clip", steps, _scalar(graph, -limit), _scalar(graph, limit))
    graph.output("packed", graph("Cast", held, to=TensorProto.INT8), TENSOR, TensorProto.INT8)
    graph.output("step", step, CHANNELS)
    graph.output("middle", middle, CHANNELS)
    _prove(graph, tensor)
    return graph


def _decode_i8() -> GraphBuilder:
    graph = _builder("i8-decode")
    packed = graph.input("packed", TENSOR, TensorProto.INT8)
    step, middle = graph.input("step", CHANNELS), graph.input("middle", CHANNELS)
    steps = graph("Cast", packed, to=TensorProto.FLOAT)
    graph.output("tensor", graph("Add", graph("Mul", steps, step), middle), TENSOR)
    return graph


def main() -> None:
    """Writes the graphs into the directory that is named."""
    parser = argparse.ArgumentParser(prog="python -m onepass_training.release.warm_codec", description=__doc__)
    parser.add_argument("directory", type=Path)
    directory: Path = parser.parse_args().directory
    directory.mkdir(parents=True, exist_ok=True)
    write_graphs(directory)


if __name__ == "__main__":
    main()
