"""torchvision's networks, where it is installed and fits torch; and what is said where it does not."""

import importlib
import sys

import pytest
import torch
from torch import nn

from fedscale.data.card import Card
from fedscale.errors import JobError, MissingExtraError
from fedscale.learn.build import build_model
from fedscale.learn.models import MODELS
from fedscale.section import Component
from toys import card_of

NETWORKS = ("resnet18", "mobilenet_v2", "shufflenet_v2")
SIZES = {"resnet18": 11_689_512, "resnet34": 21_797_672, "mobilenet_v2": 3_504_872, "shufflenet_v2": 2_278_604}
"""Parameters for 3 channels and 1,000 classes, as torchvision's documentation states them (`num_params`)."""


@pytest.fixture
def torchvision():
    try:
        return importlib.import_module("torchvision.models")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"torchvision cannot be imported: {error}")


pytestmark = pytest.mark.usefixtures("one_thread")


def build(name, sample_shape=(3, 32, 32), classes=10, card=None, **options):
    torch.manual_seed(1)
    return MODELS.build(name, options, sample_shape=sample_shape, classes=classes, card=card)


def size(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("norm", ["group", "batch"])
@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_the_published_ones_with_either_norm(torchvision, name, norm):
    assert size(build(name, (3, 224, 224), 1000, norm=norm)) == SIZES[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_group_norm_has_no_statistics_and_batch_norm_has(torchvision, name):
    group, batch = build(name), build(name, norm="batch")
    assert list(group.buffers()) == []
    assert not any(isinstance(module, nn.BatchNorm2d) for module in group.modules())
    assert sum(isinstance(module, nn.GroupNorm) for module in group.modules()) == len(list(batch.buffers())) / 3 > 0


@pytest.mark.parametrize("shape", [(28, 28), (1, 28, 28), (3, 32, 32), (4, 64, 48)])
@pytest.mark.parametrize("name", NETWORKS)
def test_images_of_any_size_and_number_of_channels(torchvision, name, shape):
    model = build(name, shape, classes=7)
    assert model(torch.randn(2, *shape)).shape == (2, 7)


def test_the_stem_of_resnet_follows_the_images(torchvision):
    def stem(shape, **options):
        network = build("resnet18", shape, **options)[1]
        return network.conv1.kernel_size, network.conv1.stride, type(network.maxpool)

    small, large = ((3, 3), (1, 1), nn.Identity), ((7, 7), (2, 2), nn.MaxPool2d)
    assert stem((3, 32, 32)) == stem((28, 28)) == stem((3, 224, 224), stem="small") == small
    assert stem((3, 33, 32)) == stem((1, 224, 224)) == stem((3, 32, 32), stem="large") == large


def test_recordings_are_seen_as_mel_spectrograms(torchvision):
    card = card_of("classification", "resnet18", classes=7, sample_shape=(3200,), modality="audio")
    model = build("resnet18", (3200,), classes=7, card=card)
    assert model(torch.randn(2, 3200)).shape == (2, 7)
    assert model[0](torch.randn(2, 3200)).shape == (2, 1, 21, 40)
    with pytest.raises(JobError, match=r"samples are of shape \(3200,\)"):
        build("resnet18", (3200,), card=card.model_copy(update={"modality": "tensor"}))


def test_a_batch_of_one_client_trains_with_group_norm(torchvision):
    card = Card(
        name="images",
        title="Images",
        description="noise",
        task="classification",
        modality="tensor",
        model=Component(name="mobilenet_v2"),
        classes=4,
        sample_shape=(3, 16, 16),
        client_is="generated",
        licence="none needed",
        source="generated",
        citation="this test",
        verified="generated",
    )
    model = build_model(card, None, 1)
    assert model.parameters == len(model.vector)  # no statistics behind the parameters
    loss = model.loss(torch.randn(1, 3, 16, 16), torch.tensor([2]))
    gradients = torch.autograd.grad(loss, model.trainable)
    assert torch.isfinite(loss)
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_of_tokens_are_no_images(name):
    with pytest.raises(JobError, match=f"{name!r} is for images"):
        build(name, None)


def test_an_unknown_norm_is_refused():
    with pytest.raises(JobError, match="option 'norm'"):
        build("resnet18", norm="layer")


@pytest.mark.parametrize("name", NETWORKS)
def test_without_torchvision_the_extra_is_named(name, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    with pytest.raises(MissingExtraError, match=rf"the model '{name}' needs torchvision.*'fedscale\[vision\]'"):
        build(name)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("raise RuntimeError('operator torchvision::nms does not exist')", "nms does not exist"),
        ("raise ImportError('undefined symbol: _ZN3c10')", "undefined symbol"),
    ],
)
def test_a_torchvision_made_for_another_torch_is_said_to_be_that(line, why, tmp_path, monkeypatch):
    (tmp_path / "torchvision.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(JobError, match=f"the installed torchvision does not fit the installed torch .*{why}"):
        build("resnet18")
