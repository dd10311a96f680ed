"""Training of the one shared causal transformer of Onepass, and the release draft it is served from."""

import os

# Both are read when the libraries are first imported.
# Else threads burn the CPU while they wait for each other, which costs most of it on a machine that does other work too.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Else ONNX Runtime collects usage data in the home directory and sends it to its makers.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
