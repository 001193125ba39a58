"""The built-in models, by name."""

from __future__ import annotations

from typing import Final

from torch import nn

from fedscale.tables import Table

MODELS: Final[Table[nn.Module]] = Table(
    "model",
    {
        "logistic_regression": "fedscale.learn.models.dense:logistic_regression",
        "mlp": "fedscale.learn.models.dense:mlp",
        "cnn": "fedscale.learn.models.conv:cnn",
        "femnist_cnn": "fedscale.learn.models.conv:femnist_cnn",
        "go_cnn": "fedscale.learn.models.conv:GoCNN",
        "video_cnn": "fedscale.learn.models.conv:VideoCNN",
        "context_mlp": "fedscale.learn.models.text:ContextMLP",
        "char_gru": "fedscale.learn.models.text:CharGRU",
        "char_lstm": "fedscale.learn.models.text:CharLSTM",
        "word_lstm": "fedscale.learn.models.text:WordLSTM",
        "bag_of_words": "fedscale.learn.models.text:BagOfWords",
        "transformer": "fedscale.learn.models.transformer:Transformer",
        "reader": "fedscale.learn.models.transformer:Reader",
        "wide_deep": "fedscale.learn.models.fields:WideDeep",
        "factorization_machine": "fedscale.learn.models.fields:FactorizationMachine",
        "coordinates_mlp": "fedscale.learn.models.paths:CoordinatesMLP",
        "trajectory_gru": "fedscale.learn.models.paths:TrajectoryGRU",
        "ctc_gru": "fedscale.learn.models.audio:CtcGRU",
        "mel_decoder": "fedscale.learn.models.audio:MelDecoder",
        "albert": "fedscale.learn.models.albert:albert",
        "ssdlite": "fedscale.learn.models.ssd:SsdLite",
        "resnet34": "fedscale.learn.models.vision:resnet34",
        "resnet18": "fedscale.learn.models.vision:resnet18",
        "mobilenet_v2": "fedscale.learn.models.vision:mobilenet_v2",
        "shufflenet_v2": "fedscale.learn.models.vision:shufflenet_v2",
    },
)
"""A factory gets the dataset's ``sample_shape``, ``classes`` (`fedscale.learn.tasks.outputs_of`) and ``card``, as
far as it has parameters for them."""
