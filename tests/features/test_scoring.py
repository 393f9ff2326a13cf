import tiny
import torch
from planted import planted

from anima.features.scoring import AMPLIFIED, output_scores, promised

IDS = [1, 20, 30, 40]


def test_the_score_is_that_of_an_amplified_forward_of_its_own():
    trunk = tiny.trunk()
    sae = planted(features=8, layer=1)
    features, maximum = torch.tensor([2, 5, 7]), torch.tensor([1.0, 3.0, 0.2])
    found = output_scores(sae, trunk, IDS, features, maximum=maximum, rows=2)
    for place, feature in enumerate(features):

        def tap(h, place=place, feature=feature):
            delta = torch.zeros_like(h)
            now = sae.encode(h[0, -1])[feature]
            delta[0, -1] = (AMPLIFIED * maximum[place] - now) * sae.decoder[feature]
            return delta

        logits = trunk.forward(torch.tensor([IDS]), trunk.cache(), taps={1: (tap,)}).logits[0, -1]
        wanted = promised(sae, trunk, feature[None])[0]
        rank = min((logits > logits[token]).sum().item() for token in wanted)
        chance = logits.softmax(-1)[wanted].max()
        expected = (1 - rank / len(logits)) * chance
        assert torch.allclose(found[place], expected, rtol=1e-4)


def test_a_feature_of_the_last_layer_that_is_a_tokens_own_direction_gets_a_high_score():
    trunk = tiny.trunk()
    row = trunk.model.lm_head.weight[77].detach()
    row = (row / row.norm())[None]
    sae = planted(features=1, layer=2, encoder=row.T, decoder=row)
    score = output_scores(sae, trunk, IDS, torch.tensor([0]), maximum=torch.tensor([10.0]))
    silent = output_scores(sae, trunk, IDS, torch.tensor([0]), maximum=torch.tensor([0.0]))
    assert score > 5 * silent
    assert 77 in promised(sae, trunk, torch.tensor([0]))[0]
