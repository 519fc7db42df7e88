"""An S3 server in this process (moto's), whose answers can be made to fail."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections import Counter

import boto3
from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

ERROR = "<?xml version='1.0'?><Error><Code>{code}</Code><Message>injected</Message></Error>"
ANSWERS = {
    "500": ("500 Internal Server Error", "InternalError"),
    "503": ("503 Service Unavailable", "SlowDown"),
    "quota": ("403 Forbidden", "QuotaExceeded"),
    "bucket quota": ("400 Bad Request", "XMinioAdminBucketQuotaExceeded"),
    "disks": ("507 Insufficient Storage", "XMinioStorageFull"),
}


class ObjectStore:
    """``share`` of the requests fail: with 500, with 503, with a connection that breaks, or after ``stall`` seconds of
    silence. ``faults`` counts them by kind, ``requests`` all. While ``full`` names a kind of ``ANSWERS``, no objects are taken
    in folders parts/."""

    def __init__(self, *, seed: int = 0):
        self.share, self.kinds, self.stall = 0.0, ("500", "503", "broken"), 20.0
        self.full: str | None = None
        self.faults: Counter[str] = Counter()
        self.requests = 0
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._random, self._lock = random.Random(seed), threading.Lock()
        self._server = make_server("127.0.0.1", 0, self._answer, threaded=True)
        self.endpoint = f"http://127.0.0.1:{self._server.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """What the standard chain needs to find this server."""
        return {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.endpoint, "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip

    def create_bucket(self, name: str) -> str:
        key = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
        boto3.client("s3", endpoint_url=self.endpoint, **key).create_bucket(Bucket=name)
        return f"s3://{name}"

    def put(self, bucket: str, objects: dict[str, bytes]) -> None:
        """Many objects at once, past HTTP."""
        backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        for key, content in objects.items():
            backend.put_object(bucket.removeprefix("s3://"), key, content)

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ, start_response):
        with self._lock:
            self.requests += 1
            kind = self._random.choice(self.kinds) if self._random.random() < self.share else None
            if self.full and environ["REQUEST_METHOD"] in ("PUT", "POST") and "/parts/" in environ["PATH_INFO"]:
                kind = self.full
            if kind is not None:
                self.faults[kind] += 1
        if kind is None:
            return self._moto(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        if kind in ANSWERS:
            status, code = ANSWERS[kind]
            start_response(status, [("Content-Type", "application/xml")])
            return [ERROR.format(code=code).encode()]
        if kind == "stall":
            time.sleep(self.stall)
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
        start_response("200 OK", [])
        return []
