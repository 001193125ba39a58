"""Models of ways through space: where something ends, and where it goes on to."""

from __future__ import annotations

from torch import Tensor, nn

from fedscale.errors import JobError, bad_option
from fedscale.learn.models.checks import Shape, features
from fedscale.section import Positive, PositiveFloat


class CoordinatesMLP(nn.Module):
    """One hidden layer that says places near ``center``: center + scale × outputs.

    The first and last points of a way as inputs and its end as output is the network of A. de Brébisson et al.,
    "Artificial Neural Networks Applied to Taxi Destination Prediction", 2015, without its clusters.
    """

    def __init__(
        self,
        sample_shape: Shape,
        classes: int,
        hidden: Positive = 128,
        center: tuple[float, ...] = (),
        scale: PositiveFloat = 1.0,
    ) -> None:
        super().__init__()
        if center and len(center) != classes:
            raise bad_option("model 'coordinates_mlp'", "center", f"{classes} numbers, as a target has", center)
        inputs = features("coordinates_mlp", sample_shape)
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, classes))
        self.center, self.scale = center or (0.0,) * classes, scale

    def forward(self, x: Tensor) -> Tensor:
        """Return (n, classes)."""
        places: Tensor = self.layers(x) * self.scale
        return places + places.new_tensor(self.center)


class TrajectoryGRU(nn.Module):
    """A gated recurrent layer over (times, features), and from its last state positions to come, ``scale`` metres each.

    An encoder with a linear decoder, the simplest of the baselines for Waymo's data (S. Ettinger et al. 2021, §5).
    """

    def __init__(self, sample_shape: Shape, classes: int, hidden: Positive = 64, scale: PositiveFloat = 10.0) -> None:
        super().__init__()
        if sample_shape is None or len(sample_shape) != 2 or classes % 3:
            raise JobError(
                "model 'trajectory_gru' is for samples (times, features) and targets (times, 3); samples are of shape "
                f"{sample_shape}, and targets have {classes} numbers"
            )
        self.recurrent = nn.GRU(sample_shape[1], hidden, batch_first=True)
        self.output = nn.Linear(hidden, classes // 3 * 2)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        """Return x and y at every time to come, (n, times × 2)."""
        _, last = self.recurrent(x)
        places: Tensor = self.output(last[0])
        return places * self.scale
