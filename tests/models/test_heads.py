import numpy as np
import torch
import torch.nn.functional as F

from mac.models.heads import DropoutLinear

VIDEOS = np.arange(400)


def test_dropout_is_a_function_of_its_keys():
    head = DropoutLinear(64, 5, 0.5)
    features = torch.ones(400, 64)
    kept = head.draw(400, ("d", 1, VIDEOS))
    assert torch.equal(kept, head.draw(400, ("d", 1, VIDEOS)))
    assert not torch.equal(kept, head.draw(400, ("d", 2, VIDEOS)))
    assert torch.equal(head.draw(200, ("d", 1, VIDEOS[200:])), kept[200:])
    assert DropoutLinear(64, 5, 0.0).draw(400, ("d", VIDEOS)) is None
    expected = F.linear(features * kept * 2, head.weight, head.bias)
    torch.testing.assert_close(head(features, kept), expected)
    torch.testing.assert_close(head(features), F.linear(features, head.weight, head.bias))


def test_dropout_keeps_half_and_the_mean():
    head = DropoutLinear(256, 1, 0.5)
    with torch.no_grad():
        head.weight.fill_(1 / 256)
    out = head(torch.ones(400, 256), head.draw(400, ("d", VIDEOS)))
    assert abs(out.mean() - 1) < 0.02
    assert out.std() > 0.03


def test_a_draw_equal_to_the_rate_keeps_its_feature(monkeypatch):
    monkeypatch.setattr("mac.models.heads.uniform", lambda keys, count: np.array([[0.25, 0.5, 0.75]]))
    assert DropoutLinear(3, 1, 0.5).draw(1, ("d",)).tolist() == [[False, True, True]]  # half of [0, 1) is dropped
