"""schemathesis against a plant: every operation of its OpenAPI document, also one after another.

Besides what schemathesis checks of an answer there is `problem_conformance`: whatever is refused is
a problem of RFC 9457 whose `status` is the answer's, or the JSON of InfluxDB where that is spoken.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import schemathesis
from schemathesis.engine import Status, events, from_schema

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "unsupported_method",
    "allow_header_conformance",
    "missing_required_header",
    "use_after_free",
    "ensure_resource_availability",
    "ignored_auth",
    "problem_conformance",
)
"""What is checked of every answer.

Left out is that whatever the schema allows is accepted: whether a symbol is known or ambiguous, and
whether a page token is one of ours, no schema can say.
"""

PHASES = ("examples", "coverage", "fuzzing", "stateful")
PROBLEM = "application/problem+json"


@schemathesis.check
def problem_conformance(
    ctx: schemathesis.CheckContext, response: schemathesis.Response, case: schemathesis.Case
) -> bool | None:
    """Check that a refusal is one problem, of the status that the answer has."""
    if response.status_code < 400 or case.method == "HEAD":
        return True
    media = response.headers["content-type"][0].partition(";")[0]
    if media == "application/json" and (
        case.path.startswith(("/write", "/api/v2/write", "/query", "/health", "/ready"))
    ):
        return None
    assert media == PROBLEM, media
    body = response.json()
    assert body["status"] == response.status_code
    assert body["title"]
    assert body["detail"]
    return None


@schemathesis.serializer("application/x-ndjson")
def serialize_lines(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """Return a body of lines, which is text already."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@schemathesis.serializer("application/vnd.apache.arrow.stream")
def serialize_arrow(ctx: schemathesis.SerializationContext, value: Any) -> bytes:
    """Return whatever was made up as it is: hardly ever an Arrow stream."""
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")


@dataclass
class Result:
    """What came of a run: cases, answers by status, checks that were made, and what failed."""

    cases: int = 0
    operations: set[str] = field(default_factory=set)
    phases: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    failures: dict[str, str] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def add(self, event: events.ScenarioFinished) -> None:
        """Count a scenario: the cases of one operation, or steps one after another."""
        recorder = event.recorder
        self.cases += len(recorder.cases)
        self.phases[event.phase.value] += len(recorder.cases)
        for case_id, node in recorder.cases.items():
            self.operations.add(node.value.operation.label)
            answer = recorder.find_response(case_id=case_id)
            if answer is not None:
                self.statuses[answer.status_code] += 1
        for case_id, nodes in recorder.checks.items():
            for node in nodes:
                self.checks[node.name] += 1
                if node.status is not Status.SUCCESS and not _is_listed(
                    node.name, recorder.find_response(case_id=case_id)
                ):
                    self._fail(recorder.cases[case_id].value.operation.label, node)

    def _fail(self, operation: str, node: Any) -> None:
        self.failed[node.name] += 1
        info = node.failure_info
        said = "" if info is None else f"{info.failure}\n{info.code_sample}"
        self.failures.setdefault(f"{node.name} {operation}", said[:2_000])

    def merge(self, other: Result) -> None:
        """Add what came of another run."""
        self.cases += other.cases
        self.operations |= other.operations
        for name in ("phases", "statuses", "checks", "failed"):
            getattr(self, name).update(getattr(other, name))
        self.failures |= {k: v for k, v in other.failures.items() if k not in self.failures}
        self.errors += other.errors


def _is_listed(check: str, answer: schemathesis.Response | None) -> bool:
    """Say whether rows were refused one by one: the answer is 201, and lists them with reasons."""
    if check != "negative_data_rejection" or answer is None or answer.status_code != 201:
        return False
    body = answer.json()
    return isinstance(body, dict) and bool(body.get("rejected"))


def abuse(
    url: str,
    *,
    seed: int,
    examples: int,
    phases: tuple[str, ...] = PHASES,
    headers: dict[str, str] | None = None,
    only: str | None = None,
) -> Result:
    """Run schemathesis against the plant at `url`; `only` is a regular expression of paths."""
    checks: dict[str, Any] = {"enabled": False} | {name: {"enabled": True} for name in CHECKS}
    config = schemathesis.Config.from_dict(
        {
            "seed": seed,
            "headers": headers or {},
            "continue-on-failure": True,
            "request-timeout": 20,
            "suppress-health-check": ["all"],
            "generation": {"max-examples": examples, "no-shrink": True, "database": "none"},
            "checks": checks,
            "phases": {name: {"enabled": name in phases} for name in PHASES},
        }
    )
    asked = {"headers": headers} if headers else {}
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json", config=config, **asked)
    if only is not None:
        schema = schema.include(path_regex=only)
    result = Result()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished) and event.is_test_scenario:
            result.add(event)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            result.errors.append(str(getattr(event, "exception", None) or event.info))
    return result
