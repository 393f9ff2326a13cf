import json

import pytest
import torch
from planted import directions, planted, save

from anima.errors import FeatureError
from anima.features.sae import CONFIG, WEIGHTS, check_fits, load_folder

ARCHITECTURES = ["standard", "gated", "jumprelu", "topk"]
RULES = ["none", "expected_average_only_in", "constant_norm_rescale", "layer_norm"]


def lens_sae(architecture, *, subtract=True, rule="none", rescale=False):
    """A small SAE of sae-lens's own with random weights everywhere."""
    from anima.features.lens import SAEMetadata, get_sae_class

    torch.manual_seed(5)
    config = get_sae_class(architecture)[1](
        d_in=16, d_sae=48, apply_b_dec_to_input=subtract, normalize_activations=rule,
        metadata=SAEMetadata(model_name="tiny", hook_name="blocks.2.hook_resid_post"),
        **({"k": 7, "rescale_acts_by_decoder_norm": rescale} if architecture == "topk" else {}),
    )  # fmt: skip
    made = get_sae_class(architecture)[0](config)
    for weight in made.parameters():
        weight.data = 0.4 * torch.randn_like(weight)
    return made


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("subtract", [True, False])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_format_reads_as_sae_lens_reads_it(architecture, subtract, rule, tmp_path):
    lens = lens_sae(architecture, subtract=subtract, rule=rule)
    lens.save_model(tmp_path)
    ours = load_folder(tmp_path)
    h = 3 * torch.randn(5, 11, 16) + 1
    with torch.no_grad():
        expected = lens.encode(h)
        reconstructed = lens.decode(expected)
    assert (ours.architecture, ours.layer, ours.model) == (architecture, 2, "tiny")
    assert torch.allclose(ours.encode(h), expected, atol=2e-5)
    assert torch.allclose(ours.reconstruct(h), reconstructed, atol=2e-5)
    assert (expected > 0).float().mean() > 0.05


def test_a_topk_sae_that_ranks_by_decoder_norm_reads_as_sae_lens_reads_it(tmp_path):
    lens = lens_sae("topk", rescale=True)
    lens.save_model(tmp_path)
    ours = load_folder(tmp_path)
    h = torch.randn(9, 16)
    with torch.no_grad():
        expected = lens.encode(h)
        assert torch.allclose(ours.decode(ours.encode(h)), lens.decode(expected), atol=2e-5)
    assert torch.allclose(ours.encode(h), expected, atol=2e-5)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_few_features_have_the_values_of_the_whole_encode(architecture, tmp_path):
    lens_sae(architecture).save_model(tmp_path)
    ours = load_folder(tmp_path)
    h = torch.randn(4, 6, 16)
    some = torch.tensor([40, 3, 3, 17])
    assert torch.allclose(ours.encode_only(h, some), ours.encode(h)[..., some], atol=1e-6)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("rescale", [False, True])
def test_a_direction_is_what_one_more_unit_of_activation_adds(architecture, rescale):
    sae = planted(architecture, rescale_by_decoder_norm=rescale and architecture == "topk")
    a = torch.rand(3, sae.n_features)
    more = a.clone()
    more[:, 5] += 1
    added = sae.decode(more) - sae.decode(a)
    assert torch.allclose(added, sae.directions(torch.tensor([5])).expand(3, -1), atol=1e-5)


def test_planted_features_are_read_exactly():
    sae = planted("jumprelu", features=8, width=32, threshold=0.5)
    rows = directions(8, 32)
    h = 2.0 * rows[3] + 0.4 * rows[1] - 3.0 * rows[2]
    assert torch.allclose(sae.encode(h), 2.0 * torch.eye(8)[3], atol=1e-5)
    assert torch.allclose(sae.decode(sae.encode(h)), 2.0 * rows[3], atol=1e-5)


def test_saved_and_loaded_it_is_the_same_sae(tmp_path):
    sae = planted("gated", l0=3.0)
    back = load_folder(save(tmp_path, sae))
    h = torch.randn(6, 32)
    assert torch.equal(back.encode(h), sae.encode(h))
    assert (back.name, back.layer, back.l0) == ("planted", 1, 3.0)


def broken(folder, **changes):
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


def test_an_sae_that_cannot_be_read_says_why(tmp_path):
    with pytest.raises(FeatureError, match=r"cfg.json cannot be read"):
        load_folder(tmp_path)
    save(tmp_path, planted())
    (tmp_path / WEIGHTS).write_bytes(b"no weights")
    with pytest.raises(FeatureError, match=r"sae_weights.safetensors cannot be read"):
        load_folder(tmp_path)
    save(tmp_path, planted())
    broken(tmp_path, architecture="temporal")
    with pytest.raises(FeatureError, match="'temporal' cannot be read"):
        load_folder(tmp_path)
    broken(tmp_path, architecture="gated")
    with pytest.raises(FeatureError, match="lacks b_gate, b_mag, r_mag"):
        load_folder(tmp_path)
    broken(tmp_path, architecture="jumprelu", normalize_activations="covariance_whitening")
    with pytest.raises(FeatureError, match="covariance_whitening"):
        load_folder(tmp_path)
    broken(tmp_path, normalize_activations="none", metadata={"hook_name": "blocks.3.hook_mlp_out"})
    with pytest.raises(FeatureError, match="names no layer"):
        load_folder(tmp_path)


def test_values_that_are_not_finite_are_refused():
    with pytest.raises(FeatureError, match="W_dec holds values that are not finite"):
        planted(decoder=torch.full((8, 32), torch.nan))


def test_weights_of_different_shapes_are_refused():
    with pytest.raises(FeatureError, match="do not belong together"):
        planted(decoder=torch.zeros(8, 16))


def test_another_models_sae_is_refused():
    sae = planted(width=32, layer=5)
    with pytest.raises(FeatureError, match=r"width 32, and small has 64"):
        check_fits(sae, model="small", width=64, layers=8)
    with pytest.raises(FeatureError, match=r"layer 5, and small has layers 0 to 2"):
        check_fits(sae, model="small", width=32, layers=3)
