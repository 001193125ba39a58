"""From owners' files to a trained model: an import on the command line, two rounds of the recipe, its metric."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import waymo_raw
from tabular_raw import acked, puffer, sent, write
from whole_runs import CLIENTS, SPLIT, imported_and_trained

from fedscale.recipes import recipe
from fedscale.report.log import read_log
from fedscale.simulation.progress import Silent
from fedscale.simulation.run import simulate


def taobao(folder: Path) -> Path:
    rows = [
        f"{user},{1494137644 + ad * 3600},{ad},430548_1007,{1 - ad % 2},{ad % 2}"
        for user in range(8)
        for ad in range(6)
    ]
    ads = [f"{ad},{ad},{ad},{ad},NULL,{ad}.5" for ad in range(6)]
    users = [f"{user},0,1,1,1,,1,0,1" for user in range(8)]
    headers = {
        "raw_sample.csv": ("user,time_stamp,adgroup_id,pid,nonclk,clk", rows),
        "ad_feature.csv": ("adgroup_id,cate_id,campaign_id,customer,brand,price", ads),
        "user_profile.csv": (
            "userid,cms_segid,cms_group_id,final_gender_code,age_level,pvalue_level,shopping_level,occupation,"
            "new_user_class_level ",
            users,
        ),
    }
    return write(folder, {name: "\n".join([head, *lines]) + "\n" for name, (head, lines) in headers.items()})


def puffer_day(folder: Path) -> Path:
    pieces = [(f"session{client}=", piece) for client in range(CLIENTS) for piece in range(1, 7)]
    rows = "".join(sent(name, 0, 2.0 * piece, piece, 100_000 * piece) for name, piece in pieces)
    return write(folder, puffer(rows, "".join(acked(name, 0, 2.0 * piece + 1, piece) for name, piece in pieces)))


def waymo(folder: Path) -> Path:
    scenes = [
        waymo_raw.Scenario(f"scene{client}", [waymo_raw.still(client, 2), waymo_raw.still(0, 3, kind=2)])
        for client in range(CLIENTS)
    ]
    folder.mkdir()
    (folder / "training.tfrecord-00000-of-00001").write_bytes(
        b"".join(waymo_raw.record(waymo_raw.scenario(scene)) for scene in scenes)
    )
    return folder


def foxgo(folder: Path) -> Path:
    moves = ";B[pd];W[dp];B[pp];W[dd];B[fq];W[cn];B[jp];W[qf]"
    names = [(f"ann{game}", f"bob{game}") for game in range(CLIENTS // 2)]
    return write(folder, {f"{black}.sgf": f"(;SZ[19]PB[{black}]PW[{white}]{moves})" for black, white in names})


def taxi(folder: Path) -> Path:
    names = "TRIP_ID CALL_TYPE ORIGIN_CALL ORIGIN_STAND TAXI_ID TIMESTAMP DAY_TYPE MISSING_DATA POLYLINE"
    way = [[-8.62 + step / 1000, 41.15 + step / 500] for step in range(12)]
    rows = [f'"T","C","","","{client}","{hour * 3600}","A","False","{way}"' for client in range(8) for hour in range(4)]
    return write(folder, {"train.csv": "\n".join([",".join(f'"{name}"' for name in names.split()), *rows]) + "\n"})


def movielens(folder: Path) -> Path:
    rows = "".join(f"{viewer}\t{film}\t{film % 5 + 1}\t0\n" for viewer in range(1, 9) for film in range(1, 7))
    return write(folder, {"u.data": rows})


SETS: dict[str, tuple[Any, str]] = {
    "taobao": (taobao, "auc"),
    "puffer": (puffer_day, "mae"),
    "waymo": (waymo, "ade"),
    "foxgo": (foxgo, "accuracy"),
    "taxi": (taxi, "haversine"),
    "movielens": (movielens, "rmse"),
}


@pytest.mark.parametrize("name", SETS)
def test_from_raw_files_to_a_metric(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fixture, metric = SETS[name]
    imported_and_trained(name, fixture(tmp_path / "raw"), metric, tmp_path, monkeypatch)


def test_recipes_speak_of_their_datasets() -> None:
    for name in SETS:
        assert recipe(name).data.name == recipe(name).name == name
        json.dumps(recipe(name).model_dump(mode="json"))


def test_a_taxi_learns_to_be_near(tmp_path: Path) -> None:
    """Destinations are all one place: after a few rounds the error is a small part of the first one."""
    from fedscale.data.importers.taxi import Taxi
    from fedscale.data.notes import Notes

    Taxi(raw=taxi(tmp_path / "raw")).write(tmp_path / "store", Notes())
    changes = [f"data.name={tmp_path / 'store'}", "rounds.count=20", "rounds.participants=4", "availability=off"]
    job = recipe("taxi").with_settings([*changes, "evaluate.every=20", SPLIT])
    run = simulate(job, tmp_path / "run", workers=1, observer=Silent())
    (last,) = [record for record in read_log(run.log) if record["kind"] == "evaluate"]
    assert last["metrics"]["haversine"] < 0.5  # km; the middle of the city is 1.6 km away
    assert np.isfinite(last["metrics"]["haversine"])
