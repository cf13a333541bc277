"""Topics and payloads, well-formed and not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import ANY_JSON, ODD, RELAXED, objects
from upparat.iotjobs.wire import (
    MAX_LISTED,
    ExecutionState,
    Malformed,
    Topics,
    addressable,
    decode,
    encode,
    execution,
    execution_state,
    listed_keys,
    summaries,
)
from upparat.job import ExecutionKey, JobExecution, JobExecutionSummary, Status

SUMMARY: dict[str, Any] = {
    "jobId": "a",
    "queuedAt": 1700000000,
    "lastUpdatedAt": 1700000001,
    "executionNumber": 2,
    "versionNumber": 3,
}
KEY = ExecutionKey("a", 2, 1700000000)

STATUSES = st.sampled_from([*Status, "queued", ""])
NUMBERS = st.integers() | st.floats() | st.integers().map(str)
ENTRIES = objects(jobId=st.just("a"), queuedAt=NUMBERS, executionNumber=NUMBERS)
EXECUTIONS = objects(
    jobId=st.sampled_from("ab"),
    status=STATUSES,
    queuedAt=NUMBERS,
    executionNumber=NUMBERS,
    versionNumber=NUMBERS,
    statusDetails=objects(state=st.text(), message=st.text()),
    jobDocument=objects(action=st.just("upparat-update")),
)
STATES = objects(status=STATUSES, versionNumber=NUMBERS, statusDetails=objects(state=st.text()))


class TopicsTests(SynchronousTestCase):
    def test_topics(self) -> None:
        topics = Topics("my:thing")
        base = "$aws/things/my:thing/jobs/"
        self.assertEqual(topics.base, base)
        self.assertEqual(topics.notify, base + "notify")
        self.assertEqual(topics.get, base + "get")
        self.assertEqual(topics.describe("j-1"), base + "j-1/get")
        self.assertEqual(topics.update("j-1"), base + "j-1/update")
        self.assertEqual(
            topics.filters,
            (base + "notify", base + "get/+", base + "+/get/+", base + "+/update/+"),
        )

    def test_limits_of_aws(self) -> None:
        """256 bytes and 7 slashes; 8 filters in one SUBSCRIBE."""
        topics = Topics("t" * 128)
        answer = topics.update("j" * 64) + "/accepted"
        self.assertLessEqual(len(answer), 256)
        self.assertLessEqual(answer.count("/"), 7)
        self.assertLessEqual(len(topics.filters), 8)

    def test_addressable(self) -> None:
        for job_id in ("a", "A-b_9", "x" * 64, "getx", "Get", "accepted"):
            self.assertTrue(addressable(job_id), job_id)
        for job_id in (
            *("", "x" * 65, "a/b", "a+", "#", "$next", "a b", "a:b", "é", "a\n", "\ud800"),
            *("get", "start-next", "notify", "notify-next"),
        ):
            self.assertFalse(addressable(job_id), job_id)


class PayloadTests(SynchronousTestCase):
    def test_encode(self) -> None:
        self.assertEqual(encode({"a": [1, True], "b": "é"}), b'{"a":[1,true],"b":"\\u00e9"}')

    def test_decode(self) -> None:
        self.assertEqual(decode(b' {"a": null}'), {"a": None})

    def test_no_object(self) -> None:
        for payload in (
            *(b"", b"{", b"nonsense", b"\xff\xfe", b'"\xff"', b"[]", b'"a"', b"1", b"null"),
            *(b"[" * 100_000, b'{"a":' * 100_000, b"1" * 5000),
        ):
            self.assertRaises(Malformed, decode, payload)

    @RELAXED
    @given(st.binary() | ANY_JSON.map(lambda value: json.dumps(value).encode()))
    def test_any_bytes(self, payload: bytes) -> None:
        with contextlib.suppress(Malformed):
            self.assertIsInstance(decode(payload), dict)

    @RELAXED
    @given(st.dictionaries(st.text(), ANY_JSON))
    def test_round_trip(self, value: dict[str, object]) -> None:
        self.assertEqual(repr(decode(encode(value))), repr(value))


class SummariesTests(SynchronousTestCase):
    def test_a_list_beyond_reason(self) -> None:
        entries = [{**SUMMARY, "jobId": f"job-{number}"} for number in range(1000)]
        self.assertEqual(len(summaries(entries, Status.QUEUED)), MAX_LISTED)

    def test_ids_that_cannot_be_asked_for(self) -> None:
        self.assertEqual(summaries([{**SUMMARY, "jobId": "get"}], Status.QUEUED), [])

    def test_one(self) -> None:
        self.assertEqual(
            summaries([SUMMARY], Status.QUEUED), [JobExecutionSummary(KEY, Status.QUEUED)]
        )

    def test_oldest_first(self) -> None:
        ages = {"c": 3, "a": 1, "b": 2}
        entries = [{**SUMMARY, "jobId": job_id, "queuedAt": age} for job_id, age in ages.items()]
        found = summaries(entries, Status.IN_PROGRESS)
        self.assertEqual([summary.key.job_id for summary in found], ["a", "b", "c"])

    def test_of_one_age_as_listed(self) -> None:
        found = summaries([{"jobId": name} for name in "cab"], Status.IN_PROGRESS)
        self.assertEqual([summary.key.job_id for summary in found], ["c", "a", "b"])

    def test_entries_that_make_no_sense(self) -> None:
        entries: list[Any] = [None, 1, "a", [], {}, {"jobId": ""}, {"jobId": 7}, SUMMARY]
        self.assertEqual([each.key for each in summaries(entries, Status.QUEUED)], [KEY])

    def test_no_list(self) -> None:
        for value in (None, {}, "ab", 1, {"jobId": "a"}):
            self.assertEqual(summaries(value, Status.QUEUED), [])

    def test_numbers(self) -> None:
        """Old samples of AWS show milliseconds, and numbers as strings."""
        for value, queued_at in (
            (1700000000123, 1700000000),
            ("1700000000", 1700000000),
            (1700000000.9, 1700000000),
            *((odd, 0) for odd in (*ODD, "x", float("nan"), float("inf"), 1e300)),
            *((2**63 - 1, (2**63 - 1) // 1000), (2**63, 0), (10**400, 0), ("9" * 4000, 0)),
        ):
            (found,) = summaries([{**SUMMARY, "queuedAt": value}], Status.QUEUED)
            self.assertEqual(found.key, ExecutionKey("a", 2, queued_at), value)

    def test_members_that_are_missing(self) -> None:
        (found,) = summaries([{"jobId": "a"}], Status.QUEUED)
        self.assertEqual(found.key, ExecutionKey("a", 0, 0))

    @RELAXED
    @given(st.lists(ENTRIES | ANY_JSON) | ANY_JSON)
    def test_any(self, value: object) -> None:
        found = summaries(value, Status.QUEUED)
        ages = [summary.key.queued_at for summary in found]
        self.assertEqual(ages, sorted(ages))
        self.assertTrue(all(isinstance(each.key.job_id, str) for each in found))


class ListedTests(SynchronousTestCase):
    def test_all_lists(self) -> None:
        jobs = {"IN_PROGRESS": [SUMMARY], "QUEUED": [{**SUMMARY, "jobId": "b"}, 1], "NEW": None}
        keys = listed_keys({"timestamp": 1, "jobs": jobs})
        self.assertEqual(keys, {KEY, KEY._replace(job_id="b")})

    def test_none(self) -> None:
        for jobs in (*ODD, [SUMMARY], "a"):
            self.assertEqual(listed_keys({"jobs": jobs}), set())
        self.assertEqual(listed_keys({}), set())

    @RELAXED
    @given(objects(jobs=objects(QUEUED=st.lists(ENTRIES | ANY_JSON))))
    def test_any(self, payload: dict[str, object]) -> None:
        for key in listed_keys(payload):
            self.assertIsInstance(key, ExecutionKey)


class ExecutionTests(SynchronousTestCase):
    def test_all(self) -> None:
        found = execution(
            {
                "timestamp": 1,
                "execution": {
                    **SUMMARY,
                    "status": "IN_PROGRESS",
                    "statusDetails": {"state": "reboot_start", "message": "none", "n": 1},
                    "jobDocument": {"action": "other"},
                },
            },
            "a",
        )
        details = {"state": "reboot_start", "message": "none"}
        self.assertEqual(
            found, JobExecution(KEY, Status.IN_PROGRESS, 3, details, {"action": "other"})
        )

    def test_least(self) -> None:
        found = execution({"execution": {"jobId": "a", "status": "QUEUED"}}, "a")
        self.assertEqual(found, JobExecution(ExecutionKey("a", 0, 0), Status.QUEUED, 0))

    def test_all_statuses(self) -> None:
        for status in Status:
            found = execution({"execution": {"jobId": "a", "status": status.value}}, "a")
            self.assertIs(found.status, status)

    def test_malformed(self) -> None:
        for value in (
            *(*ODD, "a", 1, {"jobId": "a"}, {"status": "QUEUED"}),
            *({"jobId": "a", "status": odd} for odd in (*ODD, "queued", 1)),
            *({"jobId": odd, "status": "QUEUED"} for odd in (*ODD, "b", 1, ["a"])),
        ):
            self.assertRaises(Malformed, execution, {"execution": value}, "a")
        self.assertRaises(Malformed, execution, {}, "a")

    @RELAXED
    @given(objects(execution=EXECUTIONS))
    def test_any(self, payload: dict[str, object]) -> None:
        with contextlib.suppress(Malformed):
            found = execution(payload, "a")
            self.assertEqual(found.job_id, "a")
            self.assertIsInstance(found.state, str)
            self.assertIsInstance(found.ours, bool)


class ExecutionStateTests(SynchronousTestCase):
    def test_all(self) -> None:
        state = {"status": "FAILED", "versionNumber": "4", "statusDetails": {"state": "x", "n": 1}}
        self.assertEqual(
            execution_state({"executionState": state}),
            ExecutionState(Status.FAILED, 4, {"state": "x"}),
        )

    def test_least(self) -> None:
        state = execution_state({"executionState": {"status": "CANCELED"}})
        self.assertEqual(state, ExecutionState(Status.CANCELED, 0, {}))

    def test_none(self) -> None:
        for value in (*ODD, *({"status": odd} for odd in (*ODD, "x", ["QUEUED"]))):
            self.assertIsNone(execution_state({"executionState": value}))
        self.assertIsNone(execution_state({}))

    @RELAXED
    @given(objects(executionState=STATES))
    def test_any(self, payload: dict[str, object]) -> None:
        state = execution_state(payload)
        if state is not None:
            self.assertLess(abs(state.version_number), 2**63)
            self.assertIn(state.status, Status)
