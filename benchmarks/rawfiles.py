"""Raw files in the layouts of owners, and a plain table: generated, so that imports of any size can be measured."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv

from fedscale import seeds

CHUNK: Final = 200_000
"""Rows that are generated together."""

ADS: Final = 800_000
"""Advertisements; the owner has 846,811."""

WAYS: Final = 2_000
"""Different ways of taxis that are generated."""

DIFFERENT: Final = 50
"""Different photographs and recordings; files of the same content are decoded each for itself."""

WORDS: Final = 100_000
"""Different words, of which the k-th is used in proportion to 1 / k."""

LENGTH: Final = 200
"""Words of a post; the owner's have 200 in the mean."""

FEATURES: Final = ("x0", "x1", "x2", "x3")
"""Columns of an input in a plain table."""


def taobao(raw: Path, rows: int, clients: int) -> None:
    """Write impressions of advertisements, and what is known of as many as the owner's files have."""
    rng = seeds.rng(1, "taobao")
    ads = np.arange(ADS)
    columns = {name: rng.integers(1, 200_000, ADS) for name in ("cate_id", "campaign_id", "customer", "brand")}
    _write(raw / "ad_feature.csv", {"adgroup_id": ads, **columns, "price": rng.integers(1, 99_999, ADS) / 100})
    known = {name: rng.integers(1, 3, clients) for name in ("cms_segid", "cms_group_id", "final_gender_code")}
    levels = ("age_level", "pvalue_level", "shopping_level", "occupation", "new_user_class_level ")
    known |= {name: rng.integers(1, 2, clients) for name in levels}
    _write(raw / "user_profile.csv", {"userid": np.arange(clients), **known})
    with (raw / "raw_sample.csv").open("wb") as file:
        for start in range(0, rows, CHUNK):
            size = min(CHUNK, rows - start)
            clicks = rng.integers(0, 2, size)
            impressions = {
                "user": rng.integers(0, clients, size),
                "time_stamp": rng.integers(1_494_000_000, 1_494_700_000, size),
                "adgroup_id": rng.integers(0, ADS, size),
                "pid": np.where(clicks, "430548_1007", "430539_1007"),
                "nonclk": 1 - clicks,
                "clk": clicks,
            }
            options = pyarrow.csv.WriteOptions(include_header=start == 0, quoting_style="none")
            pyarrow.csv.write_csv(pa.table(impressions), file, options)


def taxi(raw: Path, rows: int, clients: int) -> None:
    """Write trips of 5 to 80 points, as Porto's taxis make them (47 in the mean)."""
    rng = seeds.rng(1, "taxi")
    steps = [np.cumsum(rng.normal(0, 0.001, (int(size), 2)), axis=0) for size in rng.integers(5, 90, WAYS)]
    ways = [str(np.round(step + np.array([-8.62, 41.16]), 6).tolist()).replace(" ", "") for step in steps]
    names = "TRIP_ID CALL_TYPE ORIGIN_CALL ORIGIN_STAND TAXI_ID TIMESTAMP DAY_TYPE MISSING_DATA POLYLINE"
    with (raw / "train.csv").open("w") as file:
        file.write(",".join(f'"{name}"' for name in names.split()) + "\n")
        for start in range(0, rows, CHUNK):
            size = min(CHUNK, rows - start)
            drawn = zip(rng.integers(0, clients, size), rng.integers(0, WAYS, size), strict=True)
            file.writelines(
                f'"T{start}","C","","","{taxi}","1372636858","A","False","{ways[way]}"\n' for taxi, way in drawn
            )


def plain(raw: Path, rows: int, clients: int) -> None:
    """Write a table of one's own: a name, four numbers and a label in every row."""
    rng = seeds.rng(1, "plain")
    with (raw / "rows.csv").open("wb") as file:
        for start in range(0, rows, CHUNK):
            size = min(CHUNK, rows - start)
            users = pa.array(rng.integers(0, clients, size)).cast(pa.string())
            columns = {name: np.round(rng.normal(size=size), 4) for name in FEATURES}
            table = pa.table({"user": users, **columns, "label": rng.integers(0, 10, size)})
            options = pyarrow.csv.WriteOptions(include_header=start == 0, quoting_style="none")
            pyarrow.csv.write_csv(table, file, options)


def photographs(raw: Path, rows: int, clients: int) -> None:
    """Write JPEGs of 800 × 600 pixels, as iNaturalist has them, and whose they are."""
    from PIL import Image

    rng = seeds.rng(1, "photographs")
    contents = []
    for _ in range(DIFFERENT):
        coarse = Image.fromarray(rng.integers(0, 256, (75, 100, 3), dtype=np.uint8)).resize((800, 600))
        buffer = io.BytesIO()
        coarse.save(buffer, "JPEG", quality=90)
        contents.append(buffer.getvalue())
    names = [f"train_val2019/Birds/{row % 100}/{row:08d}.jpg" for row in range(rows)]
    for row, name in enumerate(names):
        _put(raw / name, contents[row % DIFFERENT])
    holders = rng.integers(0, clients, rows).tolist()
    rights = zip(names, holders, strict=True)
    whole = {
        "images": [
            {"id": row, "file_name": name, "rights_holder": f"P {who}"} for row, (name, who) in enumerate(rights)
        ],
        "categories": [{"id": label, "name": f"species {label}"} for label in range(100)],
        "annotations": [{"id": row, "image_id": row, "category_id": row % 100} for row in range(rows)],
    }
    (raw / "train2019.json").write_text(json.dumps(whole))


def recordings(raw: Path, rows: int, clients: int) -> None:
    """Write recordings of a second, 16 bits at 16 kHz, in folders of words, as the Speech Commands are."""
    import soundfile

    rng = seeds.rng(1, "recordings")
    contents = []
    for _ in range(DIFFERENT):
        pitch, buffer = 100 + 900 * rng.random(), io.BytesIO()
        wave = np.sin(np.arange(16_000) * pitch / 2_500) + rng.normal(0, 0.05, 16_000)
        soundfile.write(buffer, 0.4 * wave, 16_000, format="WAV", subtype="PCM_16")
        contents.append(buffer.getvalue())
    words = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
    for row in range(rows):
        said, speaker = divmod(row, clients)
        name = f"{words[said % len(words)]}/{speaker:08x}_nohash_{said // len(words)}.wav"
        _put(raw / name, contents[row % DIFFERENT])


def posts(raw: Path, rows: int, clients: int) -> None:
    """Write posts of words whose frequencies are Zipf's, in the table of the Blog Authorship Corpus."""
    rng = seeds.rng(1, "posts")
    letters = np.array(list("etaoinshrdlu"))
    words = np.array(["".join(letters[np.array(_digits(word, len(letters)))]) for word in range(WORDS)])
    chances = np.cumsum(1 / np.arange(1, WORDS + 1))
    with (raw / "blogtext.csv").open("w") as file:
        file.write("id,gender,age,topic,sign,date,text\n")
        for row in range(rows):
            said = words[np.searchsorted(chances, rng.random(LENGTH) * chances[-1])]
            file.write(f'{row % clients},male,20,Student,Leo,"14,May,2004","{" ".join(said)}"\n')


def _digits(number: int, base: int) -> list[int]:
    digits = [number % base]
    while number := number // base:
        digits.append(number % base)
    return digits


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _write(path: Path, columns: dict[str, npt.NDArray[Any]]) -> None:
    pyarrow.csv.write_csv(pa.table(columns), path, pyarrow.csv.WriteOptions(quoting_style="none"))


GENERATORS: Final[dict[str, Callable[[Path, int, int], None]]] = {
    "taobao": taobao,
    "taxi": taxi,
    "own CSV": plain,
    "inaturalist": photographs,
    "speech_commands": recordings,
    "blog": posts,
}
"""What writes so many raw rows of so many clients, by what reads them."""
