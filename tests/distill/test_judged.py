"""What a mock server that others wrote says of how ours are asked."""

import pytest

from curate.models.asking import Asking, Patience
from tests.distill.test_asking import asked, body_of

pytest.importorskip("llmock", reason="comes with the extra dev")


def test_faults_are_handled_as_they_should_be(llmock):
    llmock.fail(500, times=3).rate_limit(times=2, retry_after=0.4).fail(503, retry_after=0.2)
    asking = Asking(llmock.base_url("openai"), "key", 6, Patience(tries=6, seconds=10))
    answers = asked(asking, [body_of(str(n)) for n in range(20)])
    assert all(answer.text for answer in answers)
    assert len(llmock.requests) == 26
    llmock.assert_resilient(strict=True)


@pytest.mark.long
@pytest.mark.timeout(200)
def test_a_quota_is_never_met(llmock):
    llmock.limits(rpm=120)
    asking = Asking(llmock.base_url("openai"), "key", 16, Patience(seconds=10), rpm=114)
    answers = asked(asking, [body_of(str(n)) for n in range(130)])
    assert all(answer.text for answer in answers)
    assert {record.status for record in llmock.requests} == {200}
    llmock.assert_resilient(strict=True)
