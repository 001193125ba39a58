"""Tiny raw files in their owners' layouts, made by hand: advertisements, video chunks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

TAOBAO = {
    "raw_sample.csv": (
        "user,time_stamp,adgroup_id,pid,nonclk,clk\n"
        "900001,1494137644,63133,430548_1007,1,0\n"  # Sunday 7 May 2017, 14:14 in China
        "900002,1494172799,92241,430539_1007,0,1\n"  # the last second of that day
        "900001,1494172800,7,430548_1007,0,1\n"  # the first of Monday; nothing is known of the advertisement
        "900003,1494172800,63133,other,1,0\n"  # nothing is known of the user
    ),
    "ad_feature.csv": (
        "adgroup_id,cate_id,campaign_id,customer,brand,price\n63133,6406,83237,1,95471,170.0\n92241,6130,72781,149714,NULL,0.01\n"
    ),
    "user_profile.csv": (
        "userid,cms_segid,cms_group_id,final_gender_code,age_level,pvalue_level,shopping_level,occupation,"
        "new_user_class_level \n900001,0,5,2,5,,3,0,3\n900002,96,12,1,0,3,1,1,\n"
    ),
}

DAY = "2021-01-01T11_2021-01-02T11"

_SENT = (
    "time (ns GMT),session_id,index,expt_id,channel,video_ts,format,size,ssim_index,cwnd,in_flight,min_rtt,rtt,"
    "delivery_rate"
)
_ACKED = "time (ns GMT),session_id,index,expt_id,channel,video_ts"
BEGIN = 1_609_500_000_000_000_000
ANNA, BERT = "QW5uYQ+/nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", "QmVydAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def sent(session: str, index: int, second: float, piece: int, size: int, rate: int = 0, more: str = "") -> str:
    """Return a row of video_sent: what is measured is 10 packets, 4 in flight, 20 and 30 ms."""
    time = BEGIN + round(second * 1e9)
    return f"{time},{session},{index},7,nbc,{piece * 180180},854x480-24,{size},0.98,10,4,20000,30000,{rate}{more}\n"


def acked(session: str, index: int, second: float, piece: int, more: str = "") -> str:
    """Return a row of video_acked."""
    return f"{BEGIN + round(second * 1e9)},{session},{index},7,nbc,{piece * 180180}{more}\n"


def puffer(sent_rows: str, acked_rows: str, more: str = "", folder: str = f"{DAY}/") -> dict[str, str]:
    """Return a day's two files; ``more`` is what newer headers have at their ends."""
    return {
        f"{folder}video_sent_{DAY}.csv": f"{_SENT}{more}\n{sent_rows}",
        f"{folder}video_acked_{DAY}.csv": f"{_ACKED}{more}\n{acked_rows}",
    }


PUFFER = puffer(
    sent(ANNA, 0, 0, 1, 500_000)
    + sent(BERT, 3, 0, 1, 100_000)
    + sent(ANNA, 0, 2, 2, 250_000, 125_000)
    + sent(ANNA, 0, 4, 3, 1_000_000)
    + sent(BERT, 3, 2, 2, 125_000)
    + sent(ANNA, 1, 8, 1, 500_000)
    + sent(ANNA, 0, 9, 9, 1),
    acked(ANNA, 0, 0.5, 1)
    + acked(BERT, 3, 0.125, 1)
    + acked(ANNA, 0, 4.5, 2)  # after the third piece is sent
    + acked(ANNA, 0, 6, 3)
    + acked(BERT, 3, 3, 2)
    + acked(ANNA, 1, 9, 1)
    + acked(ANNA, 0, 0.25, 8),  # never sent
)


def write(folder: Path, content: Mapping[str, str | bytes]) -> Path:
    """Write files by name under ``folder``, and return it."""
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return folder
