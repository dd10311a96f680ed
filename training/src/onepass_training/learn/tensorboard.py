"""Scalars in TensorBoard's file format, so that any copy of TensorBoard shows a run; none is needed to write them.

A file is a sequence of TFRecords (length and payload, each with a masked CRC-32C), a payload an Event message of
tensorflow/core/util/event.proto. Of that only what scalars need is written: wall_time = 1, step = 2, file_version = 3, and
summary = 5 with its values (tag = 1, simple_value = 2).
"""

import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

DIRECTORY = "tensorboard"
FILE = "events.out.tfevents.0000000000.onepass"
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
CASTAGNOLI = 0x82F63B78


def _table() -> list[int]:
    rows = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (CASTAGNOLI if value & 1 else 0)
        rows.append(value)
    return rows


_CRC = _table()


def masked_crc(data: bytes) -> int:
    """CRC-32C, masked as TFRecords have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ _CRC[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def _bytes(field: int, data: bytes) -> bytes:
    return _varint(field << 3 | BYTES) + _varint(len(data)) + data


def _event(wall_time: float, rest: bytes) -> bytes:
    return _varint(1 << 3 | FIXED64) + struct.pack("<d", wall_time) + rest


def _scalars(step: int, values: Mapping[str, float], wall_time: float) -> bytes:
    """The step comes right after the time, where `_step` finds it."""
    each = (
        _bytes(1, _bytes(1, tag.encode()) + _varint(2 << 3 | FIXED32) + struct.pack("<f", value))
        for tag, value in values.items()
    )
    return _event(wall_time, _varint(2 << 3 | VARINT) + _varint(step) + _bytes(5, b"".join(each)))


def _step(event: bytes) -> int | None:
    """The step of an event that `_scalars` made; None for the file's first one, which has none."""
    if event[9] != 2 << 3 | VARINT:
        return None
    step = shift = 0
    for byte in event[10:]:
        step |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    return step


def _record(event: bytes) -> bytes:
    length = struct.pack("<Q", len(event))
    return length + struct.pack("<I", masked_crc(length)) + event + struct.pack("<I", masked_crc(event))


def _records(data: bytes) -> Iterator[tuple[bytes, int]]:
    """Whole events and where each one's record ends; a torn or broken record ends it."""
    at = 0
    while at + 12 <= len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        end = at + 12 + length + 4
        if struct.unpack_from("<I", data, at + 8)[0] != masked_crc(data[at : at + 8]) or end > len(data):
            return
        event = data[at + 12 : end - 4]
        if struct.unpack_from("<I", data, end - 4)[0] != masked_crc(event):
            return
        yield event, end
        at = end


class ScalarLog:
    """The log of one run, DIR/tensorboard; TensorBoard's --logdir is that, or any directory above it.

    A run that is resumed goes on in the same file, from which all after its checkpoint is cut first: no step is there twice.
    """

    def __init__(self, directory: Path, step: int = 0) -> None:
        """Goes on behind `step`; 0 starts anew."""
        self._path = directory / DIRECTORY / FILE
        self._path.parent.mkdir(parents=True, exist_ok=True)
        keep = self._kept(step) if step and self._path.exists() else 0
        self._file = self._path.open("r+b" if keep else "wb")
        self._file.truncate(keep)
        self._file.seek(keep)
        if not keep:
            self._file.write(_record(_event(time.time(), _bytes(3, b"brain.Event:2"))))

    def _kept(self, step: int) -> int:
        """Bytes of the old file up to the last record of `step` or before."""
        keep = 0
        for event, end in _records(self._path.read_bytes()):
            if (_step(event) or 0) > step:
                break
            keep = end
        return keep

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Values by tag, as of `step`. A tag's part before "/" is its group."""
        self._file.write(_record(_scalars(step, values, time.time())))

    def flush(self) -> None:
        """Makes what was written readable to others."""
        self._file.flush()

    def close(self) -> None:
        """Ends the log."""
        self._file.close()
