"""Leases: epochs only grow, and the newest holds the job."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from airflow_provider_bedrock_llm.core.errors import LeaseLostError, OutputError
from airflow_provider_bedrock_llm.jobs.lease import take_lease
from airflow_provider_bedrock_llm.jobs.storage import LocalLocation


@pytest.fixture
def folder(tmp_path):
    return LocalLocation(tmp_path / "job", "work_dir")


def test_the_first_runner_has_epoch_one_and_says_who_it_is(folder):
    lease = take_lease(folder, {"host": "a", "pid": 7})

    lease.check()
    assert lease.epoch == 1
    assert folder.child("lease").child("1").read() == b'{"host": "a", "pid": 7}'


def test_a_later_runner_fences_off_all_before(folder):
    leases = [take_lease(folder, {}) for _ in range(3)]

    leases[2].check()
    for lease in leases[:2]:
        with pytest.raises(LeaseLostError, match="Another runner"):
            lease.check()


def test_an_epoch_is_never_used_twice_even_where_the_leases_were_deleted(folder):
    assert take_lease(folder, {}, used_epochs=[4, 2]).epoch == 5


def test_of_many_at_once_each_gets_an_epoch_of_its_own_without_gaps(folder):
    with ThreadPoolExecutor(8) as pool:
        leases = list(pool.map(lambda _: take_lease(folder, {}), range(40)))

    assert sorted(lease.epoch for lease in leases) == list(range(1, 41))


def test_a_work_dir_that_cannot_be_written_is_named_with_its_setting(tmp_path):
    (tmp_path / "file").write_text("in the way")
    folder = LocalLocation(tmp_path / "file" / "job", "work_dir")

    with pytest.raises(OutputError, match=r"work_dir: .*file/job/lease/1' cannot be used"):
        take_lease(folder, {})
