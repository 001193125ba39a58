"""Reddit: the next word in authors' comments."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf
from fedscale.section import Component


def reddit() -> Job:
    """Next word in comments, ALBERT at random weights, an author is a client; import months of comments first.

    K, batch and cohort are Appendix A's. Its learning rate of 5e-5 is one for weights that are trained already, which
    cannot be had everywhere; at random weights ten thousand times as much is sound for plain SGD.
    """
    return Job(
        name="reddit",
        data=DataConf(name="reddit"),
        model=Component(name="albert"),
        local=LocalConf(steps=20, batch_size=32, lr=0.5),
        rounds=RoundsConf(participants=100, count=1000),
        evaluate=EvaluateConf(every=20, max_clients=1_000),
    )
