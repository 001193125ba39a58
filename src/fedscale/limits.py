"""Every limit in one place: sizes refused, queues bounded, waits ended.

A refusal names the limit and the value it met.
"""

from __future__ import annotations

from typing import Final

JOB_FILE_BYTES: Final = 1 << 20
"""Largest job file that is read."""

JOB_VALUES: Final = 1_000_000
"""Most values that one option of a job may be made of (YAML's aliases make many out of few)."""

JOB_DEPTH: Final = 20
"""Deepest nesting of lists and mappings in an option of a job (YAML's aliases can refer to themselves)."""

LOG_LINE_BYTES: Final = 1 << 28
"""Longest line of a log that is read (an evaluation of millions of clients is one line)."""

WEIGHTS_FILE_BYTES: Final = 64 << 30
"""Largest file of initial weights that is read."""

TRACE_FILE_BYTES: Final = 4 << 30
"""Largest trace file that is read."""

TRACE_ROWS: Final = 50_000_000
"""Most devices or availability users that a table may hold."""

TRACE_WHOLE_BYTES: Final = 512 << 20
"""Largest trace file that is read whole before it is understood (pickle, JSON)."""

TRACE_PERIOD_SECONDS: Final = 3_155_760_000.0
"""Longest period of a user's slots: 100 years, so that sums of times stay far from the end of int64."""

ONLINE_PERIODS: Final = 256
"""Most distinct periods of slots for which who is online is kept from one question to the next."""

BUILTIN_ROWS: Final = 100_000
"""Most distinct devices and users of the built-in population; larger ones share rows."""

DEVICE_MS_PER_SAMPLE: Final = (1e-6, 1e7)
"""Fastest and slowest inference of one sample that a device may have, in milliseconds."""

DEVICE_KBPS: Final = (1e-3, 1e9)
"""Slowest and fastest link that a device may have, in kbit/s."""

DOWNLOAD_BYTES: Final = 1 << 30
"""Largest file that ``fedscale data get`` fetches for the built-in sets."""

ARCHIVE_MEMBER_BYTES: Final = 1 << 30
"""Largest member that is read from an archive (guards against decompression bombs)."""

DOWNLOAD_SECONDS: Final = 900
"""Longest that one download may take."""

RAW_FILE_BYTES: Final = 256 << 30
"""Largest raw file that is downloaded where its size is not known beforehand."""

DOWNLOAD_ATTEMPTS: Final = 5
"""Attempts at a download that may fail one after another."""

PROGRESS_BYTES: Final = 1 << 20
"""What an attempt must gain, so that those that failed before it do not count."""

PAUSE_SECONDS: Final = (1.0, 60.0)
"""The pause after a failed attempt, which doubles with every further one, and the longest."""

STALL_SECONDS: Final = 30.0
"""Longest that a server may take to connect, to answer, and to send the next byte."""

REDIRECTS: Final = 5
"""Most redirections that lead to a file."""

ASKED_BYTES: Final = 1_000_000_000
"""A download of more is asked about first, on a terminal."""

UNPACKED_BYTES: Final = 1 << 40
"""Most bytes that an archive may unpack to."""

UNPACKED_MEMBERS: Final = 10_000_000
"""Most members that an archive may have."""

UNPACKED_RATIO: Final = 200
"""Most bytes that an archive may unpack to, per byte of its own ..."""

UNPACKED_FREE_BYTES: Final = 64 << 20
"""... unless they are no more than this."""

ARCHIVE_HEADER_BYTES: Final = 1 << 20
"""Longest extended header of a member of a tar archive (attributes, long names)."""

ARCHIVE_DIRECTORY_BYTES: Final = 256 << 20
"""Longest directory of a zip archive."""

ARCHIVE_NAME_BYTES: Final = 1_024
"""Longest name of an archive's member, with its folders."""

ARCHIVE_NAME_DEPTH: Final = 64
"""Most folders within one another in an archive."""

REPORTED_NUMBERS: Final = 4_096
"""Numbers that one client may report of a test or of its data."""

POOLED_NUMBERS: Final = 4_194_304
"""Places of a client's counts of which only the total is kept (scores by class, overlap and threshold)."""

TASK_SECONDS: Final = 900.0
"""Longest that a worker may spend on one task (real time) before it is taken for hung."""

SPOOL_BYTES: Final = 256 << 30
"""Largest file that keeps the single updates of a round for rules that need every one of them."""

RULE_PIECE_NUMBERS: Final = 1 << 20
"""Numbers of a round's updates that an aggregation rule looks at together, unless one coordinate has more."""

FOOLSGOLD_BYTES: Final = 256 << 20
"""Histories of clients that FoolsGold keeps; beyond, it forgets those who were away longest."""

STATES_SPARE_BYTES: Final = 64 << 20
"""States of clients out of date that are left in their file, even if they are most of it."""

WORKER_START_SECONDS: Final = 300.0
"""Longest that a worker may take to load its model and data."""

CONNECT_SECONDS: Final = 10.0
"""Longest that a cluster may take to accept a connection."""

NODE_SECONDS: Final = 60.0
"""Longest wait for a node of a cluster to tell which task a worker died of."""

TASK_DEATHS: Final = 3
"""Workers that may die on one task before the task is given up as failed."""

ABANDONED_IN_A_ROW: Final = 100
"""Attempts abandoned one after another before a run stops as stalled."""

CHECKPOINTS_KEPT: Final = 2
"""Newest checkpoints that a run directory keeps."""

CHECKPOINT_HEADER_BYTES: Final = 64 << 20
"""Largest header of a checkpoint that is read."""

TESTING_PERF_BYTES: Final = 64 << 20
"""Largest file of test results of the original that is read."""

CHECK_FINDINGS: Final = 1_000
"""Most mistakes in a log that ``fedscale check`` names one by one."""

RECORD_BATCH_BYTES: Final = 16 << 20
"""Samples that are gathered into one record batch of a store; it bounds the memory of writing one."""

PARTITION_CELLS: Final = 1 << 25
"""Most clients × labels of a partition by Dirichlet distributions (8 bytes each, in a few tables)."""

GATHER_BYTES: Final = 64 << 20
"""Rows of raw files that are kept in memory while they are gathered by client, before they go to temporary files."""

GROUP_BYTES: Final = 16 << 20
"""Raw rows of neighbouring clients that are turned into columns together."""

DECODED_BYTES: Final = 256 << 20
"""Largest dataset, decoded, whose images or recordings a process keeps decoded."""

IMAGE_PIXELS: Final = 100_000_000
"""Most pixels of an image that is decoded."""

IMAGE_FILE_BYTES: Final = 256 << 20
"""Largest file of an image that is read."""

RECORD_BYTES: Final = 256 << 20
"""Largest record of a TFRecord file that is read."""

RECORDING_SAMPLES: Final = 100_000_000
"""Most samples, of all channels together, of a recording that is decoded."""

VIDEO_FRAMES: Final = 1_000_000
"""Most frames of a video from which some are taken."""

MEDIA_FILE_BYTES: Final = 1 << 30
"""Largest recording that is read."""

ARRAY_FILE_BYTES: Final = 1 << 30
"""Largest file of one array that is read."""

RAW_LINE_BYTES: Final = 64 << 20
"""Longest line of a raw text file that is read."""

SURVEY_PAIRS: Final = 100_000
"""Pairs of clients whose labels are compared for statistics, unless more are asked for."""

COUNTED_WORDS: Final = 4_000_000
"""Different words of a text set that are counted at the same time."""

ANNOTATION_BYTES: Final = 16 << 20
"""Largest file with the boxes of one image, or with the transcript of one recording, that is read."""

SCANNED_ROWS: Final = 20_000
"""Rows of raw text files that are handed on together."""

SYNTHETIC_CLIENTS: Final = 50_000_000
"""Most clients that a synthetic dataset may have."""

CODEC_ELEMENT_BYTES: Final = 16
"""Most bytes per element that a codec of unknown size may make; more is not inflated."""

CODEC_EXTRA_BYTES: Final = 1 << 16
"""Bytes that a codec of unknown size may make in addition."""
