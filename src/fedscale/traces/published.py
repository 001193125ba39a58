"""Facts of FedScale's published traces (§3.2), which the built-in population is calibrated on and compared with.

Sources: figures printed about the two whole files (``client_device_capacity``, 500,000 devices;
``client_behave_trace``, 107,749 users, in descending order of online time), quantiles of a public sample of 714
devices, and the first 100 users; hours of the day from FLASH (WWW 2021, https://github.com/PKU-Chengxu/FLASH), whose
users are those that the behaviour file was derived from.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from fedscale.traces.arrays import FloatArray

SHARES: Final = (0, 0.01, 0.05, 0.10, 0.25, 0.50, 0.60, 0.64, 0.655, 0.70, 0.75, 0.80, 0.90, 0.95, 0.99, 1)
"""Where the two rows of quantiles below are taken; the first and last values are those of the whole file."""

MS_PER_SAMPLE: Final = (15, 15, 19, 21, 24, 41, 64, 100, 133, 137, 148, 154, 174, 189, 193, 199)
"""Inference milliseconds per sample. There are two modes: 64 % up to 100 ms, 1.5 % to 133 ms, the rest above."""

KBPS: Final = (
    *(1016.88, 1076, 1381, 1810, 2843, 6386, 9062, 9983),
    *(10241, 12283, 14246, 17747, 31689, 49313, 93131, 204056.75),
)
"""Bandwidth in kbit/s; the published file has one figure for both directions."""

MEAN_MS_PER_SAMPLE: Final = 78.02
MEAN_KBPS: Final = 13_736.14

LOG_KBPS: Final = (8.85, 1.09)
"""Mean and standard deviation of the natural logarithm of bandwidth."""

RANK_CORRELATION: Final = 0.034
"""Spearman's, of compute and bandwidth: they are independent."""

USERS: Final = 107_749
SLOTS_PER_USER: Final = 20.81
ONLINE_SECONDS: Final = (1, 79_687.61, 972_262)
"""Least, mean and most online seconds of a user."""

ONLINE_SECONDS_AT_RANK: Final = {10: 545_235, 100: 376_351, 3834: 211_625}
"""Online seconds of the 10th, 100th and 3,834th most available of the 107,749 users."""

PERIOD_SECONDS: Final = (86_400, 393_232, 1_296_000)
"""Least, mean and greatest ``finish_time``: the period of a user's slots."""

ONLINE_SHARE: Final = 0.2026
"""Mean share of a period that a user is online."""

TOP_USERS: Final = 100
"""The figures below are of the most available users only, so far above the population's."""

TOP_SHARES: Final = (0.05, 0.25, 0.50, 0.75, 0.95)
TOP_SLOT_SECONDS: Final = (7, 32, 342, 2_698, 30_270)
TOP_GAP_SECONDS: Final = (0, 1, 9, 649, 10_395)
TOP_SLOTS_PER_WEEK: Final = (2.8, 16.6, 40.5, 84.6, 172)

HOURLY_PERCENT: Final = (
    *(9.0, 9.8, 10.8, 11.6, 12.0, 11.9, 11.4, 10.1, 8.8, 8.1, 7.3, 6.5),
    *(6.3, 5.7, 5.8, 5.9, 6.5, 7.0, 7.7, 6.6, 5.9, 6.1, 7.1, 8.4),
)  # fmt: skip
"""Percent of FLASH's users that are idle, charging and on WiFi at each hour of the trace's day."""


def day_curve() -> FloatArray:
    """Return online users by hour, relative to the day's mean: float64 (24,)."""
    percent = np.array(HOURLY_PERCENT)
    return np.asarray(percent / percent.mean(), np.float64)
