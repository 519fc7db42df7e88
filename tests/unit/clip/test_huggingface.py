import pytest
import torch
from torch.nn import functional as F
from transformers import AutoTokenizer, CLIPImageProcessor, CLIPModel

from cfray.clip.huggingface import NoCounterpartError, convert_state, save_huggingface
from cfray.clip.model import load_clip
from cfray.world import corpora


def test_transformers_embeds_what_open_clip_embeds(tmp_path):
    from PIL import Image

    clip = load_clip("world:clip")
    save_huggingface(clip, clip.model.state_dict(), str(tmp_path))
    model, texts = CLIPModel.from_pretrained(tmp_path).eval(), ["a photo of a doctor", "a cat"]
    picture = Image.fromarray(corpora.things(1, 0).pictures[0])
    pixels = CLIPImageProcessor.from_pretrained(tmp_path)(picture, return_tensors="pt")["pixel_values"]
    tokens = AutoTokenizer.from_pretrained(tmp_path)(
        texts, padding="max_length", max_length=clip.model.context_length, truncation=True, return_tensors="pt"
    )
    assert torch.equal(tokens["input_ids"], clip.tokenize(texts))
    with torch.no_grad():
        theirs = model(input_ids=tokens["input_ids"], pixel_values=pixels)
        images = F.normalize(clip.model.encode_image(clip.preprocess(picture)[None]), dim=-1)
        ours = F.normalize(clip.model.encode_text(clip.tokenize(texts)), dim=-1)
    torch.testing.assert_close(theirs.image_embeds, images, atol=1e-5, rtol=0)
    torch.testing.assert_close(theirs.text_embeds, ours, atol=1e-5, rtol=0)


def test_what_has_no_place_is_named():
    with pytest.raises(NoCounterpartError, match="no place for the weight 'visual.trunk.head.weight'"):
        convert_state({"visual.trunk.head.weight": torch.zeros(1)})
