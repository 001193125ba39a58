"""The worked case's tables, and a reader of logs."""

import json

DEVICES = """client_id,ms_per_sample,down_kbps,up_kbps
A,10,1000,1000
B,50,500,500
C,20,2000,2000
"""

SLOTS = """client_id,start,end,period
A,0,20,1000
B,0,18,500
C,0,7,300
"""


def lines(path, kind=None):
    """Return a log's records, of one kind if asked."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [record for record in records if kind in (None, record["kind"])]
