"""docs/catalogue.md is what `fedscale data list --page` prints, and true: every dataset is trained by a test."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from fedscale.cli.data import app
from fedscale.data.catalogue import DATASETS
from fedscale.recipes import RECIPES

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RUNS = {
    "amazon": "test_text_runs.py",
    "amazon_words": "test_text_runs.py",
    "blog": "test_text_runs.py",
    "charades": "test_media_runs.py",
    "chitchat": "test_text_runs.py",
    "common_voice": "test_media_runs.py",
    "coqa": "test_text_runs.py",
    "digits": "../simulation/test_runs.py",
    "europarl": "test_text_runs.py",
    "femnist": "test_femnist.py",
    "foxgo": "test_tabular_runs.py",
    "inaturalist": "test_inaturalist.py",
    "landmarks": "test_landmarks.py",
    "libritts": "test_media_runs.py",
    "movielens": "test_tabular_runs.py",
    "openimage": "test_openimage.py",
    "openimage_detection": "test_openimage.py",
    "puffer": "test_tabular_runs.py",
    "qmnist": "test_qmnist.py",
    "reddit": "test_text_runs.py",
    "shakespeare": "test_shakespeare.py",
    "speech_commands": "test_media_runs.py",
    "stackoverflow": "test_text_runs.py",
    "stackoverflow_tags": "test_text_runs.py",
    "synthetic": "../simulation/test_runs.py",
    "taobao": "test_tabular_runs.py",
    "taxi": "test_tabular_runs.py",
    "vlog": "test_media_runs.py",
    "waymo": "test_tabular_runs.py",
}
"""The file of tests that trains each dataset from its raw files to its metric."""


def test_the_page_is_up_to_date() -> None:
    printed = CliRunner().invoke(app, ["list", "--page"]).output
    written = (ROOT / "docs" / "catalogue.md").read_text(encoding="utf-8")
    assert written == printed, "write it anew: fedscale data list --page > docs/catalogue.md"


def test_every_dataset_has_a_run_and_a_recipe() -> None:
    assert sorted(RUNS) == DATASETS.names()
    assert set(DATASETS.names()) <= set(RECIPES.names())


@pytest.mark.parametrize("name", sorted(RUNS))
def test_a_run_names_its_dataset(name: str) -> None:
    assert f'"{name}"' in (HERE / RUNS[name]).read_text(encoding="utf-8")
