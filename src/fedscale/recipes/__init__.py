"""Recipes: ready-made jobs, each a function that returns one; nothing imports them but the table here."""

from __future__ import annotations

import inspect
from typing import Final

from fedscale.job import Job
from fedscale.tables import Table

RECIPES: Final[Table[Job]] = Table(
    "recipe",
    {
        "amazon": "fedscale.recipes.amazon:amazon",
        "amazon_words": "fedscale.recipes.amazon_words:amazon_words",
        "blog": "fedscale.recipes.blog:blog",
        "charades": "fedscale.recipes.charades:charades",
        "chitchat": "fedscale.recipes.chitchat:chitchat",
        "common_voice": "fedscale.recipes.common_voice:common_voice",
        "coqa": "fedscale.recipes.coqa:coqa",
        "demo": "fedscale.recipes.shakespeare:demo",
        "digits": "fedscale.recipes.digits:digits",
        "dirichlet": "fedscale.recipes.dirichlet:dirichlet",
        "europarl": "fedscale.recipes.europarl:europarl",
        "femnist": "fedscale.recipes.femnist:femnist",
        "foxgo": "fedscale.recipes.foxgo:foxgo",
        "inaturalist": "fedscale.recipes.inaturalist:inaturalist",
        "landmarks": "fedscale.recipes.landmarks:landmarks",
        "libritts": "fedscale.recipes.libritts:libritts",
        "movielens": "fedscale.recipes.movielens:movielens",
        "openimage": "fedscale.recipes.openimage:openimage",
        "openimage_detection": "fedscale.recipes.openimage_detection:openimage_detection",
        "puffer": "fedscale.recipes.puffer:puffer",
        "qmnist": "fedscale.recipes.qmnist:qmnist",
        "reddit": "fedscale.recipes.reddit:reddit",
        "shakespeare": "fedscale.recipes.shakespeare:shakespeare",
        "speech_commands": "fedscale.recipes.speech_commands:speech_commands",
        "stackoverflow": "fedscale.recipes.stackoverflow:stackoverflow",
        "stackoverflow_tags": "fedscale.recipes.stackoverflow_tags:stackoverflow_tags",
        "synthetic": "fedscale.recipes.synthetic:synthetic",
        "taobao": "fedscale.recipes.taobao:taobao",
        "taxi": "fedscale.recipes.taxi:taxi",
        "vlog": "fedscale.recipes.vlog:vlog",
        "waymo": "fedscale.recipes.waymo:waymo",
    },
)


def recipe(name: str) -> Job:
    """Return the job of a recipe; ``job.with_settings([...])`` or ``model_copy`` change it.

    Raises:
        JobError: there is no such recipe.
    """
    return RECIPES.build(name)


def describe(name: str) -> str:
    """Return the first line of what a recipe says of itself."""
    return (inspect.getdoc(RECIPES.get(name)) or "").splitlines()[0]
