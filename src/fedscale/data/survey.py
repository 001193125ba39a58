"""What a federated dataset is like, client by client: sizes, labels, inputs (§3.1, Figure 3)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fedscale import limits
from fedscale.data.card import COLUMNS, Card
from fedscale.data.census import QUANTILES
from fedscale.data.divergence import FloatArray, Tallies, distances, joined, pairs_of
from fedscale.data.features import feature_column, feature_of
from fedscale.data.federated import Block, FederatedDataset
from fedscale.data.ragged import IntArray, Ragged
from fedscale.data.values import BOX


@dataclass(frozen=True)
class Survey:
    """Figures of every client, and of pairs of clients.

    Attributes:
        name: of the dataset.
        counts: samples of each client.
        entropy: of each client's labels, in bits; ``None`` if the task has nothing like labels.
        distance: Jensen-Shannon distances of pairs of clients; ``None`` likewise.
        all_pairs: whether these are all pairs, and not some drawn at random.
        feature_mean: mean of each client's samples' features (`fedscale.data.features`); ``None`` if there are none.
        feature_sd: their standard deviation.
    """

    name: str
    counts: IntArray
    entropy: FloatArray | None
    distance: FloatArray | None
    all_pairs: bool
    feature_mean: FloatArray | None
    feature_sd: FloatArray | None

    @property
    def quantities(self) -> dict[str, FloatArray]:
        """What there is a distribution of, by name."""
        found = {
            "samples per client": self.counts.astype(np.float64),
            "label distance (JS)": self.distance,
            "label entropy, bits": self.entropy,
            "feature mean": self.feature_mean,
            "feature sd": self.feature_sd,
        }
        known = {name: values[np.isfinite(values)] for name, values in found.items() if values is not None}
        return {name: values for name, values in known.items() if len(values)}

    def error(self, quantity: str, of: str) -> float:
        """Return the standard error of a quantity's ``mean`` or ``median``: 0 for what was not sampled."""
        if quantity != "label distance (JS)" or self.all_pairs:
            return 0.0
        values = self.quantities[quantity]
        return float(values.std() / math.sqrt(len(values))) if of == "mean" else median_error(values)

    def summary(self) -> dict[str, dict[str, float]]:
        """Return quantiles (values that occur), the mean, and the standard errors, by quantity."""
        return {name: self._figures(name, values) for name, values in self.quantities.items()}

    def _figures(self, name: str, values: FloatArray) -> dict[str, float]:
        quantiles = np.quantile(values, list(QUANTILES.values()), method="inverted_cdf")
        errors = {f"{of}_error": self.error(name, of) for of in ("mean", "median")}
        return dict(zip(QUANTILES, quantiles.tolist(), strict=True)) | {"mean": float(values.mean())} | errors


def median_error(values: FloatArray) -> float:
    """Return the standard error of the median of a random sample: half of what lies between n/2 ∓ √n/2 in order.

    For n independent values, the number of those below the true median has the standard deviation √n / 2.
    """
    count = len(values)
    ranks = np.clip(np.rint([(count - math.sqrt(count)) / 2, (count + math.sqrt(count)) / 2 - 1]), 0, count - 1)
    low, high = np.partition(values, ranks.astype(np.int64))[ranks.astype(np.int64)]
    return float(high - low) / 2


def survey(
    dataset: FederatedDataset, name: str | None = None, *, pairs: int = limits.SURVEY_PAIRS, seed: int = 1
) -> Survey:
    """Look at every sample once, block by block, and return what clients are like.

    Labels are those of the task; of texts, their tokens; of detection, the boxes' labels.

    Args:
        dataset: a store, or a view of one.
        name: to show it by; by default the card's.
        pairs: of clients that are compared; drawn by ``seed`` if there are more.
        seed: of that draw.
    """
    one, other = pairs_of(len(dataset), pairs, seed)
    compared = np.zeros(len(dataset), dtype=bool)
    compared[one] = compared[other] = True
    labelled, column = label_source(dataset.card), feature_column(dataset.card)
    kept, entropies, features = [], [], []
    for block in dataset.blocks():
        if labelled is not None:
            tallies = _tally(dataset.card, labelled, block)
            entropies.append(tallies.entropies)
            kept.append(tallies.take(np.flatnonzero(compared[block.first : block.first + len(block.counts)])))
        if column is not None:
            features.append(_moments(block, feature_of(block.columns[column])))
    number = np.cumsum(compared) - 1
    distance = distances(joined(kept), number[one], number[other]) if kept else None
    mean, sd = (np.concatenate(part) for part in zip(*features, strict=True)) if features else (None, None)
    return Survey(
        name or dataset.card.name,
        dataset.counts,
        np.concatenate(entropies) if entropies else None,
        distance,
        len(dataset) * (len(dataset) - 1) // 2 <= pairs,
        mean,
        sd,
    )


def label_source(card: Card) -> str | None:
    """Return the column whose values are counted as labels: labels, boxes, or else the (last) tokens."""
    kinds = {name: COLUMNS[card.task][name] for name in card.columns}
    found = [name for name, kind in kinds.items() if kind in ("label", "boxes", "tokens")]
    return found[-1] if found else None


def _tally(card: Card, name: str, block: Block) -> Tallies:
    column, owners = block.columns[name], np.repeat(np.arange(len(block.counts)), block.counts)
    if not isinstance(column, Ragged):
        return Tallies.of(owners, np.asarray(column), len(block.counts), card.classes or 2)
    width = BOX if COLUMNS[card.task][name] == "boxes" else 1
    labels = column.values[column.offsets[0] : column.offsets[-1]][::width].astype(np.int64)
    return Tallies.of(np.repeat(owners, column.lengths // width), labels, len(block.counts), card.classes or 2)


def _moments(block: Block, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return mean and standard deviation of each client's values."""
    starts = np.cumsum(block.counts) - block.counts
    mean = np.add.reduceat(values, starts) / block.counts
    squares = np.add.reduceat((values - np.repeat(mean, block.counts)) ** 2, starts)
    return mean, np.sqrt(squares / block.counts)
