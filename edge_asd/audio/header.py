"""What a WAV, AIFF or RF64 header promises.

libsndfile quietly shortens a file that ends before its header says so, and cannot read a header from a pipe; both need
the header read here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from edge_asd.errors import DataError

UNKNOWN_SIZE_FROM = 0x7FFF0000
"""Data sizes from here on are what recorders that write to a pipe put for "not known" (arecord, ffmpeg, sox)."""
PCM, IEEE_FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
MAX_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class WavHeader:
    """A WAV header up to its first sample.

    rate_hz, channels: of the sound.
    bytes_per_frame: one sample of every channel.
    encoding, bits: format tag (1 = PCM, 3 = float) and bits a sample.
    data_bytes: promised bytes of sound, None when the writer did not know (streams).
    data_offset: bytes before the first sample.
    """

    rate_hz: int
    channels: int
    bytes_per_frame: int
    encoding: int
    bits: int
    data_bytes: int | None
    data_offset: int


def read_wav_header(read: Callable[[int], bytes], name: str) -> WavHeader:
    """Parse from the first byte on, never seeking. `read(n)` gives n bytes, fewer only at the end.

    name: of the source, for errors. Raises DataError when it is not WAV or ends within the header.
    """
    riff = _exactly(read, 12, name)
    if riff[:4] not in (b"RIFF", b"RF64") or riff[8:] != b"WAVE":
        raise DataError(f"{name}: not a WAV file (begins with {riff[:4]!r})")
    offset, form, long_bytes = 12, b"", None
    while True:
        chunk, size = _chunk_head(_exactly(read, 8, name))
        offset += 8
        if chunk == b"data":
            break
        body = _skip_or_read(read, size + size % 2, name, keep=chunk in (b"fmt ", b"ds64"))
        offset += size + size % 2
        if chunk == b"fmt ":
            form = body
        elif chunk == b"ds64":
            long_bytes = int.from_bytes(body[8:16], "little")
    if len(form) < 16:
        raise DataError(f"{name}: WAV header has no format before its samples")
    encoding, channels = (int.from_bytes(form[i : i + 2], "little") for i in (0, 2))
    rate_hz = int.from_bytes(form[4:8], "little")
    bytes_per_frame, bits = (int.from_bytes(form[i : i + 2], "little") for i in (12, 14))
    if encoding == EXTENSIBLE and len(form) >= 26:
        encoding = int.from_bytes(form[24:26], "little")
    if not rate_hz or not channels or not bytes_per_frame:
        raise DataError(f"{name}: WAV header says {rate_hz} Hz, {channels} channels, {bytes_per_frame} bytes a frame")
    data_bytes = long_bytes if size == 0xFFFFFFFF and long_bytes else None if _unknown(size) else size
    return WavHeader(rate_hz, channels, bytes_per_frame, encoding, bits, data_bytes, offset)


def container_bytes(head: bytes) -> int | None:
    """Size of a whole IFF file (AIFF) as its first 8 bytes promise it; None where they promise nothing."""
    if head[:4] != b"FORM" or len(head) < 8:
        return None
    size = int.from_bytes(head[4:8], "big")
    return None if _unknown(size) else size + 8


def _unknown(size: int) -> bool:
    return size >= UNKNOWN_SIZE_FROM


def _chunk_head(head: bytes) -> tuple[bytes, int]:
    return head[:4], int.from_bytes(head[4:], "little")


def _skip_or_read(read: Callable[[int], bytes], size: int, name: str, *, keep: bool) -> bytes:
    if keep:
        if size > MAX_CHUNK_BYTES:
            raise DataError(f"{name}: WAV header has a format chunk of {size} bytes")
        return _exactly(read, size, name)
    while size:
        size -= len(_exactly(read, min(size, MAX_CHUNK_BYTES), name))
    return b""


def _exactly(read: Callable[[int], bytes], size: int, name: str) -> bytes:
    data = read(size)
    if len(data) < size:
        raise DataError(f"{name}: ends within its WAV header", remedy="copy or record it again")
    return data
