"""System G of the bench kit: the graphs of a release behind the gateway's contract, in one Python process.

What a team would write in a week: grpc.aio, ONNX Runtime, faiss, histories in memory. Nothing is durable, refused for load or
replaced when it fails. Rows and the tokenizer are training's own modules, so that they are what the weights were trained on.
"""

import os

# Read when faiss and numpy are first imported. Each page has one thread beside those that its graph runs are given.
for _library in ("OMP", "OPENBLAS"):
    os.environ.setdefault(f"{_library}_NUM_THREADS", "1")
