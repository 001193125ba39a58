"""Tiny raw files in their owners' layouts, made by hand: advertisements, video chunks."""

from __future__ import annotations

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


def write(folder: Path, content: dict[str, str]) -> Path:
    """Write files by name under ``folder``, and return it."""
    for name, text in content.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder
