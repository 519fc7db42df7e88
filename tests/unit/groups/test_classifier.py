import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from cfray.errors import UserError
from cfray.groups.classifier import build_classifier, load_classifier, plain_transform, save_classifier, standard_augmentation
from cfray.groups.config import LinearBackbone, TimmBackbone, TorchvisionBackbone

SMALL = {"torchvision": TorchvisionBackbone(name="squeezenet1_1", size=64), "timm": TimmBackbone(name="resnet10t", size=64)}


@pytest.mark.parametrize("kind", SMALL)
def test_any_backbone_maps_images_to_logits_and_is_saved(kind, tmp_path):
    config, image = SMALL[kind], Image.fromarray(np.full((80, 70, 3), 90, np.uint8))
    model = build_classifier(config, 3).eval()
    inputs = plain_transform(config.size)(image)[None]
    assert inputs.shape == (1, 3, 64, 64)
    save_classifier(str(tmp_path / "one"), config, ["a", "b", "c"], model.state_dict(), None)
    again, classes, read = load_classifier(str(tmp_path / "one"))
    assert (classes, read) == (["a", "b", "c"], config)
    torch.testing.assert_close(again(inputs), model(inputs))


def test_weights_of_another_head_are_taken_but_for_the_head(tmp_path):
    config = SMALL["timm"]
    pretrained = build_classifier(config, 1000)
    save_file(pretrained.state_dict(), tmp_path / "weights.safetensors")
    model = build_classifier(config.model_copy(update={"weights": str(tmp_path / "weights.safetensors")}), 2)
    torch.testing.assert_close(model.conv1[0].weight, pretrained.conv1[0].weight)
    assert model.get_classifier().out_features == 2


def test_a_linear_head_standardises_its_features(tmp_path):
    model = build_classifier(LinearBackbone(clip="world:clip"), 2, 5)
    features = torch.randn(100, 5) * 7 + 3
    model.standardise(features)
    save_classifier(str(tmp_path / "head"), LinearBackbone(clip="world:clip"), ["a", "b"], model.state_dict(), 5)
    again, _, _ = load_classifier(str(tmp_path / "head"))
    torch.testing.assert_close(again(features), model.out((features - features.mean(0)) / features.std(0)))


def test_augmentation_keeps_the_size_and_changes_the_picture():
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8))
    torch.manual_seed(0)
    view = standard_augmentation()(image)
    assert view.size == image.size
    assert np.abs(np.asarray(view, int) - np.asarray(image, int)).mean() > 5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (TorchvisionBackbone(name="resnet-nothing"), "backbone.name='resnet-nothing'.*that torchvision lists"),
        (TimmBackbone(name="nothing_at_all"), "backbone.name='nothing_at_all'.*look at the models that timm lists"),
        (TimmBackbone(name="resnet10t", weights="none.safetensors"), "file 'none.safetensors' not found"),
        (TorchvisionBackbone(name="squeezenet1_1", weights="BEST"), "backbone.weights='BEST' of 'squeezenet1_1'"),
    ],
)
def test_what_cannot_be_built_is_refused(config, message):
    with pytest.raises(UserError, match=message):
        build_classifier(config, 2)


def test_weights_of_another_model_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="fit 0 of .* tensors; they are of another model"):
        build_classifier(TimmBackbone(name="resnet10t", weights=str(tmp_path / "other.safetensors")), 2)
