"""Memory for large vectors that is used again."""

import gc

import pytest
import torch

from fedscale.learn import shelf

LENGTH = shelf.LEAST // 4 + 3


@pytest.fixture(autouse=True)
def empty(monkeypatch):
    monkeypatch.setattr(shelf, "_free", type(shelf._free)(list))


def place(tensor):
    return tensor.untyped_storage().data_ptr()


def test_memory_is_used_again_once_nothing_refers_to_it():
    one = shelf.blank(torch.zeros(LENGTH))
    first = place(one)
    other = shelf.blank(torch.zeros(LENGTH))
    assert place(other) != first
    del one
    gc.collect()
    assert place(shelf.blank(torch.zeros(LENGTH))) == first


@pytest.mark.parametrize(
    "kept",
    [lambda t: t[5:9], lambda t: t.view(1, -1), lambda t: t.numpy(), lambda t: t.detach(), lambda t: t.numpy()[3:4]],
)
def test_a_view_or_an_array_keeps_it(kept):
    whole = shelf.blank(torch.zeros(LENGTH)).fill_(7.0)
    before, part = place(whole), kept(whole)
    del whole
    gc.collect()
    other = shelf.blank(torch.zeros(LENGTH)).fill_(1.0)
    assert place(other) != before
    assert (part == 7.0).all()


@pytest.mark.parametrize("like", [torch.zeros(LENGTH, dtype=torch.float64), torch.zeros(3, LENGTH), torch.zeros(2)])
def test_shape_and_kind_are_those_of_the_example(like):
    for found in (shelf.blank(like), shelf.copied(like), shelf.difference(like, like)):
        assert (found.shape, found.dtype, found.device) == (like.shape, like.dtype, like.device)
        assert found.is_contiguous()


def test_values_are_those_of_the_arguments():
    one, other = torch.arange(float(LENGTH)), torch.ones(LENGTH)
    for _ in range(3):
        assert torch.equal(shelf.difference(one, other), one - other)
        assert torch.equal(shelf.copied(one), one)
    assert place(shelf.copied(one)) != place(one)


def test_no_more_than_a_few_blocks_are_kept():
    held = [shelf.blank(torch.zeros(LENGTH)) for _ in range(shelf.MOST + 4)]
    del held
    gc.collect()
    assert [len(blocks) for blocks in shelf._free.values()] == [shelf.MOST]


def test_small_vectors_are_left_to_the_library():
    shelf.blank(torch.zeros(10))
    assert not shelf._free
