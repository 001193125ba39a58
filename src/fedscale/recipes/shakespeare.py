"""Next-character prediction on Shakespeare's plays; a role is a client."""

from __future__ import annotations

from fedscale.dataset import DataConf
from fedscale.job import EvaluateConf, Job, LocalConf, RoundsConf
from fedscale.section import Component


def demo() -> Job:
    """The main demonstration: Shakespeare's roles on realistic phones, about 3 minutes on 2 cores."""
    return shakespeare().model_copy(
        update={
            "name": "demo",
            "rounds": RoundsConf(participants=50, count=130),
            "evaluate": EvaluateConf(every=10),
        }
    )


def shakespeare() -> Job:
    """Next character in Shakespeare's plays, a context MLP, 200 rounds of 50 roles."""
    return Job(
        name="shakespeare",
        data=DataConf(name="shakespeare", min_samples=3),
        model=Component(name="context_mlp", context=8, embedding=16, hidden=192),
        local=LocalConf(steps=10, batch_size=16, lr=1.0),
        rounds=RoundsConf(participants=50, count=200),
        evaluate=EvaluateConf(every=10),
    )
