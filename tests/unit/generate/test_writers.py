import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from cfray.concepts.concepts import Concept
from cfray.config import build_config
from cfray.errors import UserError
from cfray.generate.config import HttpWriterConfig, TransformersWriterConfig, VllmWriterConfig
from cfray.generate.writers import http
from cfray.generate.writers.asking import ask_with, collect, written_captions
from cfray.generate.writers.chat import ChatModel
from cfray.generate.writers.prompt import conversation_for, parse_captions
from cfray.generate.writers.review import fault_of
from tests.checkpoints import save_llama

DOCTOR, NURSE = Concept("doctor"), Concept("nurse")
GOOD = ["a doctor reads a chart in a busy hospital ward", "a doctor with a stethoscope beside an empty bed"]


def test_answers_are_read_line_by_line():
    answer = '1. "A doctor in a ward."\n\n- a doctor  at a desk\n(3) a doctor with a pen\n• **a doctor on call**\n12) a doctor'
    assert parse_captions(answer) == [
        "a doctor in a ward", "a doctor at a desk", "a doctor with a pen", "a doctor on call", "a doctor",
    ]  # fmt: skip


def test_the_prompt_names_concept_count_and_what_is_there():
    system, user = conversation_for(DOCTOR, 7, ["a doctor in a ward"])
    assert system["role"] == "system"
    assert "Write 7 different captions of photographs of a doctor" in user["content"]
    assert user["content"].endswith("a doctor in a ward")


@pytest.mark.parametrize(
    ("caption", "fault"),
    [
        ("a doctor in a white coat beside a window", None),
        ("somebody in a white coat beside a window", "does not contain 'a doctor'"),
        ("a doctorate student reads in a library", "does not contain 'a doctor'"),
        ("a doctor and her patient in a ward", r"names appearance \(her\)"),
        ("a doctor and a waitress in a canteen", r"names appearance \(waitress\)"),
        ("a doctor", "has 2 words"),
        ("a doctor reads a chart in a busy hospital ward today", "says the same as"),
    ],
)
def test_faults(caption, fault):
    found = fault_of(caption, DOCTOR, GOOD)
    if fault is None:
        assert found is None
    else:
        with pytest.raises(AssertionError, match=fault):
            raise AssertionError(found)


def http_config(url: str, **changes) -> HttpWriterConfig:
    data = {"kind": "http", "url": url, "model": "m", "per_concept": 2, "requests_per_minute": 60000, "retries": 3}
    return build_config(HttpWriterConfig, data | changes)


def test_concepts_that_lack_captions_are_asked_again_and_then_reported():
    answers = {"a doctor": iter([f"{GOOD[0]}\na doctor and his dog on a lawn", GOOD[1]]), "a nurse": iter(["nothing"] * 3)}
    asked, saved = [], []

    def ask(conversations):
        asked.append([message[1]["content"] for message in conversations])
        return [next(answer) for text in asked[-1] for name, answer in answers.items() if f"photographs of {name}." in text]

    result = collect([DOCTOR, NURSE], ask, http_config("http://unused", max_rounds=3), {}, lambda r: saved.append(r["rounds"]))
    assert result["captions"] == {"doctor": GOOD, "nurse": []}
    assert [len(conversations) for conversations in asked] == [2, 2, 1]
    assert "Write 1 different captions" in asked[1][0]
    assert result["missing"] == {"nurse": 2}
    assert {row["reason"] for row in result["rejected"]} == {"names appearance (his)", "does not contain 'a nurse'"}
    assert saved == [1, 2, 3]


class _Endpoint(BaseHTTPRequestHandler):
    """An OpenAI-compatible endpoint that gives the server's troubles first and its answer then."""

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), body, time.monotonic()))
        trouble = self.server.troubles.pop(0) if self.server.troubles else None
        if trouble == "cut":
            self.connection.close()
            return
        content = json.dumps({"choices": [{"message": {"content": self.server.answer}}]}).encode()
        if trouble == "no json":
            trouble, content = None, b"<html>"
        self.send_response(trouble or 200)
        if trouble == 302:
            self.send_header("Location", "http://127.0.0.1:1/elsewhere")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Endpoint)
    server.requests, server.troubles, server.answer = [], [], "\n".join(GOOD)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    yield server
    server.shutdown()
    server.server_close()


def test_an_endpoint_that_fails_is_asked_again(endpoint, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(http, "FIRST_PAUSE", 0.01)
    monkeypatch.setenv("WRITER_KEY", "sk-secret")
    endpoint.troubles += [500, "cut", "no json"]
    config = http_config(endpoint.url, key_env="WRITER_KEY")
    assert written_captions([DOCTOR], config, str(tmp_path)) == {"doctor": GOOD}
    path, headers, body, _ = endpoint.requests[-1]
    assert (path, headers["Authorization"], body["model"]) == ("/v1/chat/completions", "Bearer sk-secret", "m")
    assert body["messages"] == conversation_for(DOCTOR, 2, [])
    assert len(endpoint.requests) == 4
    # A second run asks nothing, and the key is nowhere.
    assert written_captions([DOCTOR], config, str(tmp_path)) == {"doctor": GOOD}
    assert len(endpoint.requests) == 4
    assert "sk-secret" not in (tmp_path / "captions.json").read_text() + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("troubles", "message"),
    [
        ([401], "answered 401 Unauthorized; check"),
        ([302], "answered 302 Found; check"),
        ([503] * 4, "answered 503 Service Unavailable, 4 times"),
    ],
)
def test_an_endpoint_that_refuses_is_one_line_without_the_key(endpoint, monkeypatch, troubles, message):
    monkeypatch.setattr(http, "FIRST_PAUSE", 0.01)
    monkeypatch.setenv("WRITER_KEY", "sk-secret")
    endpoint.troubles += troubles
    with pytest.raises(UserError, match=message) as caught:
        http.HttpWriter(http_config(endpoint.url, key_env="WRITER_KEY"))([conversation_for(DOCTOR, 2, [])])
    assert "sk-secret" not in str(caught.value)


def test_a_concept_without_a_usable_caption_is_reported_with_its_rejected_ones(endpoint, tmp_path):
    with pytest.raises(UserError, match=r"1 concepts have no usable caption after 2 rounds \(first: 'nurse'\)"):
        written_captions([DOCTOR, NURSE], http_config(endpoint.url, max_rounds=2), str(tmp_path))
    written = json.loads((tmp_path / "captions.json").read_text())
    assert written["captions"] == {"doctor": GOOD, "nurse": []}
    assert written["missing"] == {"nurse": 2}
    assert len(written["rejected"]) == 4


def test_requests_keep_the_rate():
    limit = http.RateLimit(per_minute=1200)
    started = time.monotonic()
    for _ in range(5):
        limit.wait()
    assert time.monotonic() - started >= 4 * 0.05  # five requests are four gaps of 50 ms, and sleeping is never shorter


def test_a_writer_that_cannot_be_used_says_what_to_do(monkeypatch):
    monkeypatch.delenv("WRITER_KEY", raising=False)
    with pytest.raises(UserError, match="key_env='WRITER_KEY': that variable is not set"):
        ask_with(http_config("http://localhost", key_env="WRITER_KEY"))
    with pytest.raises(UserError, match="is no http"):
        ask_with(http_config("ftp://localhost"))
    with pytest.raises(UserError, match=r"pip install 'cfray\[vllm\]'"):
        ask_with(build_config(VllmWriterConfig, {"kind": "vllm", "model": "m"}))([])


def chat_config(model: str, **changes) -> TransformersWriterConfig:
    sampling = {"max_tokens": 12} | changes
    return build_config(TransformersWriterConfig, {"kind": "transformers", "model": model, "sampling": sampling})


def test_a_llama_answers_conversations_by_its_chat_template(tmp_path):
    model = ChatModel(chat_config(save_llama(tmp_path / "reciter", recites=GOOD)))
    short, long = conversation_for(DOCTOR, 1, []), conversation_for(DOCTOR, 1, GOOD)
    for answer in model.answer([short, long]):
        assert parse_captions(answer) == GOOD


def test_a_random_llama_repeats_itself_and_nothing_it_says_is_used(checkpoints):
    model = ChatModel(chat_config(checkpoints["llama"]))
    answers = model.answer([conversation_for(DOCTOR, 1, [])])
    assert answers == model.answer([conversation_for(DOCTOR, 1, [])])
    assert all(fault_of(caption, DOCTOR, []) for caption in parse_captions(answers[0]))


def test_a_model_without_a_chat_template_is_refused(checkpoints, tmp_path):
    folder = tmp_path / "plain"
    save_llama(folder)
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match="has no chat template"):
        ChatModel(chat_config(str(folder)))
