"""The card of a dataset: what it is, what is asked of it, and where it comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from fedscale.section import Component

COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "classification": {"x": "input", "y": "label"},
    "multilabel": {"x": "input", "labels": "tokens"},
    "next_token": {"tokens": "tokens"},
    "detection": {"x": "input", "boxes": "boxes"},
    "translation": {"source": "tokens", "target": "tokens"},
    "span": {"tokens": "tokens", "span": "span"},
    "transcription": {"x": "input", "tokens": "tokens"},
    "synthesis": {"x": "input", "tokens": "tokens"},
    "click": {"x": "fields", "y": "label"},
    "regression": {"x": "input", "y": "target"},
}
"""The columns that a task reads, and what kind of values is in each; see `fedscale.data.values`."""

TaskName = Literal[
    "classification",
    "multilabel",
    "next_token",
    "detection",
    "translation",
    "span",
    "transcription",
    "synthesis",
    "click",
    "regression",
]


class Record(BaseModel):
    """A frozen part of a card."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RawFile(Record):
    """One file as its owner publishes it."""

    name: str
    """Its path in the directory of raw files."""
    url: str | None = None
    """Where it can be downloaded directly; ``None`` where its owner asks for a visit first."""
    bytes: Annotated[int, Field(ge=0)] | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    md5: Annotated[str, Field(pattern="^[0-9a-f]{32}$")] | None = None


class Figures(Record):
    """How many clients and samples a dataset has."""

    clients: int
    samples: int


class Card(Record):
    """A dataset's typed record; it is stored with the data.

    Which columns there are follows from the ``task`` (`COLUMNS`):

    ==================  =================================================================================
    classification      ``x`` (samples of ``sample_shape``), ``y`` (labels below ``classes``)
    multilabel          ``x``, and ``labels`` (rows of label numbers below ``classes``, any number of them)
    next_token          ``tokens`` (rows of token numbers below ``classes``, 0 for padding)
    detection           ``x``, and ``boxes`` (rows of five numbers a box: label, left, top, right, bottom)
    translation         ``source`` and ``target``, rows of tokens of one vocabulary
    span                ``tokens`` (question, separator, text), ``span`` (first and last token of the answer)
    transcription       ``x`` (a recording), ``tokens`` (what is said in it)
    synthesis           ``x`` (a recording), ``tokens`` (what it says)
    click               ``x`` (category numbers, one per field, below ``field_sizes``), ``y`` (0 or 1)
    regression          ``x``, and ``y`` (finite numbers of ``target_shape``)
    ==================  =================================================================================
    """

    name: str
    title: str
    description: str
    task: TaskName
    metric: str = "accuracy"
    """What the dataset is measured by, one of those that its task computes."""
    model: Component
    """The default model."""
    modality: Literal["tensor", "text", "image", "audio", "video"]
    classes: Annotated[int, Field(gt=0)] | None = None
    """Number of labels, or of tokens with padding among them."""
    sample_shape: tuple[int, ...] | None = None
    """Shape of one ``x``; ``None`` where rows vary in length."""
    target_shape: tuple[int, ...] = ()
    """Shape of one ``y`` of a regression."""
    field_sizes: tuple[int, ...] = ()
    """How many categories each field of a click has, the unknown one (0) among them."""
    x_scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """A model's input is ``x * x_scale``."""
    decode: Component | None = None
    """How the encoded bytes of an ``x`` become ``sample_shape`` numbers; ``None`` where numbers are stored."""
    vocabulary: tuple[str, ...] | None = None
    """What each token stands for, of an ``x`` where labels are asked for; the first, padding, is the empty string."""
    label_names: tuple[str, ...] | None = None
    """What each label stands for."""
    without: tuple[str, ...] = ()
    """Columns that the raw files lacked (media that were not there): statistics can be had, training cannot."""
    client_is: str
    """Which field of the source is the client."""
    licence: str
    terms: str | None = None
    """What must be accepted by hand before the owner hands the files out."""
    source: str
    """Who publishes it, and where."""
    files: tuple[RawFile, ...] = ()
    layout: str = ""
    """The raw files' layout."""
    preprocessing: str = ""
    split_rule: str = "by client"
    sample: str = ""
    """What a sample looks like: shapes, types, units."""
    paper: Figures | None = None
    """What the paper's Table 5 states."""
    counted: Figures | None = None
    """What the importer found in the whole set, where it was at hand."""
    citation: str
    verification: Literal["real", "hand-made", "none"] = "none"
    """Against what the importer was checked: real raw files, hand-made ones in the documented layout, or nothing."""
    verified: str
    """What was checked, and how."""

    @model_validator(mode="after")
    def _complete(self) -> Card:
        if self.classes is None and self.task not in ("regression", "click"):
            raise ValueError(f"a {self.task} set needs classes")
        if self.task == "click" and not self.field_sizes:
            raise ValueError("a click set needs field_sizes")
        if "x" in COLUMNS[self.task] and self.sample_shape is None:
            raise ValueError(f"a {self.task} set needs sample_shape")
        of_classes = None if self.task in ("classification", "multilabel") else self.vocabulary
        for kind, names in (("vocabulary", of_classes), ("label_names", self.label_names)):
            if names is not None and len(names) != self.classes:
                raise ValueError(f"{len(names)} words in the {kind}, but classes is {self.classes}")
        if unknown := set(self.without) - set(COLUMNS[self.task]):
            raise ValueError(f"a {self.task} set has no columns {sorted(unknown)} to be without")
        return self

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that the store has: those that the task reads, but for those that it is ``without``."""
        return tuple(name for name in COLUMNS[self.task] if name not in self.without)

    @property
    def label_column(self) -> str | None:
        """The column that holds each sample's one label, if the task has such."""
        return "y" if self.task in ("classification", "click") else None
