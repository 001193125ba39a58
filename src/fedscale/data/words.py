"""Texts as rows of words: dividing them, choosing a vocabulary in which no private name is, and numbering.

A text is put into lower case and divided into words (letters and digits, with apostrophes inside) and single marks of
punctuation. Addresses of pages and of people and names of users are replaced by tokens of their own before anything is
counted. All steps work on whole Arrow columns.

A word's count is the number of clients that use it, and those of one client alone stay unknown: what only one person
writes (names, numbers, passwords) is in no vocabulary, and a model can say no word that is not in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fedscale import limits
from fedscale.data.ragged import IntArray, Ragged

RESERVED: Final = ("", "<unknown>", "<end>", "<separator>", "<url>", "<email>", "<user>")
"""The first tokens of every vocabulary: padding, words that are not in it, the end of a text, and so on."""

UNKNOWN: Final = RESERVED.index("<unknown>")
END: Final = RESERVED.index("<end>")
SEPARATOR: Final = RESERVED.index("<separator>")

LONGEST: Final = 40
"""Most characters of a word that may be in a vocabulary."""

_PLACEHOLDERS: Final = (
    (r"(?:[a-z][a-z0-9+]*://|\bwww\.)\S+", "\ue000", "<url>"),
    (r"[^\s<>()\[\],;:]+@[\w-]+(?:\.[\w-]+)+", "\ue001", "<email>"),
    (r"(?:\B@[\w-]+|(?:\B/)?\bu/[\w-]+)", "\ue002", "<user>"),
)
"""What is replaced by a token: a pattern, a character for private use that stands for it meanwhile, the token.

Such characters cannot come from the text itself: there they became blanks before.
"""
_TOKENS: Final = {character: token for _, character, token in _PLACEHOLDERS}
_WRITTEN: Final = tuple(
    {token: character for character, token in _TOKENS.items()}.get(token, token) for token in RESERVED
)
_SUSPECT: Final = r"://|www\.|@|u/"
_BLANK: Final = r"[\pC\pZ]+"
_APOSTROPHE: Final = "\u02bc"  # a letter in Unicode's eyes, so that it stays in its word
_APOSTROPHES: Final = (r"([\p{L}\p{M}])['’]([\p{L}\p{M}])", rf"\1{_APOSTROPHE}\2")
_MARKS: Final = (r"([^\p{L}\p{M}\p{N} \x{e000}-\x{e002}]|[\x{e000}-\x{e002}])", r" \1 ")


def divide(texts: pa.Array) -> pa.Array:
    """Return the words of each of ``texts`` (large strings): lists of strings, empty where there is none.

    What stands for an address or a name is a character for private use; `number` knows which token it is.
    """
    low = pc.replace_substring_regex(pc.utf8_lower(texts), _BLANK, " ")
    low = _placed(low)
    low = pc.replace_substring_regex(low, *_APOSTROPHES)
    low = pc.replace_substring_regex(low, *_MARKS)
    low = pc.replace_substring(low, _APOSTROPHE, "'")
    lists = pc.ascii_split_whitespace(pc.ascii_trim_whitespace(low))
    return _without_blanks(lists)


def _placed(low: pa.Array) -> pa.Array:
    """Put characters in the place of addresses and names, in those few texts that may have them."""
    suspect = pc.match_substring_regex(low, _SUSPECT)
    if not pc.any(suspect).as_py():
        return low
    chosen = low.filter(suspect)
    for pattern, character, _ in _PLACEHOLDERS:
        chosen = pc.replace_substring_regex(chosen, pattern, f" {character} ")
    return pc.replace_with_mask(low, suspect, chosen)


def _without_blanks(lists: pa.Array) -> pa.Array:
    """Leave out the empty word that an empty text is divided into."""
    words = lists.flatten()
    real = pc.not_equal(words, "").to_numpy(zero_copy_only=False)
    if real.all():
        return lists
    ends = np.r_[0, np.cumsum(real)][offsets(lists)]
    return pa.LargeListArray.from_arrays(pa.array(ends, pa.int64()), words.filter(pa.array(real)))


def offsets(lists: pa.Array) -> IntArray:
    """Return where each of Arrow's lists begins in their values, and where the last one ends."""
    places: IntArray = np.asarray(lists.offsets).astype(np.int64)
    places -= places[0]
    return places


def count(words: pa.Array, clients: IntArray) -> pa.Table:
    """Return which words there are (``word``) and how many clients use each (``clients``).

    Args:
        words: of each text, as `divide` returns them.
        clients: of each text, numbers of its clients; those of one call are whole clients.
    """
    encoded = words.flatten().dictionary_encode()
    codes = np.asarray(encoded.indices).astype(np.int64)
    users = np.repeat(clients, np.diff(offsets(words)))
    different = max(len(encoded.dictionary), 1)
    used = np.unique(users * different + codes) % different
    return pa.table({"word": encoded.dictionary, "clients": np.bincount(used, minlength=len(encoded.dictionary))})


def vocabulary(counts: Iterable[pa.Table], most: int) -> tuple[str, ...]:
    """Return `RESERVED` and the ``most`` words that most clients use, two clients at least; ties go by the alphabet.

    Args:
        counts: what `count` returned for all clients, some at a time.
        most: words that are kept.

    Beyond ``limits.COUNTED_WORDS`` different words, the rarer half is forgotten, and counted from nothing if it comes
    again: memory is bounded, and what is frequent stays.
    """
    total = _sum([])
    pending: list[pa.Table] = []
    for table in counts:
        pending.append(table)
        if sum(map(len, pending)) > limits.COUNTED_WORDS // 4:
            total, pending = _pruned(_sum([total, *pending])), []
    total = _sum([total, *pending])
    allowed = pc.and_(pc.greater_equal(total["clients"], 2), pc.less_equal(pc.utf8_length(total["word"]), LONGEST))
    allowed = pc.and_(allowed, pc.invert(pc.is_in(total["word"], pa.array(list(_TOKENS), pa.large_string()))))
    chosen = total.filter(allowed).sort_by([("clients", "descending"), ("word", "ascending")])
    return (*RESERVED, *chosen["word"][:most].to_pylist())


def _sum(tables: Sequence[pa.Table]) -> pa.Table:
    nothing = pa.table({"word": pa.array([], pa.large_string()), "clients": pa.array([], pa.int64())})
    whole = pa.concat_tables([nothing, *tables]).group_by("word", use_threads=False).aggregate([("clients", "sum")])
    return whole.select(["word", "clients_sum"]).rename_columns(["word", "clients"])


def _pruned(total: pa.Table) -> pa.Table:
    if len(total) <= limits.COUNTED_WORDS:
        return total
    counts = total["clients"].to_numpy()
    least = np.partition(counts, len(counts) // 2)[len(counts) // 2]
    return total.filter(pa.array(counts > least))


def number(words: pa.Array, known: Sequence[str]) -> Ragged:
    """Return the numbers of each text's words, `UNKNOWN` for those that are not ``known``."""
    found = pc.index_in(words.flatten(), pa.array([*_WRITTEN, *known[len(_WRITTEN) :]], pa.large_string()))
    numbers = pc.fill_null(found, UNKNOWN).to_numpy().astype(smallest(len(known)))
    return Ragged(numbers, offsets(words))


def smallest(tokens: int) -> np.dtype[Any]:
    """Return the type in which numbers below ``tokens`` are kept: 16 bits if they fit, else 32."""
    return np.dtype(np.uint16 if tokens <= 1 << 16 else np.uint32)


def windows(texts: Ragged, clients: IntArray, length: int) -> tuple[Ragged, IntArray]:
    """Cut what each client wrote into rows of up to ``length`` + 1 tokens.

    A client's texts are put end to end, each with `END` behind it, and each row begins with the last token of the one
    before: every token but the client's first is predicted exactly once.

    Args:
        texts: none of them empty.
        clients: the number of each text's client, neighbouring texts of one client.
        length: predictions of a row at most.

    Returns:
        the rows, and how many of them each client has.
    """
    ends = texts.offsets[1:] - texts.offsets[0]
    stream = np.insert(texts.values[texts.offsets[0] : texts.offsets[-1]], ends, END)
    last = np.flatnonzero(np.r_[clients[1:] != clients[:-1], True])
    stops = ends[last] + last + 1
    begins = np.r_[0, stops[:-1]]
    counts = -(-(stops - begins - 1) // length)
    first = np.repeat(np.cumsum(counts) - counts, counts)
    starts = np.repeat(begins, counts) + length * (np.arange(counts.sum()) - first)
    lengths = np.minimum(length + 1, np.repeat(stops, counts) - starts)
    return pieces(stream, starts, lengths), counts


def pieces(values: npt.NDArray[Any], starts: IntArray, lengths: IntArray) -> Ragged:
    """Return rows of ``values`` that begin at ``starts`` and may overlap."""
    ends = np.r_[0, np.cumsum(lengths)]
    places = np.repeat(starts - ends[:-1], lengths) + np.arange(ends[-1])
    return Ragged(values[places], ends)


def bags(texts: Ragged, length: int) -> npt.NDArray[Any]:
    """Return the first ``length`` tokens of each text, (texts, length), 0 behind shorter ones."""
    result = np.zeros((len(texts), length), texts.values.dtype)
    lengths = np.minimum(texts.lengths, length)
    result[np.arange(length) < lengths[:, None]] = pieces(texts.values, texts.offsets[:-1], lengths).values
    return result


def strings(values: Sequence[str]) -> pa.Array:
    """Return texts as an Arrow column; single halves of surrogate pairs become question marks."""
    try:
        return pa.array(values, pa.large_string())
    except UnicodeEncodeError:
        return pa.array([value.encode(errors="replace").decode() for value in values], pa.large_string())
