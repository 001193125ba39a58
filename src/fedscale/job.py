"""The job: one frozen, validated, typed description of an experiment.

A job is written in YAML or built in Python; both give the same object and the same digest. What only concerns the
machine (number of workers, output folder) is not part of a job, since it must not change a result.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from fedscale import limits
from fedscale.attack import AttackConf
from fedscale.dataset import DataConf
from fedscale.errors import JobError
from fedscale.evaluation import TestingConf
from fedscale.jobfile import apply_setting, explain, read_yaml, resolve_paths
from fedscale.pacing import PacingConf
from fedscale.private import PrivateConf
from fedscale.section import Component, File, NonNegative, Positive, PositiveFloat, Section, Share
from fedscale.stale import StaleConf


class DevicesConf(Section):
    """Where device speeds and bandwidths come from (§3.2)."""

    source: str = "builtin"
    """``builtin`` (calibrated generator), ``csv``, ``fedscale`` (the published pickle) or ``none`` (switched off)."""
    file: File | None = None
    assign: Literal["random", "in_order"] = "random"
    """Which row a client gets: drawn by the job's seed, or row i for client i (repeating when rows run out)."""

    @model_validator(mode="before")
    @classmethod
    def _bare_source(cls, value: Any) -> Any:
        values = dict(value) if isinstance(value, Mapping) else {"source": value}
        if values.get("source") in (False, "off"):  # YAML reads a bare `off` as False
            values["source"] = "none"
        return values if isinstance(value, Mapping | str | bool) else value


class AvailabilityConf(DevicesConf):
    """Where the slots come from in which a client may take part (§3.2); ``none`` means always online."""


class InitialConf(Section):
    """Weights that the model begins with, instead of random ones; a bare path is short for ``weights`` alone."""

    weights: File
    """A safetensors file, such as the ``model.safetensors`` of a run."""
    fresh: tuple[str, ...] = ()
    """Patterns of tensors that begin at random all the same, such as ``output.*`` for a head with other classes."""

    @model_validator(mode="before")
    @classmethod
    def _bare_path(cls, value: Any) -> Any:
        return {"weights": value} if isinstance(value, str | Path) else value


class LocalConf(Section):
    """Training on a client. Defaults are Appendix A's for vision."""

    steps: Positive | None = 20
    """Local steps K; each step takes min(batch_size, client's samples) samples."""
    epochs: Positive | None = None
    """Passes over the client's samples, instead of ``steps``."""
    batch_size: Positive = 32
    lr: PositiveFloat = 0.04
    lr_decay: Annotated[float, Field(gt=0, le=1)] = 0.98
    """Factor by which the rate is multiplied every ``lr_decay_rounds`` rounds."""
    lr_decay_rounds: Positive = 10
    min_lr: NonNegative = 0.0
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    weight_decay: NonNegative = 0.0
    objective: Component = Component(name="plain")
    """What is minimised beside the loss: ``plain``, or ``fedprox`` with ``mu``."""
    private: PrivateConf | None = None
    """Clip gradients of single samples, and add noise, where given."""

    @model_validator(mode="before")
    @classmethod
    def _epochs_replace_steps(cls, value: Any) -> Any:
        if isinstance(value, Mapping) and value.get("epochs") is not None and "steps" not in value:
            return {**value, "steps": None}
        return value

    @model_validator(mode="after")
    def _one_measure(self) -> LocalConf:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("give either steps or epochs, not both and not neither")
        return self

    def lr_at(self, version: int) -> float:
        """Return the learning rate for training on ``version`` (Appendix A: × 0.98 every 10 rounds)."""
        return max(self.lr * self.lr_decay ** (version // self.lr_decay_rounds), self.min_lr)


class RoundsConf(Section):
    """When a round starts, ends and counts (§5)."""

    participants: Positive = 100
    """Updates N that make a round."""
    over_commitment: Annotated[float, Field(ge=1, le=100)] = 1.3
    """ceil(over_commitment × N) clients are selected, the first N finishers count."""
    deadline: PositiveFloat | None = None
    """Virtual seconds after which a round ends with what it has."""
    min_share: Share = 0.0
    """Share of N that must complete (at least one client), else the round is abandoned."""
    count: Positive = 100
    """Rounds to commit."""
    weighting: Literal["samples", "uniform"] = "samples"
    """How updates are weighted in the mean: by the client's training samples, or all alike."""
    max_norm: PositiveFloat | None = None
    """Updates of a larger Euclidean norm are rejected, as those that are not finite always are."""
    max_hours: PositiveFloat | None = None
    """Virtual hours after which no further round starts; asynchronous runs end there."""
    stale: StaleConf | None = None
    """Stragglers go on, and their results count in a later round; by default they are lost."""


class AsyncConf(Section):
    """Asynchronous rounds: `RoundsConf.participants` results make a version, whatever version they started from.

    ``rounds.over_commitment`` says nothing then; ``rounds.deadline`` and ``rounds.min_share`` cannot be given.
    """

    concurrency: Positive = 100
    """Clients that train at once."""
    max_staleness: Annotated[int, Field(ge=0)] = 20
    """Versions that a result may be behind when it arrives; older ones are late."""
    staleness: Component = Component(name="polynomial")
    """How much less old results count: ``constant``, ``polynomial`` or ``hinge``."""
    refill: Positive | None = None
    """Free places that are filled together; by default a hundredth of ``concurrency``, at least 1."""
    apply: Literal["deltas", "models"] = "deltas"
    """Add the mean change to the model (FedBuff), or draw it towards the clients' models (FedAsync)."""
    damping: bool = True
    """Whether old results also make the step smaller: Σ w s Δ / Σ w, as in FedBuff; else Σ w s Δ / Σ w s."""
    mixing: Annotated[float, Field(gt=0, le=1)] = 1.0
    """How far the model is drawn: α of FedAsync. For ``models`` only."""

    @model_validator(mode="after")
    def _consistent(self) -> AsyncConf:
        if self.places > self.concurrency:
            raise ValueError(f"refill is {self.refill}, more than the concurrency of {self.concurrency}")
        if self.mixing != 1 and self.apply == "deltas":
            raise ValueError("mixing is for apply: models; the step of deltas is that of the server (server.lr)")
        return self

    @property
    def places(self) -> int:
        """Free places that are filled together."""
        return self.refill or max(1, self.concurrency // 100)


class CompressionConf(Section):
    """How vectors are made smaller for their way; see `fedscale.learn.codecs`."""

    up: Component = Component(name="none")
    """Updates."""
    down: Component = Component(name="none")
    """The model that clients begin with."""


class CostConf(Section):
    """How a task is priced (§4.2)."""

    compute_factor: PositiveFloat = 3.0
    """Training cost of one sample in forward passes: forward plus backward, taken as twice forward."""
    payload_bytes: Positive | None = None
    """Bytes each way, instead of those of the model's serialized payload (to price a larger model than is trained)."""


class EvaluateConf(Section):
    """When and on whom the global model is tested."""

    every: Positive = 5
    """Rounds between evaluations; the last version is always evaluated."""
    split: Literal["test", "validation", "held_out", "train"] = "test"
    """Test clients, validation clients, the samples held out within training clients, or those that they train on."""
    max_clients: Positive | None = None
    """Evaluate on so many clients at most, drawn once by the job's seed."""
    deviation: Annotated[float, Field(gt=0, le=1)] | None = None
    """Evaluate on as many as keep the mean of the clients' samples within so much of their range (Oort, §5.1)."""
    confidence: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Probability with which ``deviation`` holds."""

    @model_validator(mode="after")
    def _one_limit(self) -> EvaluateConf:
        if (self.deviation is None) != (self.confidence is None):
            raise ValueError("deviation and confidence belong together: give both or neither")
        if self.deviation is not None and self.max_clients is not None:
            raise ValueError("give either max_clients, or deviation and confidence")
        return self


class Job(Section):
    """One experiment, whole. ``Job(data="digits")`` is enough: everything else has a default."""

    name: Annotated[str, Field(pattern=r"^\w[\w .+-]*$", max_length=100)] = "job"
    """Of the run's directory too, so it holds letters, digits, spaces and ``. + - _`` only."""
    seed: int = 1
    data: DataConf
    model: Component | None = None
    """``None`` takes the dataset's own."""
    initial: InitialConf | None = None
    """``None`` draws the initial weights by the seed."""
    adapters: Component | None = None
    """What is trained instead of the model's own parameters; see `fedscale.learn.adapters`."""
    local: LocalConf = LocalConf()
    algorithm: Component = Component(name="fedavg")
    """What clients and server do beside local steps and the mean; see `fedscale.learn.algorithms`."""
    server: Component = Component(name="fedavg")
    """The server optimizer: what it makes of the mean update."""
    aggregation: Component = Component(name="mean")
    """How one update is made of many; see `fedscale.learn.rules`."""
    privacy: Component = Component(name="none")
    """What keeps single clients from showing in the model; see `fedscale.learn.privacy`."""
    secure_aggregation: Component = Component(name="none")
    """What hides single updates from the server; see `fedscale.learn.secure`."""
    compression: CompressionConf = CompressionConf()
    attack: AttackConf = AttackConf()
    selector: Component = Component(name="uniform")
    rounds: RoundsConf = RoundsConf()
    asynchronous: AsyncConf | None = None
    """Rounds are synchronous unless this is given."""
    pacing: PacingConf | None = None
    """Every client does the same unless this is given."""
    testing: TestingConf | None = None
    """The job trains unless this is given; ``{}`` tests the initial model."""
    devices: DevicesConf = DevicesConf()
    availability: AvailabilityConf = AvailabilityConf()
    cost: CostConf = CostConf()
    evaluate: EvaluateConf = EvaluateConf()
    backend: str = "torch"
    """The library that computes models: ``torch``, ``jax``, or one that a plugin registers."""
    engine: Literal["auto", "plain", "vectorised"] = "auto"
    """One client after another, or blocks of clients at once where the model allows it; the log says which, and why."""
    device: Literal["cpu", "cuda", "mps"] = "cpu"
    """Where models are trained and tested."""
    executor: Component = Component(name="pool")
    """Where the job runs: in processes of this machine, or on a cluster. No part of what it is: not in its digest."""
    dry_run: bool = False
    """Select, price and log as ever, but train and test nothing: the model stays as it is."""
    checkpoint_every: Positive = 5
    """Attempts at a round between checkpoints."""
    plugins: tuple[File, ...] = ()
    """Python files with the user's own classes."""

    @model_validator(mode="after")
    def _rounds_of_one_kind(self) -> Job:
        rounds = self.rounds
        if self.asynchronous and (rounds.deadline is not None or rounds.min_share or rounds.stale):
            raise ValueError("rounds.deadline, min_share and stale do not go with asynchronous rounds: leave them out")
        if self.testing is not None and (self.asynchronous or rounds.stale or self.pacing):
            raise ValueError("asynchronous, rounds.stale and pacing are about training, not testing: set them to null")
        return self

    @classmethod
    def parse(cls, values: Mapping[str, Any], source: str = "job") -> Job:
        """Build a job from plain values.

        Raises:
            JobError: naming the key, the value and, for an unknown key, the nearest known ones.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise JobError("\n".join(f"{source}: {explain(cls, detail)}" for detail in error.errors())) from None

    @classmethod
    def load(cls, path: str | Path, settings: Sequence[str] = ()) -> Job:
        """Read a job from a YAML file and apply ``section.key=value`` settings; file paths in it are relative to it."""
        path = Path(path)
        try:
            size = path.stat().st_size
            text = path.read_text(encoding="utf-8") if size <= limits.JOB_FILE_BYTES else None
        except (OSError, UnicodeDecodeError) as error:
            raise JobError(f"{path}: cannot be read: {error}") from None
        if text is None:
            raise JobError(f"{path}: {size} bytes, more than the {limits.JOB_FILE_BYTES} a job may have")
        values = read_yaml(text, str(path))
        resolve_paths(values, path.parent.absolute())
        for setting in settings:
            apply_setting(values, setting)
        return cls.parse(values, str(path))

    def with_settings(self, settings: Sequence[str]) -> Job:
        """Return this job with ``section.key=value`` settings applied; values are read as YAML."""
        values = self.model_dump(mode="json")
        if "fraction" not in self.attack.model_fields_set:
            del values["attack"]["fraction"]  # to be asked for where the settings name an attack
        for setting in settings:
            apply_setting(values, setting)
        return Job.parse(values, "--set")

    def on(self, executor: Component | str) -> Job:
        """Return this job to be run elsewhere; with the options that it has for that place, where none are given."""
        chosen = Component.model_validate(executor)
        options = self.executor.options if chosen.name == self.executor.name else {}
        return self.model_copy(update={"executor": Component(name=chosen.name, **options | chosen.options)})

    @property
    def files(self) -> dict[str, Path]:
        """The user's files that the job names (weights, traces and plugins), by the keys that name them."""
        tables = {"devices.file": self.devices.file, "availability.file": self.availability.file}
        tables["initial.weights"] = None if self.initial is None else self.initial.weights
        plugins = {f"plugins.{number}": path for number, path in enumerate(self.plugins)}
        return {key: path for key, path in tables.items() if path is not None} | plugins

    def facts(self) -> dict[str, Any]:
        """Return the job as plain values, with files by their names alone: the same on every machine.

        Where it runs is left out.
        """
        values = self.model_dump(mode="json")
        del values["executor"]
        for part, key in (
            (values, "asynchronous"),
            (values, "pacing"),
            (values, "initial"),
            (values, "adapters"),
            (values["local"], "private"),
            (values["rounds"], "stale"),
            (values, "testing"),
            (values["evaluate"], "deviation"),
            (values["evaluate"], "confidence"),
            (values["data"], "max_samples"),
        ):
            if part[key] is None:  # so that a job without it has the digest that it always had
                del part[key]
        for part, key, usual in ((values, "secure_aggregation", "none"), (values["data"], "partition", "natural")):
            if part[key] == {"name": usual}:  # the same
                del part[key]
        for section in ("devices", "availability"):
            if values[section]["file"] is not None:
                values[section]["file"] = Path(values[section]["file"]).name
        if self.initial is not None:
            values["initial"]["weights"] = self.initial.weights.name
        values["plugins"] = [path.name for path in self.plugins]
        values["data"]["name"] = Path(self.data.name).name
        return values

    @property
    def digest(self) -> str:
        """32 hex digits over the `facts`: they differ whenever the experiment does, the content of files aside."""
        text = json.dumps(self.facts(), sort_keys=True, separators=(",", ":"))
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def to_yaml(self) -> str:
        """Return the whole job, defaults included, as YAML that ``load`` reads back."""
        # Other characters than ASCII are escaped: some that YAML takes for line breaks do not come back otherwise.
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False)
