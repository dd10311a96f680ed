"""The command line: python -m onepass_monolith --release DIR [--keep-kv --kv-mib M] [--port 0]."""

import argparse
import asyncio
import ctypes
import json
import signal
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from .contract import event_grpc, recommendation_grpc
from .release import Release
from .service import Events, Mind, Recommendations

MESSAGE_BYTES = 16 * 2**20
OPTIONS = (
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),
    # Callers ping every two seconds; as it is, the server would drop whoever does so while a page takes longer than that.
    ("grpc.http2.max_ping_strikes", 0),
)
SERVICES = ("", "onepass.gateway.v1.RecommendationService", "onepass.gateway.v1.EventService")
GRACE_SECONDS = 2.0
PR_SET_PDEATHSIG = 1


def parser() -> argparse.ArgumentParser:
    """All options."""
    options = argparse.ArgumentParser(prog="onepass_monolith", description=__doc__)
    options.add_argument("--release", type=Path, required=True, metavar="DIR", help="the release to serve")
    options.add_argument("--port", type=int, default=0, help="on 127.0.0.1; 0 (default) = a free one")
    options.add_argument("--threads", type=int, default=1, help="threads inside a run of a graph (default 1)")
    options.add_argument("--in-flight", type=int, default=2, help="pages made at one time (default 2)")
    options.add_argument("--keep-kv", action="store_true", help="keep people's KV and append to it")
    options.add_argument("--kv-mib", type=float, default=1_024.0, help="memory of the KV that is kept (default 1024)")
    options.add_argument("--with-parent", action="store_true", help="end when the process that started it ends (Linux)")
    return options


async def serve(options: argparse.Namespace) -> None:
    """Until SIGTERM or SIGINT. Says on standard output, as a line of JSON, where it listens."""
    release = Release(options.release, options.threads)
    mind = Mind(release, options.kv_mib if options.keep_kv else None)
    recommendations = Recommendations(release, mind, options.in_flight)
    server = grpc.aio.server(options=OPTIONS)
    recommendation_grpc.add_RecommendationServiceServicer_to_server(recommendations, server)
    event_grpc.add_EventServiceServicer_to_server(Events(release, mind), server)
    answers = health.aio.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(answers, server)
    for service in SERVICES:
        await answers.set(service, health_pb2.HealthCheckResponse.SERVING)
    port = server.add_insecure_port(f"127.0.0.1:{options.port}")
    await server.start()
    kept = mind.kv.most * mind.kv.entry_bytes / 2**20 if mind.kv is not None else 0
    print(json.dumps({"port": port, "release": release.id, "index": recommendations.index, "kvMiB": kept}), flush=True)
    stopping = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stopping.set)
    await stopping.wait()
    await server.stop(GRACE_SECONDS)


def main() -> int:
    """0, or 1 with one sentence on standard error."""
    options = parser().parse_args()
    if options.with_parent:
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        asyncio.run(serve(options))
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        print(f"onepass_monolith: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
