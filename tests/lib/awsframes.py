"""Amazon's event stream, read: frames with their headers; every checksum is checked with zlib's CRC-32."""

import json
import struct
import zlib


def frames(data):
    """[(message type, event or exception type, payload)]"""
    out = []
    while data:
        total, headers_n, prelude = struct.unpack(">III", data[:12])
        assert zlib.crc32(data[:8]) == prelude and zlib.crc32(data[: total - 4]) == struct.unpack(">I", data[total - 4 : total])[0]
        at, headers = 12, {}
        while at < 12 + headers_n:
            n = data[at]
            name, kind = data[at + 1 : at + 1 + n].decode(), data[at + 1 + n]
            size = struct.unpack(">H", data[at + 2 + n : at + 4 + n])[0]
            assert kind == 7
            headers[name] = data[at + 4 + n : at + 4 + n + size].decode()
            at += 4 + n + size
        kind = headers[":message-type"]
        out.append((kind, headers[":event-type" if kind == "event" else ":exception-type"], json.loads(data[at : total - 4])))
        data = data[total:]
    return out
