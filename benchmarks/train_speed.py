"""The train step beside open_clip's own trainer, and what each setting of ``compute`` costs and saves. On the CPU, one thread.

    python benchmarks/train_speed.py open_clip     # samples per second against open_clip_train; the cost of L_cf
    python benchmarks/train_speed.py settings      # seconds a step and peak memory of bf16, checkpointing, compile, ...
    python benchmarks/train_speed.py loader        # pictures per second of threads and of Ray Data; share of waiting

Random weights of ``--model``, rendered pictures of its size. Contenders take turns within each round and the median of their
ratios over rounds is printed. Times are processor seconds of the process, which other work on the machine does not change much.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import tempfile
import time
from argparse import Namespace
from pathlib import Path

import numpy as np
import open_clip
import pyarrow as pa
import torch
from open_clip_train.train import train_one_epoch
from PIL import Image
from safetensors.torch import save_file

from cfray.config import build_config
from cfray.dataset import store
from cfray.dataset.schema import encode_png, set_schema
from cfray.train.batches import Batch, Batches, Prefetcher
from cfray.train.config import TrainConfig
from cfray.train.loop import Run, Worker
from cfray.train.towers import parameter_groups
from cfray.world import corpora

SETTINGS = {
    "fp32": {}, "bf16": {"precision": "bf16"}, "TF32": {"tf32": True}, "channels_last": {"channels_last": True},
    "gradient checkpointing": {"gradient_checkpointing": True}, "compile": {"compile": True},
}  # fmt: skip


def prepare(folder: Path, model: str, sets: int) -> TrainConfig:
    """A configuration over random weights of ``model`` and ``sets`` rendered sets of two pictures of its size."""
    clip, config = open_clip.create_model(model), open_clip.get_model_config(model)
    (folder / "model").mkdir()
    (folder / "model" / "open_clip_config.json").write_text(
        json.dumps({"model_cfg": config, "preprocess_cfg": clip.visual.preprocess_cfg})
    )
    save_file(
        {key: value.contiguous() for key, value in clip.state_dict().items()}, folder / "model" / "open_clip_model.safetensors"
    )
    side, scenes, rows = config["vision_cfg"]["image_size"], corpora.captioned_scenes(2 * sets, 0), []
    for number in range(sets):
        base, other = (_enlarged(scenes.pictures[2 * number + i], side) for i in range(2))
        variant = {"image": other, "prompt": "", "status": "kept", "attributes": {}}
        rows.append({
            "set_id": f"{number:06}", "concept": "doctor", "caption": scenes.captions[2 * number][0], "base": base,
            "mask": base, "status": "kept", "variants": [variant],
        })  # fmt: skip
    store.write_part(str(folder / "sets"), pa.Table.from_pylist(rows, schema=set_schema(["gender"])))
    return build_config(TrainConfig, {
        "output": str(folder), "data": str(folder / "sets"), "model": str(folder / "model"), "sets_per_batch": 2,
        "images_per_set": 2, "log": {"tensorboard": False}, "steps": 1000,
    })  # fmt: skip


def against_open_clip(config: TrainConfig, samples: int, rounds: int) -> None:
    """CLIP loss alone, the same batch of image-text pairs; then the cost of L_cf over half as many sets of two images."""
    pairs = config.model_copy(update={
        "images_per_set": 1, "sets_per_batch": samples, "loss": config.loss.model_copy(update={"beta_cf": 0.0})
    })  # fmt: skip
    in_sets = config.model_copy(update={"sets_per_batch": samples // 2})
    clip_alone = in_sets.model_copy(update={"loss": config.loss.model_copy(update={"beta_cf": 0.0})})
    run = Run(pairs, _worker())
    batch = run.batches.batch(0)
    of_sets = Batches(in_sets, run.clip, rank=0, workers=1).batch(0)
    theirs = open_clip.create_model(f"local-dir:{config.model}", output_dict=True)
    optimizer = torch.optim.AdamW(parameter_groups(theirs, 0.1), lr=1e-5, betas=(0.9, 0.98), eps=1e-6)

    def ours(with_config: TrainConfig, on: Batch) -> None:
        run.config = with_config
        run.train_step(on)

    contenders = {
        "open_clip_train": lambda: _open_clip_step(theirs, optimizer, batch),
        "cfray, CLIP loss": lambda: ours(pairs, batch),
        "cfray, sets, CLIP loss": lambda: ours(clip_alone, of_sets),
        "cfray, sets, CLIP loss and L_cf": lambda: ours(in_sets, of_sets),
    }
    seconds = _take_turns(contenders, rounds)
    print("| step | processor seconds, median | images a processor second |\n|" + " --- |" * 3)
    for name, values in seconds.items():
        print(f"| {name} | {statistics.median(values):.2f} | {samples / statistics.median(values):.2f} |")
    theirs_s, alone, without, with_cf = seconds.values()
    print(f"\nsamples per second, cfray / open_clip_train: {_median_ratio(theirs_s, alone)}")
    print(f"cost of L_cf: {_median_ratio(with_cf, without)}")


def _open_clip_step(model, optimizer, batch: Batch) -> None:
    """One batch through open_clip's own ``train_one_epoch``."""
    loader = type("Loader", (list,), {"num_batches": 1, "num_samples": len(batch.images)})([(batch.images, batch.ids)])
    data = {"train": Namespace(dataloader=loader, set_epoch=lambda epoch: None)}
    args = Namespace(
        device="cpu", precision="fp32", distill=False, accum_freq=1, skip_scheduler=True, grad_clip_norm=1.0, horovod=False,
        rank=0, log_every_n_steps=1, batch_size=len(batch.images), world_size=1, wandb=False, local_rank=0, log_local=False,
    )  # fmt: skip
    train_one_epoch(model, data, open_clip.ClipLoss(), 0, optimizer, None, None, None, args)


def settings(config: TrainConfig, samples: int, rounds: int) -> None:
    print("| compute | processor seconds a step, median | peak memory, MB | loss of step 3 |\n|" + " --- |" * 4)
    context = multiprocessing.get_context("spawn")
    for name, how in SETTINGS.items():
        compute = config.compute.model_copy(update=how)
        chosen = config.model_copy(update={"compute": compute, "sets_per_batch": samples // 2})
        queue = context.Queue()
        process = context.Process(target=_measure, args=(chosen, rounds, queue))
        process.start()
        seconds, peak, loss = queue.get()
        process.join()
        print(f"| {name} | {seconds:.2f} | {peak:,.0f} | {loss:.4f} |", flush=True)


def _measure(config: TrainConfig, rounds: int, queue) -> None:
    torch.set_num_threads(1)
    run = Run(config, _worker())
    batch = run.batches.batch(0)
    run.train_step(batch)  # compilation and allocation
    seconds = _take_turns({"step": lambda: run.train_step(batch)}, rounds)["step"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    queue.put((statistics.median(seconds), peak, run.progress.since_row[2]["loss"]))


def loader(config: TrainConfig, samples: int, rounds: int) -> None:
    """Threads and Ray Data making the same batches with two processors; then a training that takes them from the threads."""
    import ray

    config = config.model_copy(update={"sets_per_batch": samples // 2})
    clip = Run(config, _worker()).clip
    batches, count = Batches(config, clip, rank=0, workers=1), 8 * rounds
    ahead, started = Prefetcher(batches, 0, count, threads=2), time.monotonic()
    for _ in range(count):
        ahead.next()
    threads = count * samples / (time.monotonic() - started)
    ahead.close()
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False)
    data = ray.data.range(count, override_num_blocks=count).map_batches(
        _Maker, fn_constructor_args=(config,), batch_size=1, compute=ray.data.ActorPoolStrategy(size=2)
    )
    iterator = iter(data.iter_batches(batch_size=None))
    next(iterator)  # actors have started and loaded the data
    started = time.monotonic()
    made = sum(1 for _ in iterator)
    print(f"threads: {threads:.0f} pictures a second; Ray Data: {made * samples / (time.monotonic() - started):.0f}")
    ray.shutdown()
    run, ahead, started = Run(config, _worker()), Prefetcher(batches, 0, rounds, threads=2), time.monotonic()
    for _ in range(rounds):
        run.train_step(ahead.next())
    print(f"waiting for data in training: {ahead.waited / (time.monotonic() - started):.1%} of the time")
    ahead.close()


class _Maker:
    """Makes batches in an actor of Ray Data."""

    def __init__(self, config: TrainConfig):
        from cfray.clip.model import load_clip

        torch.set_num_threads(1)
        self._batches = Batches(config, load_clip(config.model), rank=0, workers=1)

    def __call__(self, steps):
        batch = self._batches.batch(int(steps["id"][0]))
        return {"images": batch.images.numpy()[None], "ids": batch.ids.numpy()[None]}


def _take_turns(contenders, rounds: int) -> dict[str, list[float]]:
    seconds = {name: [] for name in contenders}
    for number in range(rounds + 1):
        for name, step in contenders.items():
            started = time.process_time()
            step()
            if number:  # the first round allocates
                seconds[name].append(time.process_time() - started)
    return seconds


def _median_ratio(over: list[float], under: list[float]) -> str:
    ratios = [a / b for a, b in zip(over, under, strict=True)]
    return f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f} over {len(ratios)} rounds)"


def _enlarged(picture, side: int) -> dict:
    return encode_png(np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC)))


def _worker() -> Worker:
    return Worker(0, 1, torch.device("cpu"), report=lambda row, folder: None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("open_clip", "settings", "loader"))
    parser.add_argument("--model", default="ViT-B-32", help="an architecture of open_clip")
    parser.add_argument("--samples", type=int, default=8, help="images of a step")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        config = prepare(Path(scratch), arguments.model, sets=max(64, arguments.samples))
        what = {"open_clip": against_open_clip, "settings": settings, "loader": loader}[arguments.what]
        what(config, arguments.samples, arguments.rounds)


if __name__ == "__main__":
    main()
