"""Training of the one shared causal transformer of Onepass, and the release draft it is served from."""

import os

# Else ONNX Runtime collects usage data in the home directory and sends it to its makers. Read when it is first imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
