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
    length = _to_data(file)
    return (length, size - file.tell()) if length is not None and length < _STREAMED else _WHOLE


def unannounced(file: IO[bytes], size: int) -> str | None:
    """What follows the samples that a WAV promises and is more of them; None: nothing that can be seen.

    What reads the file would stop where the header says, without a word. Less than what is promised may be anything
    that a program puts behind its samples.
    """
    promised, found = _behind_wav(file, size) if _is_wav(file) else _WHOLE
    if found <= 2 * promised or promised == 0:
        return None
    fix = "ffmpeg -ignore_length 1 -i IN.wav OUT.wav reads them"
    return f"{promised} bytes of audio are promised, {found} follow; {fix}"


def unfinished_wav(file: IO[bytes], size: int) -> bool:
    """Whether a WAV has samples and a header that was never finished: it says that there are none."""
    promised, found = _behind_wav(file, size) if _is_wav(file) else _WHOLE
    return found > promised == 0


def _is_wav(file: IO[bytes]) -> bool:
    file.seek(0)
    head = file.read(12)
    return head.startswith(b"RIFF") and head[8:12] == b"WAVE"


def _behind_wav(file: IO[bytes], size: int) -> _Lengths:
    """Bytes that the `data` chunk promises, and those up to the end if what follows cannot be a tag."""
    length = _to_data(file)
    start = file.tell()
    left = size - start - length if length is not None else 0
    if length is None or length >= _STREAMED or left <= _JUNK:  # of a streamed one all is read
        return _WHOLE
    file.seek(start + length)
    return _WHOLE if _is_tag(file.read(_JUNK), left) else (length, size - start)


def _to_data(file: IO[bytes]) -> int | None:
    """The length of the samples of a WAV, where the file then stands; None if it has none."""
    file.seek(12)
    for _ in range(_MAX_PARTS):
        chunk = file.read(8)
        if len(chunk) < 8:
            break
        name, length = struct.unpack("<4sI", chunk)
        if name == b"data":
            return int(length)
        file.seek(length + length % 2, io.SEEK_CUR)
    return None


def _is_tag(behind: bytes, left: int) -> bool:
    """Whether the first of `left` bytes behind the samples may be a chunk, an ID3v2 tag, a text or zeros."""
    begin = behind.lstrip(b"\0")
    name, length = begin[:4], int.from_bytes(begin[4:8], "little")
    if not begin or begin.startswith(b"ID3"):
        return True
    if name.isascii() and name.decode("ascii").isprintable() and length <= left:
        return True
    text = behind.strip(b"\0").decode("utf-8", "replace")
    return text.count("\ufffd") <= 1 and not re.search(r"[\0-\x08\x0e-\x1f]", text)  # the last letter may be cut


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
