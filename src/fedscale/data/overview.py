"""The catalogue as a page of Markdown: one table of all datasets, and a section for each, made from their cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from fedscale.data.card import Card, RawFile
from fedscale.units import human_bytes

VERIFIED: Final = {
    "real": "against real raw files",
    "hand-made": "against hand-made files in the documented layout",
    "none": "not at all",
}

HEADINGS: Final = (
    "name",
    "a client is",
    "clients",
    "samples",
    "counted",
    "task",
    "metric",
    "default model",
    "importer checked",
    "runs end to end",
)

INTRODUCTION: Final = """\
# The catalogue

Made by `fedscale data list --page` from the datasets' cards, which `fedscale data info NAME` shows one by one. Clients
and samples are those of the whole set, as imported here or as the paper's Table 5 states them. Every dataset is
imported from a small fixture in its owner's raw layout and trained for two rounds by the tests (`tests/data`).

How data are had: `fedscale data get NAME` downloads what may be downloaded directly, and otherwise says what to fetch
and where to put it; `fedscale data import NAME --from DIRECTORY` reads raw files as their owner publishes them. Then
`fedscale run NAME` trains the default model.
"""


def page(cards: Sequence[Card]) -> str:
    """Return the page."""
    return "\n".join([INTRODUCTION, table(cards), *map(section, cards)])


def table(cards: Sequence[Card]) -> str:
    """Return one row per dataset."""
    heading = f"| {' | '.join(HEADINGS)} |"
    return "\n".join([heading, "|" + "---|" * (heading.count("|") - 1), *map(_row, cards), ""])


def section(card: Card) -> str:
    """Return what a card says, at length."""
    facts = {
        "A sample": card.sample,
        "Preprocessing": card.preprocessing,
        "Split": card.split_rule,
        "Licence": card.licence,
        "Terms": card.terms or "",
        "Source": card.source,
        "Raw files": "; ".join(map(file_line, card.files)),
        "Raw layout": card.layout,
        "Citation": card.citation,
        "Verified": f"{VERIFIED[card.verification]}: {card.verified}",
    }
    lines = [f"- **{name}**: {_escaped(text)}" for name, text in facts.items() if text]
    return "\n".join([f"## `{card.name}`", "", f"{card.title}: {card.description}.", "", *lines, ""])


def file_line(file: RawFile) -> str:
    """Return a raw file's name, size, digests and address."""
    digests = [f"{kind} {value}" for kind, value in (("sha256", file.sha256), ("md5", file.md5)) if value]
    size = [] if file.bytes is None else [human_bytes(file.bytes)]
    return ", ".join([file.name, *size, *digests, *([file.url] if file.url else [])])


def _row(card: Card) -> str:
    figures, counted = (card.counted, "here") if card.counted else (card.paper, "by the paper")
    counts = [f"{figures.clients:,}", f"{figures.samples:,}"] if figures else ["any", "any"]
    checked = {"real": "real files", "hand-made": "hand-made files", "none": "no"}[card.verification]
    client_is = card.client_is.split(" (")[0].split(":")[0]
    what = [card.task, card.metric, f"`{card.model.name}`"]
    cells = [f"`{card.name}`", client_is, *counts, counted if figures else "", *what, checked, "yes"]
    return "| " + " | ".join(map(_escaped, cells)) + " |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "\\<")
