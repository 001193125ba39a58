"""What surrounds the sound in an MP3 file: tags, which may hold names of people.

An ID3v2 tag stands first (``ID3``, two bytes of version, one of flags, the length in four bytes of seven bits each;
id3.org, "ID3 tag version 2.4.0"), an ID3v1 tag of 128 bytes beginning with ``TAG`` last, an APEv2 tag before that (its
32 bytes of footer begin with ``APETAGEX`` and give its length).
"""

from __future__ import annotations

from typing import Final

ID3V1_BYTES: Final = 128
APE_BYTES: Final = 32
"""Of an APE tag's header and of its footer."""

_APE_HAS_HEADER: Final = 1 << 31


def is_mp3(content: bytes) -> bool:
    """Say whether a file's bytes are MPEG audio, with or without tags: its frames begin with eleven bits that are 1."""
    sound = _behind_id3v2(content)
    return len(sound) > 1 and sound[0] == 0xFF and sound[1] & 0xE0 == 0xE0


def without_tags(content: bytes) -> bytes:
    """Return the frames of an MP3 file alone."""
    return _before_ape(_before_id3v1(_behind_id3v2(content)))


def _behind_id3v2(content: bytes) -> bytes:
    while content[:3] == b"ID3" and len(content) >= 10:
        footer = 10 if content[5] & 0x10 else 0
        length = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(reversed(content[6:10])))
        content = content[10 + length + footer :]
    return content


def _before_id3v1(content: bytes) -> bytes:
    return content[:-ID3V1_BYTES] if content[-ID3V1_BYTES : -ID3V1_BYTES + 3] == b"TAG" else content


def _before_ape(content: bytes) -> bytes:
    footer = content[-APE_BYTES:]
    if footer[:8] != b"APETAGEX":
        return content
    length, flags = (int.from_bytes(footer[place : place + 4], "little") for place in (12, 20))
    header = APE_BYTES if flags & _APE_HAS_HEADER else 0
    return content[: max(0, len(content) - length - header)]
