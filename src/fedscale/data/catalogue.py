"""The catalogue: datasets by name, and the cache in which they are kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from fedscale import files
from fedscale.data.entry import Entry
from fedscale.data.federated import FederatedDataset
from fedscale.data.notes import Notes
from fedscale.data.partitions import partitioned
from fedscale.data.store import is_store, open_store
from fedscale.data.writer import FORMAT
from fedscale.dataset import DataConf
from fedscale.errors import DataError
from fedscale.tables import Table

DATASETS: Final[Table[Entry]] = Table(
    "dataset",
    {
        "amazon": "fedscale.data.importers.amazon:Amazon",
        "amazon_words": "fedscale.data.importers.amazon:AmazonWords",
        "blog": "fedscale.data.importers.blog:Blog",
        "charades": "fedscale.data.importers.charades:Charades",
        "chitchat": "fedscale.data.importers.chitchat:Chitchat",
        "common_voice": "fedscale.data.importers.common_voice:CommonVoice",
        "coqa": "fedscale.data.importers.coqa:Coqa",
        "digits": "fedscale.data.importers.digits:Digits",
        "europarl": "fedscale.data.importers.europarl:Europarl",
        "femnist": "fedscale.data.importers.femnist:Femnist",
        "foxgo": "fedscale.data.importers.foxgo:FoxGo",
        "inaturalist": "fedscale.data.importers.inaturalist:Inaturalist",
        "landmarks": "fedscale.data.importers.landmarks:Landmarks",
        "libritts": "fedscale.data.importers.libritts:LibriTTS",
        "movielens": "fedscale.data.importers.movielens:MovieLens",
        "openimage": "fedscale.data.importers.openimage:Openimage",
        "openimage_detection": "fedscale.data.importers.openimage:OpenimageDetection",
        "puffer": "fedscale.data.importers.puffer:Puffer",
        "qmnist": "fedscale.data.importers.qmnist:Qmnist",
        "reddit": "fedscale.data.importers.reddit:Reddit",
        "shakespeare": "fedscale.data.importers.shakespeare:Shakespeare",
        "speech_commands": "fedscale.data.importers.speech_commands:SpeechCommands",
        "stackoverflow": "fedscale.data.importers.stackoverflow:StackOverflow",
        "stackoverflow_tags": "fedscale.data.importers.stackoverflow:StackOverflowTags",
        "synthetic": "fedscale.data.importers.synthetic:Synthetic",
        "taobao": "fedscale.data.importers.taobao:Taobao",
        "taxi": "fedscale.data.importers.taxi:Taxi",
        "vlog": "fedscale.data.importers.vlog:Vlog",
        "waymo": "fedscale.data.importers.waymo:Waymo",
    },
)


def store_path(entry: Entry, cache: Path | None = None) -> Path:
    """Return where the store of ``entry`` is or will be: ``<cache>/datasets-<format>/<directory>``."""
    return (cache or files.cache_directory()) / f"datasets-{FORMAT}" / entry.directory


def load_dataset(name: str, cache: Path | None = None, seed: int = 1, **options: Any) -> FederatedDataset:
    """Open a dataset of the catalogue, or the store in a directory, and get it first if it is not in the cache.

    Args:
        name: a name of the catalogue, else the path of a store.
        cache: where datasets are kept; by default `files.cache_directory`.
        seed: for datasets that are generated.
        options: the dataset's own, e.g. ``clients=1000`` for ``synthetic`` or ``raw="folder"`` for ``qmnist``.

    Raises:
        JobError: an unknown name or option.
        DataError: a store or a raw file is damaged or absent.
        FetchError: the data cannot be fetched.
    """
    if name not in DATASETS.names() and (os.sep in name or Path(name).is_dir()):
        return _open_directory(Path(name), options)
    entry = DATASETS.build(name, options, seed=seed)
    return obtain(entry, store_path(entry, cache), Notes())


def obtain(entry: Entry, path: Path, notes: Notes) -> FederatedDataset:
    """Open the store of ``entry`` at ``path``, and write it first if it is not there."""
    if not is_store(path):
        entry.write(path, notes)
    return open_store(path)


def open_data(conf: DataConf, seed: int = 1, cache: Path | None = None) -> FederatedDataset:
    """Open what a job's ``data`` section says: a dataset, its samples given to clients as ``partition`` says.

    Which of the clients take part is another matter: `fedscale.data.split`.

    Raises:
        JobError: an unknown name or option, or a partition that the dataset is not made for.
        DataError, FetchError: as `load_dataset` does.
    """
    return partitioned(load_dataset(conf.name, cache, seed, **conf.options), conf.partition, seed)


def _open_directory(path: Path, options: dict[str, Any]) -> FederatedDataset:
    if options:
        raise DataError(f"{path}: a store takes no options, but {', '.join(options)} given")
    return open_store(path)
