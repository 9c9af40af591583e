"""Asks a running vLLM, over its OpenAI-compatible API, which content it serves, and how it answers.

API: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html; `/v1/models` lists every `--served-model-name`, of
which base/serving/v1 gives two: the model's name, and `<name>@<first 12 digits of publication.json's SHA-256>`.
"""

from __future__ import annotations

import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tools.errors import ToolFault
from tools.expand import serving
from tools.findings import compose, quote
from tools.formats.behaviour import Case
from tools.formats.promotions import Promotions
from tools.formats.serving_lock import ServingContent

KEY = "OPENAI_API_KEY"
_SECONDS = 120.0
_MOST = 16 << 20  # bytes of one answer


class ServerAway(ToolFault):
    """Nothing usable answers at the address."""


@dataclass(frozen=True)
class Server:
    """One server's base address, without /v1."""

    url: str

    def models(self) -> dict[str, str]:
        """Name -> path that it was loaded from, as far as the server says."""
        answer = self._call("v1/models", None)
        entries = answer.get("data")
        if not isinstance(entries, list) or not all(isinstance(each, dict) for each in entries):
            raise ServerAway(f"{self.url}/v1/models is no list of models; give the address of a vLLM with --url")
        return {str(each.get("id")): str(each.get("root") or "") for each in entries}

    def answer(self, model: str, case: Case) -> tuple[str, float]:
        """The answer to one prompt, greedy, and the seconds that it took."""
        messages = [{"role": "system", "content": case.system}] if case.system else []
        messages.append({"role": "user", "content": case.prompt})
        body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": case.max_new_tokens}
        start = time.monotonic()
        answer = self._call("v1/chat/completions", body)
        seconds = time.monotonic() - start
        try:
            return str(answer["choices"][0]["message"]["content"] or ""), seconds
        except (KeyError, IndexError, TypeError):
            raise ServerAway(f"{self.url}/v1/chat/completions gives no answer; look at the server's log") from None

    def _call(self, path: str, body: Mapping[str, Any] | None) -> dict[str, Any]:
        key = os.environ.get(KEY)
        request = urllib.request.Request(  # noqa: S310 - the command lets http and https through, nothing else
            f"{self.url}/{path}",
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {})},
        )
        try:
            with urllib.request.urlopen(request, timeout=_SECONDS) as response:  # noqa: S310
                answer = json.loads(response.read(_MOST))
        except urllib.error.HTTPError as error:
            hint = f"; {KEY} holds the key" if error.code in {401, 403} else ""
            raise ServerAway(f"{self.url}/{path} refuses: {error.code} {error.reason}{hint}") from None
        except (OSError, ValueError) as error:
            why = getattr(error, "reason", None) or error
            raise ServerAway(f"{self.url}/{path} does not answer: {why}; is the pod ready?") from None
        if not isinstance(answer, dict):
            raise ServerAway(f"{self.url}/{path} answers something else than JSON objects; give --url of a vLLM")
        return answer


def faults(content: ServingContent, models: Mapping[str, str], history: Promotions | None) -> Iterator[str]:
    """In what the server differs from the overlay, a sentence each. history: by which an older content is known."""
    wanted = serving.settings(content)
    name, exact = wanted["MODEL_NAME"], f"{wanted['MODEL_NAME']}@{wanted['MODEL_HASH12']}"
    if name not in models:
        yield compose(f"the server has no model {quote(name)}", ", ".join(sorted(models)) or "nothing", "check --url")
        return
    others = [each for each in models if each.startswith(f"{name}@") and each != exact]
    if exact not in models and not others:
        remedy = "start it with the arguments of base/serving/v1"
        yield compose(f"the server does not say which content {quote(name)} is", exact, remedy)
    for other in others:
        remedy = "wait for the restart, or look at the Deployment's rollout"
        yield compose(
            f"the server serves {quote(other)}{_known(other, history)}", f"{exact}, run {content.served.run_id}", remedy
        )
    for each in (each for each in (name, exact) if models.get(each)):
        if not models[each].rstrip("/").endswith(f"/{wanted['MODEL_FOLDER']}"):
            yield compose(
                f"{quote(each)} was loaded from {quote(models[each])}", f".../{wanted['MODEL_FOLDER']}", "restart it"
            )


def _known(served_name: str, history: Promotions | None) -> str:
    """Which earlier version that is."""
    prefix = served_name.rpartition("@")[2]
    earlier = (each.served for each in (history.promotions if history is not None else ()) if each.served is not None)
    found = next((each for each in earlier if prefix and each.publication.startswith(prefix)), None)
    return f", which is version {found.model_version}, run {found.run_id}" if found is not None else ""


def probe(server: Server, model: str, cases: Sequence[Case], phrases: Sequence[str]) -> Iterator[str]:
    """What the answers fail, a sentence each."""
    from runner.evaluate.checks import failures

    for case in cases:
        answer, seconds = server.answer(model, case)
        yield from failures(case, answer, seconds, phrases)
