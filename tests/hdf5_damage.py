"""Damage to an HDF5 file that knows its structures, and makes some of their checksums right."""

from __future__ import annotations

import random
import struct

_SIGNATURES = (b"\x89HDF", b"OHDR", b"OCHK", b"TREE", b"GCOL", b"FRHP", b"FHDB", b"SNOD", b"HEAP")
_BLOCK = 512


def structures(content: bytes) -> list[int]:
    """Where superblock, object headers, indices and heaps begin."""
    found = []
    for signature in _SIGNATURES:
        at = content.find(signature)
        while at >= 0:
            found.append(at)
            at = content.find(signature, at + 1)
    return sorted(found)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """With one to three changes, mostly in structures; checksums of object headers made right."""
    out = bytearray(content)
    places = structures(content)
    for _ in range(rng.choice((1, 1, 2, 3))):
        start = rng.choice(places) if rng.random() < 0.8 else rng.randrange(len(out))
        at = min(start + rng.randrange(rng.choice((16, 64, _BLOCK))), len(out) - 8)
        kind = rng.randrange(7)
        if kind == 0:
            out[at] ^= 1 << rng.randrange(8)
        elif kind in (1, 2):  # an address or a size: nothing, itself, another structure, absurd
            values = (0, 1, 2**64 - 1, start, rng.choice(places), len(out), 2**40, 2**62)
            out[at : at + 8] = struct.pack("<Q", rng.choice(values))
        elif kind == 3:
            out[at : at + 4] = struct.pack("<I", rng.choice((0, 1, 0xFFFF, 2**31, 2**32 - 1)))
        elif kind == 4:
            out[at : at + _BLOCK] = bytes(len(out[at : at + _BLOCK]))
        elif kind == 5:
            other = rng.choice(places)
            n = min(_BLOCK, len(out) - other, len(out) - start)
            out[start : start + n] = out[other : other + n]
        else:
            del out[rng.randrange(len(out) // 2, len(out)) :]
        if out[start : start + 4] == b"OHDR" and rng.random() < 0.8:
            _seal(out, start)
        places = [place for place in places if place < len(out) - 8] or [0]
    return bytes(out)


def _seal(out: bytearray, start: int) -> None:
    """Write the checksum that an object header should have."""
    flags = out[start + 5]
    at = start + 6 + (16 if flags & 0x20 else 0) + (4 if flags & 0x10 else 0)
    width = 1 << (flags & 3)
    stop = at + width + int.from_bytes(out[at : at + width], "little")
    if stop + 4 <= len(out):
        out[stop : stop + 4] = struct.pack("<I", lookup3(bytes(out[start:stop])))


def lookup3(data: bytes) -> int:
    """Bob Jenkins's checksum, that of HDF5's metadata."""
    mask = 0xFFFFFFFF

    def turned(x, k):
        return (x << k | x >> (32 - k)) & mask

    a = b = c = (0xDEADBEEF + len(data)) & mask
    words = struct.unpack(f"<{-(-len(data) // 12) * 3}I", data + bytes(-len(data) % 12))
    for i in range(0, max(len(words) - 3, 0), 3):
        a, b, c = (a + words[i]) & mask, (b + words[i + 1]) & mask, (c + words[i + 2]) & mask
        a = (a - c & mask) ^ turned(c, 4)
        c = c + b & mask
        b = (b - a & mask) ^ turned(a, 6)
        a = a + c & mask
        c = (c - b & mask) ^ turned(b, 8)
        b = b + a & mask
        a = (a - c & mask) ^ turned(c, 16)
        c = c + b & mask
        b = (b - a & mask) ^ turned(a, 19)
        a = a + c & mask
        c = (c - b & mask) ^ turned(b, 4)
        b = b + a & mask
    if words:
        a, b, c = (a + words[-3]) & mask, (b + words[-2]) & mask, (c + words[-1]) & mask
        for x, y, k in (("c", "b", 14), ("a", "c", 11), ("b", "a", 25), ("c", "b", 16),
                        ("a", "c", 4), ("b", "a", 14), ("c", "b", 24)):  # fmt: skip
            v = {"a": a, "b": b, "c": c}
            v[x] = ((v[x] ^ v[y]) - turned(v[y], k)) & mask
            a, b, c = v["a"], v["b"], v["c"]
    return c
