"""A packed state comes back as it was: values, types, shapes, strides."""

import math

import pytest
import torch

from mac.training.snapshots import pack, unpack


def tensors():
    torch.manual_seed(0)
    wide = torch.randn(4, 6, 5, 3, 2)
    yield "row-major", wide
    yield "channels-last", wide.contiguous(memory_format=torch.channels_last_3d)
    yield "transposed", wide[0, 0, 0].T
    yield "with gaps", torch.arange(20.0)[::3]
    yield "a part", torch.arange(20.0)[5:9]
    yield "expanded", torch.tensor([1.0, 2.0])[:, None].expand(2, 3)
    yield "a number", torch.tensor(7)
    yield "empty", torch.empty(0, 3)
    yield "one of each", torch.ones(1, 1, 1)
    yield "halves", torch.randn(5).to(torch.bfloat16)
    yield "flags", torch.tensor([True, False, True])
    yield "doubles", torch.randn(3, dtype=torch.double)
    yield "not finite", torch.tensor([math.nan, math.inf, -0.0])
    yield "trained", torch.nn.Parameter(torch.randn(2, 2))


def test_every_kind_of_tensor_comes_back():
    found = unpack(pack(dict(tensors())))
    assert list(found) == [name for name, _ in tensors()]
    for name, tensor in tensors():
        other = found[name]
        assert (other.dtype, other.shape) == (tensor.dtype, tensor.shape), name
        assert not other.requires_grad
        torch.testing.assert_close(other, tensor.detach(), rtol=0, atol=0, equal_nan=True)
        if name in ("row-major", "channels-last", "transposed"):
            assert other.stride() == tensor.stride(), name
    assert math.copysign(1, found["not finite"][2]) == -1


def test_the_tree_comes_back_with_its_types():
    state = {
        "position": {"epoch": 3, "last_loss": 0.1 + 0.2, "done": True, "name": "x", "none": None},
        0: [1, (2.5, "a"), {}],
        "infinite": math.inf,
        "tensors": [torch.tensor([1]), torch.tensor([2])],
    }
    found = unpack(pack(state))
    assert found.pop("tensors") == state.pop("tensors")
    assert found == state
    assert isinstance(found[0][1], tuple)
    assert isinstance(found["position"]["done"], bool)
    assert math.isnan(unpack(pack({"last_loss": math.nan}))["last_loss"])


def test_tensors_have_memory_of_their_own():
    state = {"a": torch.zeros(3), "b": torch.zeros(3)}
    packed = pack(state)
    state["a"] += 1
    found = unpack(packed)
    found["a"] += 5
    assert found["b"].tolist() == [0, 0, 0]
    assert unpack(packed)["a"].tolist() == [0, 0, 0]


def test_anything_else_is_refused():
    with pytest.raises(TypeError, match="a state holds a set"):
        pack({"x": {1, 2}})
