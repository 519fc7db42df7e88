"""A run's folder, its record, and the frame in which every job runs: arguments, errors, exit codes."""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, TypeVar

import ray

from cfray import storage
from cfray.cluster import plain_errors
from cfray.config import Config, build_config, config_hash, load_config
from cfray.errors import UserError

C = TypeVar("C", bound=Config)
REVISION = "CFRAY_REVISION"
PACKAGES = ("cfray", "ray", "torch", "open_clip_torch", "diffusers", "transformers", "pyarrow", "numpy")


def run_job(kind: type[C], description: str, job: Callable[[C], str]) -> None:
    """Run a job as a script: read the configuration from the command line, run, print where the result is.

    A ``UserError`` is one line on stderr and exit code 2; so is an unreadable configuration. Any other exception is a
    bug or a failure of the machine and keeps its traceback.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--config", help="YAML file; the shipped ones are in jobs/configs")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="single values, for example train.steps=10")
    arguments = parser.parse_args()
    try:
        with plain_errors():
            place = job(load_config(kind, arguments.config, arguments.overrides))
    except (UserError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    print(f"result: {place}")


class Record:
    """What was run and what came out: ``record.json`` in the run's folder, written anew at every change.

    ``started`` has the time of every start (a run that was killed has several), ``hosts`` the nodes of the cluster at any
    of them, ``seconds`` the wall time of the stages since the last.
    """

    def __init__(self, place: str, job: str, config: Config):
        self._place = storage.join(place, "record.json")
        self.data: dict[str, Any] = {
            "schema": 1, "job": job, "config": config.model_dump(mode="json"), "config_hash": config_hash(config),
            "seeds": _seeds(config.model_dump(mode="json")), "started": [], "finished": None, "hosts": [],
            "git_revision": git_revision(), "python": platform.python_version(),
            "packages": {name: importlib.metadata.version(name) for name in PACKAGES}, "seconds": {}, "result": {},
        }  # fmt: skip

    @contextmanager
    def timed(self, stage: str):
        """Measure the wall time of a stage in seconds and say when it begins and ends."""
        started = time.monotonic()
        print(f"[{self.data['job']}] {stage} ...", flush=True)
        yield
        self.data["seconds"][stage] = round(self.data["seconds"].get(stage, 0.0) + time.monotonic() - started, 2)
        print(f"[{self.data['job']}] {stage} done in {self.data['seconds'][stage]:.0f} s", flush=True)

    def start(self) -> None:
        """Claim the folder for this configuration: the record is there, unfinished, before any result is."""
        if storage.exists(self._place):
            before = json.loads(storage.read_bytes(self._place))
            self.data |= {"started": before["started"], "hosts": before["hosts"]}
        self.data["started"] = [*self.data["started"], _now()]
        self._write()

    def finish(self, **result: Any) -> None:
        """Write what came out; a run with a finished record is complete."""
        self.data["result"] = result
        self.data["finished"] = _now()
        self._write()

    def _write(self) -> None:
        self.data["hosts"] = sorted({*self.data["hosts"], *hosts()})
        storage.write_bytes(self._place, (json.dumps(self.data, indent=2) + "\n").encode())


def finished_record(place: str, config: Config) -> dict[str, Any] | None:
    """The record of a complete run at ``place`` with this very configuration, or None.

    A key that the configuration got after that run counts there with its default.

    Raises:
        UserError: if a run with another configuration is there.
    """
    file = storage.join(place, "record.json")
    if not storage.exists(file):
        return None
    record = json.loads(storage.read_bytes(file))
    there, here = _as_of_now(record["config"], type(config)), config.model_dump(mode="json")
    if record["config_hash"] != config_hash(config) and there != here:
        changed = _differing(there, here)
        raise UserError(
            f"{place!r} holds a run with another configuration ({changed}); give another output or delete that folder"
        )
    return record if record["finished"] else None


def _as_of_now(recorded: dict, kind: type[Config]) -> dict:
    """A recorded configuration with the defaults of all later keys, or as it is if ``kind`` refuses it now."""
    try:
        return build_config(kind, recorded).model_dump(mode="json")
    except UserError:
        return recorded


def _differing(old: dict, new: dict, prefix: str = "") -> str:
    parts = []
    for key in sorted(old.keys() | new.keys()):
        before, after = old.get(key), new.get(key)
        if isinstance(before, dict) and isinstance(after, dict):
            parts.append(_differing(before, after, f"{prefix}{key}."))
        elif before != after:
            parts.append(f"{prefix}{key}: {before!r} there, {after!r} here")
    return ", ".join(part for part in parts if part)


def _seeds(config: dict[str, Any], prefix: str = "") -> dict[str, int]:
    """Every seed of a configuration by its dotted key."""
    found = {}
    for key, value in config.items():
        if isinstance(value, dict):
            found |= _seeds(value, f"{prefix}{key}.")
        elif key == "seed":
            found[prefix + key] = value
    return found


def hosts() -> list[str]:
    """Names of the live nodes of the cluster that this process is connected to, or of this machine alone."""
    if not ray.is_initialized():
        return [platform.node()]
    return sorted({node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]})


def git_revision() -> str | None:
    """The commit of the working folder, or of the checkout that it was uploaded from where CFRAY_REVISION names it."""
    if REVISION in os.environ:
        return os.environ[REVISION]
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True, cwd=os.getcwd())
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
