"""Writes an open_clip CLIP as a Hugging Face ``CLIPModel`` folder, where the architecture is one that ``CLIPModel`` has."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import torch
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer
from open_clip.transformer import QuickGELU
from torch import nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPTokenizer

from cfray import storage
from cfray.clip.model import ClipModel

# open_clip's names and CLIPModel's, apart from the layers and the input projections, which CLIPModel has in three.
_NAMES = {
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre": "vision_model.pre_layrnorm",
    "visual.ln_post": "vision_model.post_layernorm",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final": "text_model.final_layer_norm",
    "logit_scale": "logit_scale",
}
_TRANSPOSED = {"visual.proj": "visual_projection.weight", "text_projection": "text_projection.weight"}
_TOWERS = {"visual.transformer": "vision_model.encoder", "transformer": "text_model.encoder"}
_IN_LAYER = {
    "ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj", "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}  # fmt: skip
_LAYER = re.compile(r"(visual\.transformer|transformer)\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")
_OPEN_CLIP_NAMES = {theirs: ours for ours, theirs in _NAMES.items()}
_OPEN_CLIP_TRANSPOSED = {theirs: ours for ours, theirs in _TRANSPOSED.items()}
_OPEN_CLIP_TOWERS = {theirs: ours for ours, theirs in _TOWERS.items()}
_OPEN_CLIP_IN_LAYER = {theirs: ours for ours, theirs in _IN_LAYER.items()}
_CLIP_MODEL_LAYER = re.compile(r"((?:vision|text)_model\.encoder)\.layers\.(\d+)\.(.+)\.(weight|bias)")
# In open_clip's vocabulary and in that of transformers, which would give unknown ones an id past the end.
_SPECIAL_TOKENS = {"<start_of_text>": "<|startoftext|>", "<end_of_text>": "<|endoftext|>"}
_TOLERANCE = 1e-4


class NoCounterpartError(ValueError):
    """The architecture is none that ``CLIPModel`` has; the message says what is in the way."""


def save_huggingface(clip: ClipModel, state: dict[str, torch.Tensor], place: str) -> None:
    """Write model, image processor and tokenizer as ``CLIPModel.from_pretrained`` and ``CLIPProcessor`` read them.

    Before anything is written the two models embed a random picture and a text; they must agree to 1e-4.

    Args:
        clip: the loaded model that ``state`` belongs to.
        state: the weights, which may differ from those of ``clip``.
        place: a local folder or remote place.

    Raises:
        NoCounterpartError: if ``CLIPModel`` has no such architecture.
    """
    model = CLIPModel(_config(clip)).eval()
    converted = convert_state(state)
    differing = sorted(model.state_dict().keys() ^ converted.keys())
    if differing:
        raise NoCounterpartError(f"CLIPModel and this model differ in {len(differing)} weights, {differing[0]} among them")
    model.load_state_dict(converted)
    _require_same_embeddings(clip, state, model)
    with tempfile.TemporaryDirectory(prefix="cfray-huggingface-") as scratch:
        model.save_pretrained(scratch)
        _processor(clip).save_pretrained(scratch)
        _tokenizer(clip).save_pretrained(scratch)
        storage.upload_folder(Path(scratch), place)


def convert_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """open_clip's state dict under the names and in the shapes of ``CLIPModel``.

    Raises:
        NoCounterpartError: for a weight that ``CLIPModel`` has no place for.
    """
    converted = {}
    for key, value in state.items():
        value, stem = value.detach().float(), re.sub(r"\.(weight|bias)$", "", key)
        layer = _LAYER.fullmatch(key)
        if key in _TRANSPOSED:
            converted[_TRANSPOSED[key]] = value.T.contiguous()
        elif key in _NAMES:
            converted[_NAMES[key]] = value
        elif stem in _NAMES:
            converted[_NAMES[stem] + key.removeprefix(stem)] = value
        elif layer is not None and layer[3] in _IN_LAYER:
            converted[f"{_TOWERS[layer[1]]}.layers.{layer[2]}.{_IN_LAYER[layer[3]]}.{layer[4]}"] = value
        elif layer is not None and layer[3] == "attn.in_proj":
            for name, part in zip("qkv", value.chunk(3), strict=True):
                converted[f"{_TOWERS[layer[1]]}.layers.{layer[2]}.self_attn.{name}_proj.{layer[4]}"] = part.clone()
        else:
            raise NoCounterpartError(f"CLIPModel has no place for the weight {key!r}")
    return converted


def restore_state(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inverse of ``convert_state``, in float32.

    Raises:
        NoCounterpartError: for a weight that open_clip's CLIP has no place for.
    """
    restored = {}
    for key, value in state.items():
        value, stem = value.float(), re.sub(r"\.(weight|bias)$", "", key)
        layer = _CLIP_MODEL_LAYER.fullmatch(key)
        block = layer and f"{_OPEN_CLIP_TOWERS[layer[1]]}.resblocks.{layer[2]}"
        if key in _OPEN_CLIP_TRANSPOSED:
            restored[_OPEN_CLIP_TRANSPOSED[key]] = value.T.contiguous()
        elif key in _OPEN_CLIP_NAMES:
            restored[_OPEN_CLIP_NAMES[key]] = value
        elif stem in _OPEN_CLIP_NAMES:
            restored[_OPEN_CLIP_NAMES[stem] + key.removeprefix(stem)] = value
        elif layer is not None and layer[3] in _OPEN_CLIP_IN_LAYER:
            restored[f"{block}.{_OPEN_CLIP_IN_LAYER[layer[3]]}.{layer[4]}"] = value
        elif layer is not None and layer[3] == "self_attn.q_proj":
            parts = [state[key.replace("q_proj", f"{name}_proj")].float() for name in "qkv"]
            restored[f"{block}.attn.in_proj_{layer[4]}"] = torch.cat(parts)
        elif layer is None or layer[3] not in ("self_attn.k_proj", "self_attn.v_proj"):
            raise NoCounterpartError(f"open_clip's CLIP has no place for the weight {key!r}")
    return restored


def _config(clip: ClipModel) -> CLIPConfig:
    model = clip.model
    try:
        vision, text = model.visual.transformer.resblocks, model.transformer.resblocks
        image_size, patch_size = model.visual.image_size[0], model.visual.patch_size[0]
        text_width, pools = model.token_embedding.embedding_dim, (model.visual.pool_type, model.text_pool_type)
    except AttributeError as error:
        raise NoCounterpartError(f"its towers are not CLIP's own vision and text transformers ({error})") from None
    if pools != ("tok", "argmax"):
        raise NoCounterpartError(f"it pools by {pools[0]} and {pools[1]}, CLIPModel by class token and end of text")

    def tower(blocks, width: int) -> dict:
        act = "quick_gelu" if isinstance(blocks[0].mlp.gelu, QuickGELU) else "gelu"
        return {
            "hidden_size": width, "intermediate_size": blocks[0].mlp.c_fc.out_features, "num_hidden_layers": len(blocks),
            "num_attention_heads": blocks[0].attn.num_heads, "hidden_act": act, "projection_dim": model.visual.output_dim,
        }  # fmt: skip

    return CLIPConfig(
        projection_dim=model.visual.output_dim,
        vision_config=tower(vision, model.visual.conv1.out_channels) | {"image_size": image_size, "patch_size": patch_size},
        text_config=tower(text, text_width)
        # With 2 CLIPModel pools where the id is greatest, as open_clip does.
        | {"vocab_size": model.vocab_size, "max_position_embeddings": model.context_length, "eos_token_id": 2},
    )


@torch.no_grad()
def _require_same_embeddings(clip: ClipModel, state: dict[str, torch.Tensor], model: CLIPModel) -> None:
    picture = torch.randn(1, 3, *clip.model.visual.image_size, generator=torch.Generator().manual_seed(0))
    ids = clip.tokenize(["a photo of a doctor"])
    weights = {f"clip.{key}": value.float() for key, value in state.items()}
    ours = torch.func.functional_call(_Encoders(clip.model), weights, (picture, ids))
    theirs = (model.get_image_features(pixel_values=picture), model.get_text_features(input_ids=ids))
    for name, one, other in zip(("image", "text"), ours, theirs, strict=True):
        apart = float((F.normalize(one, dim=-1) - F.normalize(other.pooler_output, dim=-1)).abs().max())
        if apart > _TOLERANCE:
            raise NoCounterpartError(f"as a CLIPModel it would embed an {name} differently (by {apart:.1e})")


class _Encoders(nn.Module):
    """Both encoders as a forward, for weights that are not the model's own."""

    def __init__(self, clip: nn.Module):
        super().__init__()
        self.clip = clip

    def forward(self, picture: torch.Tensor, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.clip.encode_image(picture), self.clip.encode_text(ids)


def _processor(clip: ClipModel) -> CLIPImageProcessor:
    config = clip.model.visual.preprocess_cfg
    side = clip.model.visual.image_size[0]
    return CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side},
        image_mean=list(config["mean"]), image_std=list(config["std"]),
    )  # fmt: skip


def _tokenizer(clip: ClipModel):
    if isinstance(clip.tokenize, HFTokenizer):
        return clip.tokenize.tokenizer
    if isinstance(clip.tokenize, SimpleTokenizer):
        vocabulary = {_SPECIAL_TOKENS.get(token, token): number for token, number in clip.tokenize.encoder.items()}
        merges, longest = list(clip.tokenize.bpe_ranks), clip.model.context_length
        return CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=longest)
    raise NoCounterpartError(f"its tokenizer is a {type(clip.tokenize).__name__}, which transformers does not have")
