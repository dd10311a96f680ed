"""The gateway's contract as Python modules, generated from proto/ when the server is set up, not kept in the repository."""

import hashlib
import importlib.resources
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[4]
PROTO = ROOT / "proto"
FILES = tuple(f"onepass/{name}.proto" for name in ("common/v1/common", "gateway/v1/recommendation", "gateway/v1/event"))
GENERATED = Path(sys.prefix) / "onepass-contract"
"""In the virtual environment: it goes with it."""
STAMP = "stamp"


def generate() -> None:
    """Writes the modules, whole or not at all, unless they are of this contract already."""
    wanted = hashlib.sha256(b"".join((PROTO / file).read_bytes() for file in FILES)).hexdigest()
    stamp = GENERATED / STAMP
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    from grpc_tools import protoc

    writing = GENERATED.with_name(f".{GENERATED.name}.writing")
    shutil.rmtree(writing, ignore_errors=True)
    writing.mkdir(parents=True)
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    out = [f"--{kind}={writing}" for kind in ("python_out", "grpc_python_out")]
    if protoc.main(["protoc", f"-I{PROTO}", f"-I{well_known}", *out, *FILES]) != 0:
        raise RuntimeError(f"the contract in {PROTO} cannot be compiled; protoc's own message is above")
    (writing / STAMP).write_text(wanted)
    shutil.rmtree(GENERATED, ignore_errors=True)
    writing.rename(GENERATED)


generate()
sys.path.insert(0, str(GENERATED))

from onepass.common.v1 import common_pb2 as common  # noqa: E402
from onepass.gateway.v1 import event_pb2 as event  # noqa: E402
from onepass.gateway.v1 import event_pb2_grpc as event_grpc  # noqa: E402
from onepass.gateway.v1 import recommendation_pb2 as recommendation  # noqa: E402
from onepass.gateway.v1 import recommendation_pb2_grpc as recommendation_grpc  # noqa: E402

__all__ = ["common", "event", "event_grpc", "recommendation", "recommendation_grpc"]
