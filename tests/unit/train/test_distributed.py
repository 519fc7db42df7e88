"""Gradients of 1, 2 and 4 processes over one global batch; the processes share nothing but gloo."""

import multiprocessing

import pytest
import torch
import torch.distributed as dist

from cfray.config import build_config
from cfray.train.config import TrainConfig
from cfray.train.loop import Run, Worker

SETTINGS = {
    "anchors and rehearsals": {
        "loss": {"anchor_text": 2.0, "anchor_image": 3.0},
        "rehearsal": [
            {"form": "embedding", "weight": 30.0, "images_per_step": 4},
            {"form": "pairs", "weight": 2.0, "images_per_step": 8},
        ],
    },
    "plain, infonce, lora": {"loss": {"clip_targets": "plain", "form": "infonce"}, "trainable": "lora"},
    "sigmoid": {"loss": {"clip_form": "sigmoid", "clip_targets": "one_per_set", "form": "cosine"}},
    "counterfactuals alone": {"loss": {"beta_clip": 0.0}},
}  # fmt: skip
# What must not change a gradient.
MEANS = {"dense": {}, "tiled and in chunks": {"loss": {"tile": 3}, "chunks": 2}}


def gradients(data: str, ordinary: str, rank: int, workers: int) -> dict[tuple[str, str], torch.Tensor]:
    """The gradient of a step by setting and means, of all parameters in a row."""
    found = {}
    for setting, changes in SETTINGS.items():
        for means, how in MEANS.items():
            loss = changes.get("loss", {}) | how.get("loss", {})
            config = {
                "output": "", "data": data, "model": "world:clip", "sets_per_batch": 8, "images_per_set": 3,
                "log": {"tensorboard": False},
            } | changes | how | {"loss": loss}  # fmt: skip
            config["rehearsal"] = [entry | {"data": ordinary} for entry in config.get("rehearsal", [])]
            run = Run(build_config(TrainConfig, config), Worker(rank, workers, torch.device("cpu"), report=None))
            run.backward(run.batches.batch(1))
            found[setting, means] = torch.cat(
                [
                    (torch.zeros_like(p) if p.grad is None else p.grad).flatten()
                    for _, p in sorted(run.towers.named_parameters())
                    if p.requires_grad
                ]
            )
    return found


def _process(rank, workers, data, ordinary, place):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=workers)
    found = gradients(data, ordinary, rank, workers)
    if rank == 0:
        torch.save(found, f"{place}/gradients.pt")
    dist.barrier()
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def alone(rendered_sets, captioned_things):
    return gradients(rendered_sets, captioned_things, 0, 1)


@pytest.mark.parametrize("workers", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_processes_have_the_gradient_of_one(rendered_sets, captioned_things, alone, workers, tmp_path):
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cfray.train.loop"])
    arguments = [(rank, workers, rendered_sets, captioned_things, str(tmp_path)) for rank in range(workers)]
    processes = [context.Process(target=_process, args=each) for each in arguments]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    together = torch.load(tmp_path / "gradients.pt")
    for (setting, means), gradient in together.items():
        reference = alone[setting, "dense"]
        assert (gradient - reference).norm() <= 1e-5 * reference.norm(), (setting, means)


def test_no_means_changes_the_gradient(alone):
    for (setting, means), gradient in alone.items():
        reference = alone[setting, "dense"]
        assert (gradient - reference).norm() <= 1e-5 * reference.norm(), (setting, means)
