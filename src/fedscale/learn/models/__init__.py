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
        "context_mlp": "fedscale.learn.models.text:ContextMLP",
        "char_gru": "fedscale.learn.models.text:CharGRU",
        "char_lstm": "fedscale.learn.models.text:CharLSTM",
        "transformer": "fedscale.learn.models.transformer:Transformer",
        "resnet18": "fedscale.learn.models.vision:resnet18",
        "mobilenet_v2": "fedscale.learn.models.vision:mobilenet_v2",
        "shufflenet_v2": "fedscale.learn.models.vision:shufflenet_v2",
    },
)
"""A factory gets the dataset's ``sample_shape``, ``classes`` and ``card``, as far as it has parameters for them."""
