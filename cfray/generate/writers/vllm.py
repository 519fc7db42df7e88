"""Captions through ``ray.data.llm`` and vLLM, for the throughput of its batching. Needs ``cfray[vllm]`` and GPUs."""

from __future__ import annotations

import importlib.util
from typing import Any

import ray

from cfray.errors import UserError
from cfray.generate.config import VllmWriterConfig
from cfray.generate.writers.prompt import Conversation
from cfray.world.models import model_path


def ask_vllm(config: VllmWriterConfig, conversations: list[Conversation]) -> list[str]:
    """The answers of ``config.actors`` vLLM engines, in the order of the conversations.

    Raises:
        UserError: if vLLM is not installed.
    """
    if importlib.util.find_spec("vllm") is None:
        raise UserError("write_captions.kind=vllm needs vLLM; pip install 'cfray[vllm]' or use kind=transformers")
    from ray.data.llm import build_processor, vLLMEngineProcessorConfig

    processor = build_processor(
        vLLMEngineProcessorConfig(
            model_source=model_path(config.model), concurrency=config.actors, batch_size=config.batch_size,
            engine_kwargs={"dtype": config.dtype, "revision": config.revision} | config.engine,
        ),
        preprocess=lambda row: _request(row, config),
        postprocess=lambda row: {"index": row["index"], "answer": row["generated_text"]},
    )  # fmt: skip
    rows = [{"index": i, "messages": conversation} for i, conversation in enumerate(conversations)]
    answers = processor(ray.data.from_items(rows)).take_all()
    return [row["answer"] for row in sorted(answers, key=lambda row: row["index"])]


def _request(row: dict[str, Any], config: VllmWriterConfig) -> dict[str, Any]:
    sampling = config.sampling
    limits = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": sampling.max_tokens}
    return {"index": row["index"], "messages": row["messages"], "sampling_params": limits}
