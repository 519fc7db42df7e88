"""Captions through transformers: an instruct model with a chat template in a pool of Ray actors."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import ray
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from cfray.errors import UserError
from cfray.generate.config import TransformersWriterConfig
from cfray.generate.stage import quiet_libraries, use_device
from cfray.generate.writers.prompt import Conversation
from cfray.world.models import model_path


class ChatModel:
    """Answers conversations; a callable over batches for ``Dataset.map_batches``."""

    def __init__(self, config: TransformersWriterConfig):
        quiet_libraries()
        self._config = config
        self._device = use_device(config)
        path = model_path(config.model)
        try:
            # Padded on the left, so that every answer begins right after its prompt.
            self._tokenizer = AutoTokenizer.from_pretrained(path, revision=config.revision, padding_side="left")
            model = AutoModelForCausalLM.from_pretrained(
                path, revision=config.revision, dtype=getattr(torch, config.dtype), use_safetensors=True
            )
        except (OSError, ValueError) as error:
            raise UserError(f"model {config.model!r} cannot be loaded: {str(error).splitlines()[0]}") from None
        if self._tokenizer.chat_template is None:
            raise UserError(f"model {config.model!r} has no chat template; use an instruct model")
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        self._model = model.to(self._device).eval()

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        answers = self.answer([json.loads(text) for text in batch["conversation"]])
        return {"index": batch["index"], "answer": np.array(answers, dtype=object)}

    @torch.inference_mode()
    def answer(self, conversations: list[Conversation]) -> list[str]:
        """One answer per conversation; the same conversations together get the same answers."""
        sampling = self._config.sampling
        inputs = self._tokenizer.apply_chat_template(
            conversations, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        ).to(self._device)
        digest = hashlib.sha256(json.dumps(conversations).encode()).digest()
        torch.manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        draw = {"temperature": sampling.temperature, "top_p": sampling.top_p} if sampling.temperature > 0 else {}
        made = self._model.generate(
            **inputs, **draw, max_new_tokens=sampling.max_tokens, do_sample=bool(draw),
            pad_token_id=self._tokenizer.pad_token_id,
        )  # fmt: skip
        return self._tokenizer.batch_decode(made[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def ask_transformers(config: TransformersWriterConfig, conversations: list[Conversation]) -> list[str]:
    """The answers of a pool of ``config.actors`` models, in the order of the conversations."""
    rows = [{"index": i, "conversation": json.dumps(conversation)} for i, conversation in enumerate(conversations)]
    answers = ray.data.from_items(rows, override_num_blocks=-(-len(rows) // config.batch_size)).map_batches(
        ChatModel, fn_constructor_args=(config,), batch_size=config.batch_size,
        compute=ray.data.ActorPoolStrategy(size=config.actors), num_cpus=config.num_cpus, num_gpus=config.num_gpus,
    )  # fmt: skip
    return [row["answer"] for row in sorted(answers.take_all(), key=lambda row: row["index"])]
