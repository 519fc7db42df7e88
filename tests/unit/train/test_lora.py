import torch

from cfray.clip.model import load_clip
from cfray.train.lora import add_lora, merged_state


def test_it_begins_as_the_model_and_what_is_exported_is_what_was_trained():
    clip = load_clip("world:clip")
    images, ids = torch.randn(2, 3, 64, 64), clip.tokenize(["a doctor", "a chef"])
    before, original = clip.model.encode_image(images), {k: v.clone() for k, v in clip.model.state_dict().items()}
    names = add_lora(clip.model, rank=4, alpha=8.0, takes=lambda name: name.startswith("visual."))
    assert names and all(name.startswith("visual.") for name in names)
    torch.testing.assert_close(clip.model.encode_image(images), before)
    trainable = [name for name, p in clip.model.named_parameters() if p.requires_grad]
    assert len(trainable) == 2 * len(names)

    optimizer = torch.optim.SGD([p for p in clip.model.parameters() if p.requires_grad], lr=1.0)
    for _ in range(2):  # the first step moves B alone: A has no gradient while B is zero
        optimizer.zero_grad()
        clip.model.encode_image(images).square().sum().backward()
        optimizer.step()
    merged, after = merged_state(clip.model), clip.model.encode_image(images)
    assert merged.keys() == original.keys()
    changed = [key for key in original if not torch.equal(original[key], merged[key])]
    assert sorted(changed) == sorted(names)
    plain = load_clip("world:clip")
    plain.model.load_state_dict(merged)
    torch.testing.assert_close(plain.model.encode_image(images), after)
    assert not torch.allclose(after, before)
    torch.testing.assert_close(plain.model.encode_text(ids), load_clip("world:clip").model.encode_text(ids))
    update = merged[names[0]] - original[names[0]]
    assert torch.linalg.matrix_rank(update, rtol=1e-4) <= 4
