"""Whether an audio file is as long as its header says.

A file that was cut off (a full disk, a broken copy) is often read as if it were whole: libsndfile and FFmpeg give
what is left without a word. These checks read a few headers, whatever the size of the file.
"""

from __future__ import annotations

import io
import re
import struct
from typing import IO

_STREAMED = 0x7FFF_0000
"""A program that writes to a pipe cannot know the length and puts a huge number there."""
_MAX_PARTS = 100_000
"""Chunks or boxes that are looked at: a day of video in fragments of a second."""
_NEAR = 1 << 20
"""Bytes of the start and the end of an AVI in which its titles are looked for."""
_OGG_PAGE = 65_307
"""The longest page of Ogg in bytes, its header included (RFC 3533)."""
_JUNK = 4096
"""Bytes behind the samples of a WAV that are no chunks: so many are let pass."""


def missing(file: IO[bytes], size: int) -> str | None:
    """What is missing of a file of `size` bytes, as far as its container tells; None: nothing that can be seen."""
    file.seek(0)
    head = file.read(16)
    if head.startswith(b"RIFF"):
        promised, found = _riff(file, size)
    elif head.startswith(b"NIST_1A"):
        promised, found = _sphere(file, size)
    elif head.startswith(b"OggS"):
        promised, found = _ogg(file, size)
    elif head.startswith(b"\x1a\x45\xdf\xa3"):
        promised, found = _matroska(file, size)
    elif head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        promised, found = _mp4(file, size)
    else:
        return None
    return f"the header promises {promised} bytes of audio, {found} follow" if found < promised else None


_Lengths = tuple[int, int]
"""Bytes that are promised, and that are there."""
_WHOLE = (0, 0)


def _riff(file: IO[bytes], size: int) -> _Lengths:
    """WAV and AVI: http://soundfile.sapp.org/doc/WaveFormat."""
    file.seek(8)
    if file.read(4) == b"AVI ":
        return _avi(file, size)
    for _ in range(_MAX_PARTS):
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        name, length = struct.unpack("<4sI", chunk)
        if name == b"data":
            return (length, size - file.tell()) if length < _STREAMED else _WHOLE
        file.seek(length + length % 2, io.SEEK_CUR)
    return _WHOLE


def unannounced(file: IO[bytes], size: int) -> str | None:
    """What follows the samples that a header promises and is more of them; None: nothing that can be seen.

    What reads the file would stop where the header says, without a word.
    """
    file.seek(0)
    head = file.read(42)
    if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
        promised, found = _behind_wav(file, size)
        if found > promised > 0:
            fix = "ffmpeg -ignore_length 1 -i IN.wav OUT.wav reads them"
            return f"{promised} bytes of audio are promised, {found} follow; {fix}"
    elif head.startswith((b"fLaC\0", b"fLaC\x80")):
        promised, found = _behind_flac(file, size, head)
        if found > promised:
            return f"{promised} samples are promised, {found} follow; flac -d IN.flac -o OUT.wav reads them"
    return None


def unfinished_wav(file: IO[bytes], size: int) -> bool:
    """Whether a WAV has samples and a header that was never finished: it says that there are none."""
    file.seek(0)
    head = file.read(12)
    if not head.startswith(b"RIFF") or head[8:12] != b"WAVE":
        return False
    promised, found = _behind_wav(file, size)
    return found > promised == 0


def _behind_wav(file: IO[bytes], size: int) -> _Lengths:
    """Bytes that the `data` chunk promises, and those up to the end if what follows are neither chunks nor zeros."""
    data = None
    at = 12
    for _ in range(_MAX_PARTS):
        file.seek(at)
        chunk = file.read(8)
        if len(chunk) < 8:
            return _WHOLE
        name, length = struct.unpack("<4sI", chunk)
        if data and not (name.isascii() and name.decode("ascii").isprintable()):
            break
        if name == b"data" and not data:
            if length >= _STREAMED:  # all of it is read
                return _WHOLE
            data = (length, size - at - 8)
        file.seek(at + 8 + length)
        at += 8 + length + (length % 2 and file.read(1) == b"\0")  # not everybody pads
        if at > size:
            break
    if data is None or data[1] - data[0] <= _JUNK:
        return _WHOLE
    file.seek(size - data[1] + data[0])
    return data if file.read(_JUNK).strip(b"\0") else _WHOLE


def _behind_flac(file: IO[bytes], size: int, head: bytes) -> _Lengths:
    """Samples that STREAMINFO promises, and those up to the end of the last frame: RFC 9639, sections 8.2 and 9.1."""
    blocks, sizes = struct.unpack(">HH", head[8:12]), int.from_bytes(head[18:26], "big")
    promised = sizes & (1 << 36) - 1
    if promised == 0:
        return _WHOLE
    file.seek(max(0, size - _NEAR))
    tail = file.read(_NEAR)
    for found in reversed(list(re.finditer(rb"\xff[\xf8\xf9]", tail))):
        end = _frame_end(tail[found.start() : found.start() + 32], blocks)
        if end is not None and end > promised and _crc(tail[found.start() :], 16, 0x8005) == 0:
            return promised, end
        if end is not None and end == promised:
            break
    return _WHOLE


def _frame_end(frame: bytes, blocks: tuple[int, int]) -> int | None:
    """The sample behind a frame of FLAC; None where this is no frame's header."""
    if len(frame) < 16:
        return None
    extra = _utf8_extra(frame[4])
    if extra is None:
        return None
    number = frame[4] & (0x7F if extra == 0 else 0x3F >> extra)
    for byte in frame[5 : 5 + extra]:
        number = number << 6 | byte & 0x3F
    at = 5 + extra
    code, rate = frame[2] >> 4, frame[2] & 15
    width = {6: 1, 7: 2}.get(code, 0)
    length = int.from_bytes(frame[at : at + width], "big") + 1 if width else _block_length(code)
    at += width + {12: 1, 13: 2, 14: 2}.get(rate, 0)
    if length is None or at >= len(frame) or _crc(frame[: at + 1], 8, 0x07) != 0:
        return None
    variable = frame[1] & 1
    return (number if variable else number * blocks[1]) + length


def _utf8_extra(first: int) -> int | None:
    """Bytes that follow the first one of a number coded as in UTF-8."""
    if first < 0x80:
        return 0
    ones = 8 - (first ^ 0xFF).bit_length()
    return ones - 1 if 2 <= ones <= 7 else None


def _block_length(code: int) -> int | None:
    if code == 1:
        return 192
    return 576 << code - 2 if 2 <= code <= 5 else 256 << code - 8 if code >= 8 else None


def _crc(content: bytes, bits: int, polynomial: int) -> int:
    """The checksum of FLAC's frames; 0 over a content that ends with its own."""
    crc, top, mask = 0, 1 << bits - 1, (1 << bits) - 1
    for byte in content:
        crc ^= byte << bits - 8
        for _ in range(8):
            crc = (crc << 1 ^ polynomial) & mask if crc & top else crc << 1
    return crc


def _avi(file: IO[bytes], size: int) -> _Lengths:
    file.seek(4)
    length = struct.unpack("<I", file.read(4))[0]
    if size - 8 < length < _STREAMED:
        return length, size - 8
    # FFmpeg takes as much memory as a list of titles says that it needs.
    for start in {0, max(0, size - _NEAR)}:
        file.seek(start)
        part = file.read(_NEAR)
        for found in re.finditer(rb"LIST(?=(....)INFO)", part, re.DOTALL):
            length = struct.unpack("<I", found[1])[0]
            follow = size - start - found.end() - 4
            if length > follow:
                return length, follow
    return _WHOLE


def _sphere(file: IO[bytes], size: int) -> _Lengths:
    """NIST SPHERE: a header of text lines, `sample_count -i 16000`, then the samples."""
    file.seek(0)
    lines = file.read(4096).decode("ascii", errors="replace").split("\n")
    fields = {line.split()[0]: line.split()[-1] for line in lines if len(line.split()) == 3}
    numbers = [fields.get(name, "1") for name in ("sample_count", "channel_count", "sample_n_bytes")]
    header = lines[1].strip() if len(lines) > 1 else ""
    if not all(number.isascii() and number.isdigit() and len(number) < 12 for number in (*numbers, header)):
        return _WHOLE
    count, channels, width = map(int, numbers)
    return count * channels * width, size - int(header)


def _ogg(file: IO[bytes], size: int) -> _Lengths:
    """The last page: https://www.rfc-editor.org/rfc/rfc3533#section-6."""
    file.seek(max(0, size - _OGG_PAGE))
    tail = file.read(_OGG_PAGE)
    at = tail.rfind(b"OggS\0")
    page = tail[at:]
    if at < 0 or len(page) < 27 or len(page) < 27 + page[26]:
        return (27, max(len(page), 0)) if at >= 0 else _WHOLE
    return 27 + page[26] + sum(page[27 : 27 + page[26]]), len(page)


def _matroska(file: IO[bytes], size: int) -> _Lengths:
    """The segment, which holds all but the first header: https://www.rfc-editor.org/rfc/rfc8794#section-4."""
    file.seek(4)
    length = _ebml_size(file)
    if length is None:
        return _WHOLE
    file.seek(length, io.SEEK_CUR)
    if file.read(4) != b"\x18\x53\x80\x67":
        return _WHOLE
    length = _ebml_size(file)
    return _WHOLE if length is None else (length, size - file.tell())


def _ebml_size(file: IO[bytes]) -> int | None:
    """A length of one to eight bytes; None where it is not known, as in a live recording."""
    first = file.read(1)
    if not first or first == b"\0":
        return None
    extra = 8 - first[0].bit_length()
    value = int.from_bytes(bytes([first[0] ^ (1 << (7 - extra))]) + file.read(extra), "big")
    return None if value == (1 << 7 * (extra + 1)) - 1 else value


def _mp4(file: IO[bytes], size: int) -> _Lengths:
    """The boxes of MP4, M4A, MOV and 3GP: ISO/IEC 14496-12, section 4.2."""
    at = 0
    for _ in range(_MAX_PARTS):
        file.seek(at)
        box = file.read(16)
        if len(box) < 8:
            break
        length = struct.unpack(">I", box[:4])[0]
        if length == 0:  # to the end of the file
            break
        if length == 1 and len(box) == 16:
            length = struct.unpack(">Q", box[8:])[0]
        if length < 8:
            break
        at += length
        if at > size:
            return at, size
    return _WHOLE


def missing_by_log(log: str) -> str | None:
    """What libsndfile noticed and did not say: `SSND : 32008 (should be 19186)`."""
    lengths = r"(?:FORM|SSND|BODY|riff|Riff size|Data Size|data)\s*+:\s*+(\d{1,18}) \(should be (\d{1,18})\)"
    for promised, found in re.findall(lengths, log):
        if int(found) < int(promised) < _STREAMED:
            return f"the header promises {promised} bytes, {found} follow"
    return "the end is missing" if "truncated file" in log else None
