"""A Ray head in processes of its own, with a job server and token authentication, as `ray start --head` makes it."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import psutil
from ray.job_submission import JobSubmissionClient

from tests.integration.conftest import REPOSITORY

T = TypeVar("T")
BIN = Path(sys.executable).parent
BOUND = 600  # seconds that anything may take


class Head:
    """The head, and the command line of ``ray`` for it; ``options`` of ``ray start``, ``variables`` of the environment."""

    def __init__(self, folder: str, *options: str, port: int, variables: dict[str, str]):
        self.gcs, self.address = f"127.0.0.1:{port}", f"http://127.0.0.1:{free_port()}"
        self._log = Path(folder, "head.log")
        without = {name: value for name, value in os.environ.items() if not name.startswith(("RAY_", "CFRAY_"))}
        # `python` of a submitted job is the first one in the head's PATH.
        self._outside = without | {"PATH": f"{BIN}:{os.environ['PATH']}", "PYTHONUNBUFFERED": "1"} | variables
        self.environment = self._outside | {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        command = [
            BIN / "ray", "start", "--head", "--block", f"--port={port}", f"--dashboard-port={self.address.rpartition(':')[2]}",
            f"--dashboard-agent-listen-port={free_port()}", f"--ray-client-server-port={free_port()}", f"--temp-dir={folder}",
            f"--object-store-memory={200 * 2**20}", "--disable-usage-stats", *options,
        ]  # fmt: skip
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, env=self.environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )

    def wait(self) -> None:
        """Until the job server answers."""

        def answers() -> bool:
            assert self._process.poll() is None, self._log.read_text()
            return self.ray("job", "list").returncode == 0

        until(answers, "the job server does not answer")

    def run(self, *command: str | Path, token: bool = True) -> subprocess.CompletedProcess:
        """Run a command in the repository; without ``token`` as someone who has none."""
        return subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, timeout=BOUND,
            env=(self.environment if token else self._outside) | {"RAY_API_SERVER_ADDRESS": self.address},
        )  # fmt: skip

    def ray(self, *arguments: str, token: bool = True) -> subprocess.CompletedProcess:
        return self.run(BIN / "ray", *arguments, token=token)

    def submit(self, *entrypoint: str, options: tuple[str, ...] = (), token: bool = True) -> subprocess.CompletedProcess:
        """``ray job submit --working-dir . -- python ENTRYPOINT``."""
        return self.ray("job", "submit", "--working-dir", ".", *options, "--", "python", *entrypoint, token=token)

    def client(self) -> JobSubmissionClient:
        return JobSubmissionClient(self.address, headers={"Authorization": f"Bearer {self.environment['RAY_AUTH_TOKEN']}"})

    def wait_for_line(self, job: str, text: str) -> None:
        """Until the job's log holds ``text``.

        Raises:
            AssertionError: with the log, if the job ends without it or does not say it in time.
        """
        client = self.client()

        def said() -> bool:
            status, log = client.get_job_status(job), client.get_job_logs(job)
            assert text in log or not status.is_terminal(), f"{job} {status} without {text!r}:\n{log}"
            return text in log

        until(said, lambda: f"{job} {client.get_job_status(job)} does not say {text!r}:\n{client.get_job_logs(job)}")

    def stop(self) -> None:
        """Kill all its processes at once; asked to end, Ray takes half a minute."""
        ours = [psutil.Process(self._process.pid), *psutil.Process(self._process.pid).children(recursive=True)]
        for process in ours:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(ours, timeout=BOUND)
        self._process.wait()


@contextmanager
def started_head(*options: str, port: int | None = None, variables: dict[str, str] | None = None) -> Iterator[Head]:
    """A head that answers, and is gone after the block."""
    folder = tempfile.mkdtemp(prefix="cf")  # short, as the path of a socket is at most 107 characters long
    head = Head(folder, *options, port=port or free_port(), variables=variables or {})
    try:
        head.wait()
        yield head
    finally:
        head.stop()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(condition: Callable[[], T], what: str | Callable[[], str]) -> T:
    """The first truth that ``condition`` returns; ``what`` says what is wrong if there is none in time."""
    deadline = time.monotonic() + BOUND
    while not (found := condition()):
        assert time.monotonic() < deadline, what() if callable(what) else what
        time.sleep(0.5)
    return found
