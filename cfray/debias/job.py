"""Fits a debiasing method on a CLIP and writes the debiased model."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import ray
import torch

from cfray import storage
from cfray.clip.model import ClipModel, debias_clip, load_clip, require_undebiased, save_clip
from cfray.clip.pair import load_blend
from cfray.cluster import plain_errors, require_workers
from cfray.debias.cache import EmbeddingCache
from cfray.debias.config import DebiasConfig, JointConfig, PicturesConfig
from cfray.debias.data import check_labels, embed_training_data
from cfray.debias.faces import LabelledPictures, read_counterfactual_sets, read_folder, read_labelled_table, read_utkface
from cfray.debias.inferred import check_inferred, infer_labels
from cfray.debias.joint_published import require_batch
from cfray.debias.methods import fit
from cfray.debias.texts import load_texts
from cfray.debias.validation import embed_reference, split_held_out, validation_able
from cfray.errors import UserError
from cfray.runs import Record, finished_record

MODEL = "model"


def debias_on_cluster(config: DebiasConfig) -> dict[str, Any]:
    """``debias`` as one task of the connected cluster, with the CPUs and GPUs of the configuration.

    Raises:
        UserError: as ``debias``, or if the cluster does not have that many.
    """
    require_workers(1, config.num_cpus, config.num_gpus)
    task = ray.remote(num_cpus=config.num_cpus, num_gpus=config.num_gpus)(debias)
    with plain_errors():
        return ray.get(task.remote(config))


def debias(config: DebiasConfig) -> dict[str, Any]:
    """Fit and return the run's record; its result names the folder of the debiased ``model``.

    The folder is a debiased model, which ``load_clip`` reads. A finished run is not repeated; embeddings are computed once
    for all runs with one ``cache``.

    Raises:
        UserError: as ``preflight``, or if a picture cannot be read.
    """
    done = finished_record(config.output, config)
    if done is not None:
        return done
    people = preflight(config)
    record = Record(config.output, "debias", config)
    record.start()
    clip = load_base(config)
    cache = EmbeddingCache(_on_device(clip), config.cache)
    texts = load_texts(config.texts)
    with record.timed("embed"):
        people = infer_labels(cache, people, texts, config.pictures.inferred, config.pictures.inference)
        data = embed_training_data(cache, people, texts, config.attributes)
        reference = None if config.reference is None else embed_reference(cache, config.reference)
    with record.timed("fit"):
        score = None
        if reference is not None:
            data, held_out = split_held_out(data, config.validation_share, config.seed)
            score = partial(validation_able, faces=held_out, reference=reference)
        debiaser = fit(data, config.method, score)
    place = storage.join(config.output, MODEL)
    debiased = debias_clip(clip, debiaser)
    save_clip(debiased, config.model, debiased.model.state_dict(), place)
    result = {"model": place, "weights": data.weights, "pictures": len(data.images), "skipped": people.skipped}
    record.finish(**result, able=None if score is None else score(debiaser))
    return record.data


def load_base(config: DebiasConfig) -> ClipModel:
    """The CLIP to debias: ``model``, or the CFalpha blend of it and ``tuned``.

    Raises:
        UserError: if a model is missing or debiased already, or the two cannot be blended.
    """
    clip = load_clip(config.model) if config.tuned is None else load_blend(config.model, config.tuned, config.alpha)
    require_undebiased(clip, config.tuned or config.model)
    return clip


def _on_device(clip: ClipModel) -> ClipModel:
    return replace(clip, model=clip.model.to("cuda" if torch.cuda.is_available() else "cpu"))


def read_pictures(config: PicturesConfig) -> LabelledPictures:
    """Read the pictures of a configuration, with the labels that there are.

    Raises:
        UserError: if not exactly one source is named, or it cannot be read.
    """
    sources = {"table": config.table, "utkface": config.utkface, "sets": config.sets, "folder": config.folder}
    named = [name for name, place in sources.items() if place is not None]
    if len(named) != 1:
        given = ", ".join(named) or "none"
        raise UserError(f"pictures names {len(named)} sources ({given}); give one of {', '.join(sources)}")
    if config.folder is not None:
        if config.labels:
            raise UserError(f"pictures.labels={config.labels} cannot be read from a folder; infer them or give a table")
        return read_folder(config.folder)
    if config.table is not None:
        return read_labelled_table(config.table, config.labels, where=config.where)
    if config.utkface is not None:
        return read_utkface(config.utkface, config.labels)
    return read_counterfactual_sets(config.sets, config.labels)


def preflight(config: DebiasConfig) -> LabelledPictures:
    """Refuse what cannot work before anything is written; returns the labelled pictures.

    Raises:
        UserError: if pictures, labels, words or a model are missing, an attribute has one value or too few pictures, there
            are fewer pictures than a batch, or the output cannot be written.
    """
    people = read_pictures(config.pictures)
    texts, inferred = load_texts(config.texts), config.pictures.inferred
    check_inferred(people, texts, inferred)
    labelled = [name for name in config.attributes if name not in inferred]
    if labelled or not inferred:
        check_labels(people, texts, labelled)
    if isinstance(config.method, JointConfig) and config.method.form == "published":
        require_batch(config.method.published, len(people))
    load_base(config)
    storage.require_writable(config.output)
    return people
