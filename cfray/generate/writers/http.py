"""Captions through an OpenAI-compatible HTTP endpoint, with retries and a rate limit."""

from __future__ import annotations

import http.client
import json
import os
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from cfray.errors import UserError
from cfray.generate.config import HttpWriterConfig
from cfray.generate.writers.prompt import Conversation

_RETRIED = (408, 409, 425, 429, 500, 502, 503, 504)
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 60.0


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect would carry the key to another host."""

    def redirect_request(self, *arguments, **options) -> None:
        return None


class HttpWriter:
    """Asks ``url``/chat/completions. The key is read from the environment and is in no message of this class.

    Raises:
        UserError: if the URL is none, the key's variable is not set, or the endpoint refuses or does not answer after
            all retries.
    """

    def __init__(self, config: HttpWriterConfig):
        if not config.url.startswith(("http://", "https://")):
            raise UserError(f"write_captions.url={config.url!r} is no http(s) address; give for example https://host/v1")
        if "@" in urllib.parse.urlsplit(config.url).netloc:
            # Not shown: the URL goes into messages and the record.
            raise UserError(
                "write_captions.url holds a password; put it into a variable and name that in write_captions.key_env"
            )
        if config.key_env is not None and not os.environ.get(config.key_env):
            raise UserError(f"write_captions.key_env={config.key_env!r}: that variable is not set; put the key in it")
        self._config = config
        self._limit = RateLimit(config.requests_per_minute)
        self._opener = urllib.request.build_opener(_NoRedirect())

    def __call__(self, conversations: list[Conversation]) -> list[str]:
        with ThreadPoolExecutor(self._config.parallel) as pool:
            return list(pool.map(self._ask, conversations))

    def _ask(self, conversation: Conversation) -> str:
        config, pause = self._config, FIRST_PAUSE
        for attempt in range(config.retries + 1):
            self._limit.wait()
            wait = pause
            try:
                with self._opener.open(self._request(conversation), timeout=config.timeout_seconds) as response:
                    return json.load(response)["choices"][0]["message"]["content"] or ""
            except urllib.error.HTTPError as error:
                problem = f"answered {error.code} {error.reason}"
                if error.code not in _RETRIED:
                    raise UserError(f"{config.url} {problem}; check write_captions.url, model and key") from None
                wait = max(pause, _seconds(error.headers.get("Retry-After")))
            except (OSError, http.client.HTTPException) as error:
                problem = f"did not answer ({type(error).__name__})"
            except (ValueError, LookupError, TypeError):
                problem = "answered something that is no chat completion"
            if attempt < config.retries:
                time.sleep(min(wait, LONGEST_PAUSE))
                pause *= 2
        raise UserError(f"{config.url} {problem}, {config.retries + 1} times; try later or raise write_captions.retries")

    def _request(self, conversation: Conversation) -> urllib.request.Request:
        config = self._config
        body = {"model": config.model, "messages": conversation} | config.sampling.model_dump()
        headers = {"Content-Type": "application/json"}
        if config.key_env is not None:
            headers["Authorization"] = f"Bearer {os.environ[config.key_env]}"
        return urllib.request.Request(f"{config.url.rstrip('/')}/chat/completions", json.dumps(body).encode(), headers)


class RateLimit:
    """Lets callers through one by one, evenly spaced, at most ``per_minute`` of them a minute; shared by threads."""

    def __init__(self, per_minute: float):
        self._gap = 60 / per_minute
        self._next = 0.0
        self._lock = threading.Lock()

    def wait(self) -> None:
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next)
            self._next = turn + self._gap
        time.sleep(turn - now)


def _seconds(retry_after: str | None) -> float:
    """A Retry-After header in seconds; 0 where there is none or it is a date."""
    try:
        return float(retry_after or 0)
    except ValueError:
        return 0.0
