"""The section of a job on its dataset: which, whose samples they are taken to be, and which clients take part."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from fedscale.section import Component, Positive, Section, Share


class SplitConf(Section):
    """How clients are divided (§3.1): shares of *clients*, and optionally a part held out within each client."""

    train: Share = 0.8
    validation: Share = 0.1
    test: Share = 0.1
    within_client: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of every training client's samples that is held out of its training, for per-client accuracy."""

    @model_validator(mode="after")
    def _whole(self) -> SplitConf:
        total = self.train + self.validation + self.test
        if not 0.999 <= total <= 1.001:
            raise ValueError(f"the shares train + validation + test add up to {total:g}; they must add up to 1")
        return self


class DataConf(Component):
    """A dataset of the catalogue by name (its options beside it), and how its clients are split."""

    partition: Component = Component(name="natural")
    """Who has which samples: ``natural`` is as they were collected; see `fedscale.data.partitions`."""
    split: SplitConf = SplitConf()
    min_samples: Positive = 1
    """Clients with fewer samples take no part."""
    max_samples: Positive | None = None
    """Clients with more samples take no part."""
    max_clients: Positive | None = None
    """Keep only so many clients, drawn by the job's seed."""

    @field_validator("name")
    @classmethod
    def _absolute_store(cls, name: str) -> str:
        """A name with a slash in it is the path of a store."""
        return str(Path(name).expanduser().absolute()) if "/" in name else name

    @model_validator(mode="after")
    def _some_size(self) -> DataConf:
        if self.max_samples is not None and self.max_samples < self.min_samples:
            raise ValueError(f"max_samples is {self.max_samples}, below min_samples, which is {self.min_samples}")
        return self
