"""Generate, train and evaluate while actors, worker nodes and drivers are killed and the storage fails: what is lost.

    python -m benchmarks.chaos [--kills 10] [--minutes 20] [--seed 0]

First one round undisturbed, on a cluster of a head and two worker nodes on this machine and a real S3 server (moto). Then
rounds of the same three jobs, to new places, of whose requests 5 % fail (a 500, a 503, a second of silence and a cut), and in
which at random an actor or training worker is killed, a worker node (another one joins), or the job's driver; every stage gets
its share of kills. A driver that ended is started again, as a user would. In the first round the quota of the bucket is hit
once. What came out is compared with the undisturbed round.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import psutil
import pyarrow as pa
import torch
import yaml

from benchmarks.simulated import local_cluster
from cfray import storage
from cfray.clip.model import load_clip
from cfray.dataset.schema import IMAGE, encode_png
from cfray.dataset.store import PLAN, finished_ids, read_sets, read_table, write_table
from cfray.errors import UserError
from cfray.world import corpora
from tests.object_store import ObjectStore

REPOSITORY = Path(__file__).parents[1]
STAGES = ("generate", "train", "evaluate")
KINDS = ("actor", "actor", "node", "driver")  # drawn from
KILLS_PER_STAGE = 3  # of a round, at most: more often than a stage can get anywhere proves nothing
PAUSE = (4.0, 14.0)  # seconds from a start or a kill to the next kill
STARTS, START_SECONDS = 12, 240
CPUS = 3
# Not actors of jobs: workers in waiting, the counter of what is done, and Ray's agents, whose node dies or starves with them.
SPARED = tuple(f"ray::{name}" for name in ("IDLE", "Progress", "DashboardAgent", "RuntimeEnvAgent"))
PAINTER = {"model": "world:text-to-image", "steps": 4, "num_cpus": 0.5, "batch_size": 2}


def configurations(place: str, data: str, prompts: str) -> dict[str, dict]:
    """The smallest recipes in which there is something to lose: 16 sets in parts of two, six checkpoints, four alphas."""
    generate = {
        "output": f"{place}/sets", "concepts": {"file": "world-professions", "names": ["doctor", "chef"]},
        "appearances": {"file": "appearance-world", "variants": 4}, "sets_per_concept": 8, "rows_per_file": 2,
        "base": PAINTER, "inpaint": PAINTER, "checks": {"min_variants": 2, "num_cpus": 0.2},
        "masks": {"model": "world:parser", "num_cpus": 0.2, "batch_size": 4, "min_area": 0.0, "max_area": 1.0},
    }  # fmt: skip
    train = {
        "output": f"{place}/train", "data": f"{place}/sets", "model": "world:clip", "steps": 60, "sets_per_batch": 4,
        "images_per_set": 3, "checkpoint_every": 10, "learning_rate": 1e-4, "workers": 2, "max_failures": 4,
        "huggingface": False,
    }  # fmt: skip
    ranking = {"k": [20], "prompts": [prompts]}
    labelled = {"kind": "labelled", "name": "portraits", "labels": data, "attributes": ["gender"], "ranking": ranking}
    evaluate = {
        "output": f"{place}/evaluate", "base": "world:clip", "tuned": f"{place}/train/checkpoint", "benchmarks": [labelled],
        "alphas": [0, 0.3, 0.6, 1], "bootstrap": 10, "floor_permutations": 10, "workers": 2,
    }  # fmt: skip
    return {"generate": generate, "train": train, "evaluate": evaluate}


class Chaos:
    """Runs jobs on one cluster and counts what it does to them."""

    def __init__(self, cluster, workers: list, server: ObjectStore, scratch: Path, seed: int):
        self._cluster, self._workers, self._server, self._scratch = cluster, workers, server, scratch
        self._random, self.deadline = random.Random(seed), float("inf")  # no kill after the deadline
        self.kills: Counter[tuple[str, str]] = Counter()
        self.starts, self.quota_hits, self.odd_ends = Counter(), 0, []

    def stage(self, name: str, config: dict, kills: int, *, quota: bool = False) -> float:
        """Run a job until it succeeds, with at most so many kills; returns the seconds it took.

        Raises:
            RuntimeError: if it did not succeed after ``STARTS`` starts.
        """
        file = self._scratch / f"{name}.yaml"
        file.write_text(yaml.safe_dump(config))
        began, left = time.monotonic(), kills
        if quota:
            self._server.full = "quota"
        for start in range(STARTS):
            self.starts[name] += 1
            code, killed, left = self._one_start(name, file, left)
            if code == 0:
                seconds = time.monotonic() - began
                print(f"{name}: {start + 1} starts, {kills - left} kills, {seconds:.0f} s", flush=True)
                return seconds
            last = (self._scratch / "log").read_text().strip().splitlines()[-1:]
            if self._server.full and code == 2 and last and last[0].startswith("error: no space left to write"):
                self.quota_hits, self._server.full = self.quota_hits + 1, None
            elif not killed:
                self.odd_ends.append(f"{name}, start {start + 1}, exit code {code}: {' '.join(last)[:200]}")
        raise RuntimeError(f"{name} did not succeed in {STARTS} starts: {self.odd_ends}")

    def _one_start(self, name: str, file: Path, left: int) -> tuple[int | None, bool, int]:
        """Exit code, whether this killed the driver, and kills that are left."""
        environment = os.environ | {"RAY_ADDRESS": self._cluster.address, "CFRAY_WAIT_FOR_NODES": "60"}
        with (self._scratch / "log").open("wb") as log:
            driver = subprocess.Popen(
                [sys.executable, f"jobs/{name}.py", "--config", str(file)],
                cwd=REPOSITORY, env=environment, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip
        begun, killed = time.monotonic(), False
        kind, due = self._next()
        while driver.poll() is None:
            time.sleep(0.2)
            now = time.monotonic()
            if now - begun > START_SECONDS:
                driver.kill()
                self.odd_ends.append(f"{name} was hanging after {START_SECONDS} s")
            elif left and now > due and not self._server.full and now < self.deadline and self._kill(kind, driver):
                left, killed = left - 1, killed or kind == "driver"
                self.kills[name, kind] += 1
                kind, due = self._next()
        return driver.returncode, killed, left

    def _next(self) -> tuple[str, float]:
        return self._random.choice(KINDS), time.monotonic() + self._random.uniform(*PAUSE)

    def _kill(self, kind: str, driver: subprocess.Popen) -> bool:
        """Whether there was one to kill: of actors only those that have begun to load what they need."""
        actors = _working()
        if not actors:
            return False
        if kind == "actor":
            self._random.choice(actors).kill()
        elif kind == "driver":
            driver.kill()
        else:
            node = self._workers.pop(self._random.randrange(len(self._workers)))
            self._cluster.remove_node(node, allow_graceful=False)
            self._workers.append(self._cluster.add_node(num_cpus=CPUS, object_store_memory=100 * 2**20, wait=False))
        return True


def _working() -> list[psutil.Process]:
    """The actors of jobs among the processes below this one."""
    found = []
    for process in psutil.Process().children(recursive=True):
        try:
            title = process.cmdline()[:1]
        except psutil.Error:  # it has ended meanwhile
            continue
        if title and title[0].startswith("ray::") and not title[0].startswith(SPARED):
            found.append(process)
    return sorted(found, key=lambda process: process.pid)


def damage(configs: dict[str, dict], calm: dict[str, dict]) -> Counter[str]:
    """What a round lost, doubled, changed or corrupted, against the undisturbed one."""
    sets, counts = configs["generate"]["output"], Counter()
    planned = read_table(storage.join(sets, PLAN), ["set_id"])["set_id"].to_pylist()
    found = Counter(finished_ids(sets))
    counts["sets"] = len(planned)
    counts["lost"] = len(set(planned) - set(found))
    counts["doubled"] = sum(n > 1 for n in found.values())
    pictures, expected = _pictures(sets), _pictures(calm["generate"]["output"])
    counts["changed"] = sum(pictures.get(set_id) != images for set_id, images in expected.items())
    for place in (configs["evaluate"]["tuned"], storage.join(configs["evaluate"]["output"], "recommended")):
        try:
            load_clip(place)  # compares checksums
            counts["checkpoints"] += 1
        except (UserError, OSError) as error:
            print(f"corrupt: {error}", flush=True)
            counts["corrupt"] += 1
    calm_weights = load_clip(calm["evaluate"]["tuned"]).model.state_dict()
    weights = load_clip(configs["evaluate"]["tuned"]).model.state_dict()
    counts["checkpoints other than undisturbed"] = not all(torch.equal(weights[key], calm_weights[key]) for key in weights)
    return counts


def _pictures(sets: str) -> dict[str, list[bytes]]:
    rows = read_sets(sets, status=None).to_pylist()
    return {row["set_id"]: [row["base"]["bytes"], *(v["image"]["bytes"] for v in row["variants"])] for row in rows}


def write_portraits(bucket: str) -> str:
    """Sixty labelled portraits, over and over: two parts for the embedding pass."""
    corpus = corpora.portraits(60, 7)
    cells = [encode_png(picture) for picture in corpus.pictures]
    rows = [i % 60 for i in range(1500)]
    columns = {"image": pa.array([cells[i] for i in rows], IMAGE), "gender": [corpus.labels["gender"][i] for i in rows]}
    write_table(f"{bucket}/portraits.parquet", pa.table(columns))
    return f"{bucket}/portraits.parquet"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument(
        "--minutes", type=float, default=20, help="after the undisturbed round; then no kill and no round is begun"
    )
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    server = ObjectStore(seed=arguments.seed)
    os.environ.update(server.environment)
    os.environ["PYTHONPATH"] = str(REPOSITORY)
    bucket = server.create_bucket("chaos")
    data = write_portraits(bucket)
    with tempfile.TemporaryDirectory() as folder, local_cluster(2, CPUS) as (cluster, workers):
        prompts = Path(folder, "prompts.yaml")
        prompts.write_text("name: jobs\ntemplates: ['a photo of a {}']\nconcepts: [doctor, chef]\n")
        chaos = Chaos(cluster, workers, server, Path(folder), arguments.seed)
        calm = configurations(f"{bucket}/calm", data, str(prompts))
        undisturbed = {name: chaos.stage(name, calm[name], 0) for name in STAGES}
        print("undisturbed: " + ", ".join(f"{name} {seconds:.0f} s" for name, seconds in undisturbed.items()), flush=True)
        chaos.starts.clear()
        chaos.deadline = time.monotonic() + 60 * arguments.minutes
        total, seconds, rounds = Counter(), Counter(), 0
        while chaos.kills.total() < arguments.kills and time.monotonic() < chaos.deadline:
            configs = configurations(f"{bucket}/{rounds}", data, str(prompts))
            server.share, server.kinds, server.stall = 0.05, ("500", "503", "stall"), 1.0
            for number, name in enumerate(STAGES):
                left = arguments.kills - chaos.kills.total()
                share = min(KILLS_PER_STAGE, -(-left // (len(STAGES) - number)))
                seconds[name] += chaos.stage(name, configs[name], share, quota=rounds == 0 and name == "generate")
            server.share, rounds = 0.0, rounds + 1
            total += damage(configs, calm)
            print(f"round {rounds}: {chaos.kills.total()} kills, {dict(total)}", flush=True)
    report(chaos, server, undisturbed, seconds, rounds, total)
    raise SystemExit(1 if total["lost"] or total["doubled"] or total["changed"] or total["corrupt"] else 0)


def report(chaos: Chaos, server: ObjectStore, undisturbed: dict, seconds: Counter, rounds: int, total: Counter) -> None:
    print("| stage | actors killed | nodes | drivers | starts of the job | seconds a round | undisturbed |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name in STAGES:
        kills = " | ".join(str(chaos.kills[name, kind]) for kind in ("actor", "node", "driver"))
        print(f"| {name} | {kills} | {chaos.starts[name]} | {seconds[name] / rounds:.0f} | {undisturbed[name]:.0f} |")
    figures = {"rounds": rounds, "kills": chaos.kills.total(), "requests": server.requests}
    figures |= {f"answered with {kind}": server.faults[kind] for kind in ("500", "503", "stall", "quota")}
    figures |= {"quota hit and gone on": chaos.quota_hits, "ends of a job whose driver was not killed": len(chaos.odd_ends)}
    wanted = ("sets", "lost", "doubled", "changed", "checkpoints", "corrupt", "checkpoints other than undisturbed")
    figures |= {name: total[name] for name in wanted}
    print("\n".join(f"{name}: {value}" for name, value in figures.items()))
    print("\n".join(chaos.odd_ends))


if __name__ == "__main__":
    main()
