"""The embedding pass as a Ray Data job: parts of galleries go to a pool of actors, each of which holds all models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import ray
import torch
from ray.actor import ActorHandle
from ray.data import ActorPoolStrategy, DataContext

from cfray import storage
from cfray.errors import UserError
from cfray.evaluate.benchmark import Settings
from cfray.evaluate.config import ComparedModel, MeasuringConfig
from cfray.evaluate.embedding_files import image_place
from cfray.evaluate.images import Gallery
from cfray.evaluate.models import each_model
from cfray.evaluate.one_pass import embed_in_one_pass
from cfray.progress import shared_progress


class PartEmbedder:
    """Embeds one part of a gallery at a time with all models and writes the files; built once for each actor."""

    def __init__(
        self, parts: Sequence[Gallery], models: Mapping[str, ComparedModel], hashes: Mapping[str, str], settings: Settings,
        threads: int, progress: ActorHandle,
    ):  # fmt: skip
        # Zero threads of the CPU means a GPU.
        if threads:
            torch.set_num_threads(threads)
        self._models = dict(each_model(models, torch.device("cpu" if threads else "cuda")))
        self._parts, self._hashes, self._settings, self._progress = parts, hashes, settings, progress

    def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        parts = [self._parts[number] for number in batch["part"]]
        models, hashes = list(self._models.values()), [self._hashes[name] for name in self._models]
        try:
            embed_in_one_pass(models, parts, self._settings, hashes, self._progress.finish.remote)
            error = ""
        except UserError as refused:
            error = str(refused)
        names, sizes = [part.name for part in parts], [len(part) for part in parts]
        return {"gallery": np.array(names), "images": np.array(sizes), "error": np.array([error] * len(parts))}


def embed_on_cluster(models: Mapping[str, ComparedModel], galleries: Sequence[Gallery], config: MeasuringConfig) -> None:
    """Embed galleries with all models, every image read and decoded once; what is in the cache already is left as it is.

    One row of the job is one part of a gallery, and nothing but its size comes back: the actors write the files. A run that is
    killed and started again goes on with the parts that are missing.

    Raises:
        UserError: if a model is missing, or the cache is not one place for all nodes.
    """
    parts = [part for gallery in galleries for part in gallery.parts()]
    if not parts:
        return
    settings, hashes = config.settings, {}
    missing: dict[str, Gallery] = {}
    for name, model in each_model(models, torch.device("cpu")):
        hashes[name] = model.hash()
        for part in parts:
            place = image_place(settings, hashes[name], model.clip.preprocess, part)
            if not storage.exists(place):
                missing[place] = part
    todo = {(part.name, part.fingerprint): part for part in missing.values()}
    if not todo:
        print(f"[embed] all {sum(map(len, galleries)):,} images are in the cache", flush=True)
        return
    total, done = sum(map(len, todo.values())), 0
    print(f"[embed] {total:,} images with {len(models)} models in one pass", flush=True)
    with shared_progress("embed", total, unit="images") as progress:
        for row in _pass(models, hashes, list(todo.values()), config, progress).iter_rows():
            if row["error"]:
                raise UserError(row["error"])
            done += int(row["images"])
            print(f"[embed] {row['gallery']}: {done:,}/{total:,} images", flush=True)
    lost = [place for place in missing if not storage.exists(place)]
    if lost:
        raise UserError(
            f"{len(lost)} of {len(missing)} files of embeddings are not at {settings.cache!r}; give a cache that all nodes "
            "reach, such as s3://bucket/embeddings"
        )


def _pass(
    models: Mapping[str, ComparedModel], hashes: Mapping[str, str], parts: Sequence[Gallery], config: MeasuringConfig,
    progress: ActorHandle,
) -> ray.data.Dataset:  # fmt: skip
    DataContext.get_current().enable_progress_bars = False
    options: dict[str, Any] = {"parts": parts, "models": dict(models), "hashes": hashes, "settings": config.settings}
    options["progress"] = progress
    options["threads"] = 0 if config.gpus_per_worker else max(1, int(config.cpus_per_worker))
    rows = [{"part": number} for number in range(len(parts))]
    return ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        PartEmbedder, fn_constructor_kwargs=options, batch_size=1, num_cpus=config.cpus_per_worker,
        num_gpus=config.gpus_per_worker or None, compute=ActorPoolStrategy(size=min(config.workers, len(rows))),
    )  # fmt: skip
