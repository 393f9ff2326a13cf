import pytest
import torch
from steering_rig import NORM, planted_sae, push, state, stream

from anima.steering.delta import delta
from anima.steering.trace import records, traced


def test_where_the_budget_binds_the_record_says_by_how_much():
    made = state(push("add", 0.6, 1), push("add", 0.8, 2))
    record, _ = records(traced(made, [(delta(stream(), made), None)]))
    assert record.scaled == pytest.approx(0.5, abs=1e-4)
    assert (record.feature, record.share) == (2, pytest.approx(0.4, abs=1e-4))


def test_a_record_holds_feature_target_actual_share_and_tokens_of_content_alone():
    h = stream()[:1]
    made = state(push("clamp", 0.1, label="rain"))
    mask = torch.tensor([0.0, 1, 1, 0, 1])[None, :, None]
    (record,) = records(traced(made, [(delta(h, made, mask), mask)]))
    a = planted_sae().encode(h)[0, [1, 2, 4], 3]
    assert (record.label, record.feature, record.operation, record.tokens) == (
        "rain",
        3,
        "clamp",
        3,
    )
    assert record.target == pytest.approx(0.1 * NORM)
    assert record.actual == pytest.approx(float(a.mean()), abs=1e-5)
    share = (0.1 * NORM - a).abs().mean() / NORM
    assert record.share == pytest.approx(float(share), abs=1e-5)
