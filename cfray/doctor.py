"""Looks at every node of a cluster before a job does: versions, GPUs, memory, storage, models, clock."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import shutil
import subprocess
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import huggingface_hub
import open_clip
import psutil
import ray
import torch
from huggingface_hub.errors import HfHubHTTPError
from pydantic import Field
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from cfray import storage
from cfray.config import Config
from cfray.errors import UserError
from cfray.world.models import PREFIX, model_path

# The least driver of each CUDA that torch may be built for (CUDA compatibility guide of Nvidia).
LEAST_DRIVER = {"12": 525, "13": 580}
GIB = 2**30


class DoctorConfig(Config):
    """``jobs/doctor.py``: ``output`` is a place where jobs are to write, ``models`` are those that they are to load."""

    output: str
    models: list[str] = ["world:clip"]
    constraints: str = Field("constraints.txt", description="the versions that every node should have")
    max_clock_skew: float = Field(1.0, gt=0, description="seconds; S3 refuses requests at 900")
    min_free_disk: float = Field(10.0, ge=0, description="GiB")
    timeout: float = Field(120.0, gt=0, description="seconds that a node has to answer")


@dataclass
class Node:
    """What a node has, as cells of the table, and what is wrong with it."""

    name: str
    cells: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


class Examiner:
    """Runs on the node that it examines."""

    def now(self) -> float:
        return time.time()

    def examine(self, config: DoctorConfig, constraints: str, gpus: int) -> dict[str, Any]:
        """All checks but that of the clock; ``gpus`` is how many Ray counts on this node."""
        node = Node(platform.node())
        checks = {
            "versions": lambda: check_versions(constraints),
            "memory": lambda: check_memory(config.min_free_disk),
            "GPUs": lambda: check_gpus(gpus),
            "storage": lambda: check_storage(config.output),
            "models": lambda: ", ".join(check_model(model) for model in config.models),
        }
        for name, check in checks.items():
            try:
                node.cells[name] = check()
            except (OSError, ValueError) as error:  # UserError is a ValueError
                node.cells[name] = "FAIL"
                node.problems.append(f"{name}: {' '.join(str(error).split())}")
        return asdict(node)


def check_versions(constraints: str) -> str:
    """Compare what is installed with the lines ``name==version``; packages that are not installed are no matter.

    Raises:
        UserError: naming what has another version.
    """
    pinned = dict(re.findall(r"^([\w.-]+)==(\S+)$", constraints, re.MULTILINE))
    normal = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pinned.items()}
    installed = {
        re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower(): found.version for found in importlib.metadata.distributions()
    }
    common = normal.keys() & installed.keys()
    # torch may say of itself that it is 2.14.1+cu130
    other = [name for name in sorted(common) if installed[name].partition("+")[0] != normal[name].partition("+")[0]]
    if other:
        listed = ", ".join(f"{name} is {installed[name]}, not {normal[name]}" for name in other)
        raise UserError(f"{listed}; pip install --constraint constraints.txt there")
    return f"{len(common)} as pinned, Python {platform.python_version()}"


def check_memory(min_free_disk: float) -> str:
    """Memory, and what is free on the disk of the temporary folder."""
    memory, disk = psutil.virtual_memory(), shutil.disk_usage("/tmp")
    if disk.free < min_free_disk * GIB:
        raise UserError(f"{disk.free / GIB:.1f} GiB of disk are free, less than min_free_disk={min_free_disk:g}")
    return f"{memory.available / GIB:.0f} of {memory.total / GIB:.0f} GiB free, disk {disk.free / GIB:.0f} GiB free"


def check_gpus(counted: int) -> str:
    """The GPUs that nvidia-smi lists, their memory and driver.

    Raises:
        UserError: if Ray counts another number, or the driver is too old for the CUDA of torch.
    """
    lines = []
    if shutil.which("nvidia-smi"):
        query = ["nvidia-smi", "--query-gpu=name,memory.free,memory.total,driver_version", "--format=csv,noheader,nounits"]
        lines = subprocess.run(query, capture_output=True, text=True, timeout=60, check=True).stdout.splitlines()
    return describe_gpus(lines, counted, torch.version.cuda)


def describe_gpus(lines: list[str], counted: int, cuda: str | None) -> str:
    """The cell for lines "name, free MiB, total MiB, driver"; raises as ``check_gpus`` does."""
    if len(lines) != counted:
        raise UserError(f"Ray counts {counted} GPUs, nvidia-smi lists {len(lines)}; restart Ray there or mend the driver")
    if not lines:
        return "none"
    rows = [[part.strip() for part in line.split(",")] for line in lines]
    driver, least = rows[0][3], LEAST_DRIVER.get((cuda or "").partition(".")[0])
    if cuda is None:
        raise UserError("torch is built without CUDA; install the build for GPUs")
    if least is not None and int(driver.partition(".")[0]) < least:
        raise UserError(f"driver {driver} is too old for torch's CUDA {cuda}, which needs {least} or newer")
    free = min(int(row[1]) for row in rows) / 1024
    return f"{len(rows)} x {rows[0][0]}, {free:.0f} of {int(rows[0][2]) / 1024:.0f} GiB free, driver {driver}"


def check_storage(place: str) -> str:
    """Write, read and list a file below ``place``, and delete it."""
    name = f"doctor-{uuid.uuid4().hex}"
    file, content = storage.join(place, name), name.encode()
    times = [time.monotonic()]
    storage.write_bytes(file, content)
    times.append(time.monotonic())
    try:
        if storage.read_bytes(file) != content:
            raise UserError(f"{file!r} has another content than was written to it")
        times.append(time.monotonic())
        if name not in {found.rpartition("/")[2] for found in storage.list_files(place)}:
            raise UserError(f"{place!r} does not list {name!r}, which was written to it")
        times.append(time.monotonic())
    finally:
        storage.remove(file)
    took = [f"{1000 * (after - before):.0f}" for before, after in zip(times, times[1:], strict=False)]
    return f"write {took[0]}, read {took[1]}, list {took[2]} ms"


def check_model(model: str) -> str:
    """Where a model would come from; raises UserError or OSError if it would not."""
    if model.startswith(PREFIX) or Path(model).expanduser().is_dir() or model.startswith((".", "/", "~")):
        model_path(model)
        return f"{model} there"
    if storage.is_remote(model):
        if next(storage.list_files(model), None) is None:
            raise UserError(f"model folder {model!r} is empty or not found")
        return f"{model} there"
    architecture, _, tag = model.partition("/")
    known = open_clip.get_pretrained_cfg(architecture, tag)
    if known and not known.get("hf_hub"):
        return f"{model} known"  # open_clip has an address for it, not a repository that could be asked
    repository = known["hf_hub"].rstrip("/") if known else model.removeprefix("hf-hub:")
    try:
        huggingface_hub.HfApi().model_info(repository, timeout=20)
    except (HfHubHTTPError, OSError) as error:
        raise UserError(f"model {model!r} cannot be reached: {str(error).splitlines()[0]}") from None
    return f"{model} reachable"


def examine_cluster(config: DoctorConfig) -> list[Node]:
    """Examine all live nodes of the connected cluster at once.

    Raises:
        UserError: if there is no file of constraints.
    """
    constraints = storage.read_bytes(config.constraints).decode()
    examiners = {}
    for node in (node for node in ray.nodes() if node["Alive"]):
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        examiner = ray.remote(num_cpus=0, scheduling_strategy=there)(Examiner).remote()
        gpus = int(node["Resources"].get("GPU", 0))
        examiners[examiner] = (node, examiner.examine.remote(config, constraints, gpus))
    found = []
    for examiner, (node, answer) in examiners.items():
        name = f"{node['NodeManagerHostname']} {node['NodeManagerAddress']}"
        try:
            examined = Node(**ray.get(answer, timeout=config.timeout))
            examined.name = name
            _check_clock(examined, examiner, config.max_clock_skew)
        except ray.exceptions.RayError as error:
            examined = Node(name, problems=[f"no answer: {type(error).__name__} {str(error).splitlines()[0]}"])
        found.append(examined)
    return found


def _check_clock(node: Node, examiner: ray.actor.ActorHandle, allowed: float) -> None:
    """The best of three comparisons of the node's clock with this one's, as NTP makes them: half a round trip is unsure."""
    best = (float("inf"), 0.0)
    for _ in range(3):
        before = time.time()
        there = ray.get(examiner.now.remote())
        after = time.time()
        best = min(best, ((after - before) / 2, there - (before + after) / 2))
    unsure, skew = best
    node.cells["clock"] = f"{skew:+.3f} s"
    if abs(skew) - unsure > allowed:
        node.cells["clock"] = "FAIL"
        node.problems.append(
            f"clock: {skew:+.1f} s from the driver's, more than max_clock_skew={allowed:g}; start chrony there"
        )


def as_table(nodes: list[Node]) -> str:
    """One row a node, and under the table one line a problem."""
    columns = list(dict.fromkeys(name for node in nodes for name in node.cells))
    rows = [["node", *columns], *([node.name, *(node.cells.get(name, "-") for name in columns)] for node in nodes)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([*lines, *(f"{node.name}: {problem}" for node in nodes for problem in node.problems)])
