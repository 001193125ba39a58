"""``taobao``: whether an advertisement that was shown is clicked; a user is a client.

Alibaba's Ali_Display_Ad_Click (Tianchi, data set 56): eight days of advertisements on Taobao. What is known of the
advertisement and of the user stands in files of its own; both are kept in memory as columns (0.85 and 1.06 million
rows, below 100 MB), and the impressions pass by as a stream.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from fedscale.data.card import Card, Figures, RawFile
from fedscale.data.columns import to_arrow
from fedscale.data.importing import Importer, Scanned
from fedscale.data.lookup import Lookup, buckets, sizes
from fedscale.data.mapping import no_raw_files
from fedscale.data.notes import Notes
from fedscale.data.rawcsv import Dialect, Rows, Types, read_csv
from fedscale.data.rawfile import found
from fedscale.section import Component

Buckets = Annotated[int, Field(ge=3, le=10_000_000)]

AD: Final = {"cate_id": None, "campaign_id": None, "customer": None, "brand": None}
"""Fields of an advertisement that are numbers without bound."""

PRICES: Final = 40
"""Categories of prices: half powers of two."""

PROFILE: Final = {
    "cms_segid": 98,
    "cms_group_id": 14,
    "final_gender_code": 4,
    "age_level": 8,
    "pvalue_level": 5,
    "shopping_level": 5,
    "occupation": 3,
    "new_user_class_level": 6,
}
"""Fields of a user, and one more than the largest number that they may hold, plus one: 0 stands for not known."""

PLACES: Final = ("430539_1007", "430548_1007")
"""The two places on a page that the set speaks of (``pid``)."""

FIELDS: Final[dict[str, int | None]] = {
    "adgroup_id": None,
    **AD,
    "price": PRICES,
    "pid": len(PLACES) + 2,
    "hour": 25,
    "weekday": 8,
    **PROFILE,
}
"""The fields of an ``x`` and how many categories they have; ``None`` for those that are hashed."""

EAST: Final = 8 * 3600
"""Seconds by which the data's clock is ahead of UTC."""

_IMPRESSIONS: Final[Types] = {
    "user": pa.int64(),
    "time_stamp": pa.int64(),
    "adgroup_id": pa.int64(),
    "pid": pa.large_string(),
    "nonclk": pa.int64(),
    "clk": pa.int64(),
}
_DIALECT: Final = Dialect(rename={"new_user_class_level ": "new_user_class_level"}, missing=("", "NULL"))


def _card(size: int) -> Card:
    return Card(
        name="taobao",
        title="Taobao advertisements",
        description="whether an advertisement shown to a user is clicked",
        task="click",
        metric="auc",
        model=Component(name="wide_deep"),
        modality="tensor",
        sample_shape=(len(FIELDS),),
        field_sizes=sizes(FIELDS, size),
        client_is="user (user, in user_profile.csv userid)",
        licence="the terms of Tianchi and of the data set's page; no licence was seen with the files",
        terms="sign in at https://tianchi.aliyun.com/dataset/56, accept the terms, fetch and unpack the archives",
        source="Alibaba, Tianchi data set 56: Ali_Display_Ad_Click",
        files=(
            RawFile(name="raw_sample.csv"),
            RawFile(name="ad_feature.csv"),
            RawFile(name="user_profile.csv"),
        ),
        layout=(
            "raw_sample.csv: user, time_stamp (s), adgroup_id, pid, nonclk, clk (26,557,961 impressions); "
            "ad_feature.csv: adgroup_id, cate_id, campaign_id, customer, brand (a number or NULL), price; "
            "user_profile.csv: userid, cms_segid, cms_group_id, final_gender_code, age_level, pvalue_level, "
            "shopping_level, occupation, new_user_class_level (with a blank behind its name), empty where not known"
        ),
        preprocessing=(
            f"numbers without bound are hashed to {size - 1:,} buckets a field (option `buckets`); prices are cut at "
            "half powers of two; hour and day of the week are of UTC+8; 0 stands for what is not known: an "
            "advertisement or a user that is not in its file, an empty value. behavior_log.csv is not read"
        ),
        sample=f"x: int32 ({len(FIELDS)},), the fields {', '.join(FIELDS)}; y: int8, 1 for a click",
        paper=Figures(clients=182_806, samples=20_900_000),
        citation="Alibaba: Ali_Display_Ad_Click. Tianchi, 2018, https://tianchi.aliyun.com/dataset/56",
        verification="real",
        verified=(
            "5 to 6 rows of each file as printed in public documents (headers as in the owner's files); "
            "more rows made by hand in that layout; the full files were not seen"
        ),
    )


@dataclass(frozen=True)
class Taobao(Importer):
    """Impressions by user, from ``raw_sample.csv`` and what the other two files say of advertisements and users.

    Attributes:
        buckets: categories of a hashed field, the unknown one among them.
    """

    buckets: Buckets = 10_000

    @property
    def card(self) -> Card:
        """Return the card."""
        return _card(self.buckets)

    def scan(self, raw: Path, notes: Notes) -> Iterator[Scanned]:
        """Yield users and the fields of what they were shown."""
        paths = _files(raw, "raw_sample")
        if not paths:
            raise no_raw_files(raw, "taobao", ["raw_sample.csv"])
        ads = _advertisements(_files(raw, "ad_feature"), self.buckets, notes)
        users = _profiles(_files(raw, "user_profile"), notes)
        unknown = np.zeros(2, np.int64)
        for path in paths:
            for block in read_csv(path, _IMPRESSIONS, notes):
                notes.read += len(block.table)
                ad, user = (block.table[name].to_numpy() for name in ("adgroup_id", "user"))
                (of_ad, no_ad), (of_user, no_user) = ads.find(ad), users.find(user)
                unknown += no_ad, no_user
                x = np.hstack([buckets(ad, self.buckets)[:, None], of_ad, _moments(block), of_user], dtype=np.int32)
                rows = pa.table({"x": to_arrow(x), "y": to_arrow(_clicks(block))})
                yield Scanned(block.table["user"].cast(pa.string()).combine_chunks(), rows)
        for count, what in zip(unknown.tolist(), ("advertisement", "user"), strict=True):
            if count:
                notes.tell(f"{count:,} impressions with nothing known of the {what}: its fields are 0")


def _files(raw: Path, name: str) -> list[Path]:
    return found(raw, f"{name}.csv", f"*/{name}.csv")


def _advertisements(paths: list[Path], size: int, notes: Notes) -> Lookup:
    """Return the fields of advertisements by number."""
    columns = {"adgroup_id": pa.int64(), **dict.fromkeys(AD, pa.int64()), "price": pa.float64()}
    keys, rows = [np.zeros(0, np.int64)], [np.zeros((0, len(AD) + 1), np.int32)]
    for path in paths:
        for block in read_csv(path, columns, notes, _DIALECT, optional=[*AD, "price"]):
            hashed = [_known(block.table[name], lambda values: buckets(values, size)) for name in AD]
            keys.append(block.table["adgroup_id"].to_numpy())
            rows.append(np.stack([*hashed, _prices(block)], axis=1))
    return Lookup(np.concatenate(keys), np.concatenate(rows))


def _profiles(paths: list[Path], notes: Notes) -> Lookup:
    """Return the fields of users by number."""
    columns = {"userid": pa.int64(), **dict.fromkeys(PROFILE, pa.int64())}
    keys, rows = [np.zeros(0, np.int64)], [np.zeros((0, len(PROFILE)), np.int8)]
    for path in paths:
        for block in read_csv(path, columns, notes, _DIALECT, optional=list(PROFILE)):
            keys.append(block.table["userid"].to_numpy())
            rows.append(np.stack([_level(block, name, size) for name, size in PROFILE.items()], axis=1))
    return Lookup(np.concatenate(keys), np.concatenate(rows))


def _known(values: pa.ChunkedArray, category: Any) -> npt.NDArray[Any]:
    """Return the ``category`` of values, 0 for those that are missing."""
    numbers = pc.fill_null(values, 0).to_numpy()
    return np.where(pc.is_valid(values).to_numpy(), category(numbers), 0)


def _prices(block: Rows) -> npt.NDArray[Any]:
    values = block.table["price"]
    block.refuse("price", pc.less(values, 0), "a price of 0 or more")
    block.refuse("price", pc.invert(pc.is_finite(values)), "a finite price")
    return _known(values, lambda price: np.minimum(2 * np.log2(1 + price) + 1, PRICES - 1).astype(np.int32))


def _level(block: Rows, name: str, size: int) -> npt.NDArray[Any]:
    values = block.table[name]
    outside = pc.or_(pc.less(values, 0), pc.greater(values, size - 2))
    block.refuse(name, outside, f"a whole number from 0 to {size - 2}, or empty")
    return _known(values, lambda level: level + 1).astype(np.int8)


def _moments(block: Rows) -> npt.NDArray[Any]:
    """Return where and when advertisements were shown: place, hour and day of the week (Monday is 1)."""
    places = pc.index_in(block.table["pid"], pa.array(PLACES, pa.large_string()))
    place = pc.add(pc.fill_null(places, len(PLACES)), 1).to_numpy()
    times = block.table["time_stamp"]
    block.refuse("time_stamp", pc.or_(pc.less(times, 0), pc.greater(times, 1 << 40)), "a time in seconds")
    local = times.to_numpy() + EAST
    return np.stack([place, local // 3600 % 24 + 1, (local // 86_400 + 3) % 7 + 1], axis=1)


def _clicks(block: Rows) -> npt.NDArray[np.int8]:
    clicks, others = block.table["clk"], block.table["nonclk"]
    block.refuse("clk", pc.invert(pc.is_in(clicks, pa.array([0, 1]))), "0 or 1")
    block.refuse("nonclk", pc.not_equal(pc.add_checked(clicks, others), 1), "1 without a click and 0 with one")
    y: npt.NDArray[np.int8] = clicks.to_numpy().astype(np.int8)
    return y
