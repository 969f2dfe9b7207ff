"""The names of what a run makes on a server."""

from __future__ import annotations

import re

import pytest

from pgherd.postgres import naming

LONG = "w" * 60


def test_a_run_has_eight_hexadecimal_digits():
    """A run's id is eight hexadecimal digits in lower case."""
    assert re.fullmatch("[0-9a-f]{8}", naming.new_run_id())


def test_runs_differ():
    """A thousand runs have a thousand ids, give or take a coincidence of one in 8,000."""
    assert len({naming.new_run_id() for _ in range(1000)}) > 998


def test_a_clone_is_named_by_its_run_and_worker():
    """A clone's name shows whose it is."""
    assert naming.clone("0123abcd", "gw0") == "pgherd_0123abcd_gw0"


@pytest.mark.parametrize(
    ("worker", "name"),
    [
        ("a b/ü\"'%s", "pgherd_0123abcd_a b/ü\"'%s"),
        ("w" * 37, f"pgherd_0123abcd_{'w' * 37}"),
        ("w" * 38, "pgherd_0123abcd_1f0d5a50e40dec8b"),
        (LONG, "pgherd_0123abcd_e0bd8d50bd21a3aa"),
        ("é" * 24, "pgherd_0123abcd_d16bd3414b727bdc"),
    ],
)
def test_any_text_may_be_a_worker(worker: str, name: str):
    """An id is kept as it is if 10 of 63 bytes are left; a longer one is replaced by its digest."""
    assert naming.clone("0123abcd", worker) == name
    assert len(name.encode()) <= 53


def test_no_clone_is_named_like_another_and_more():
    """What else a worker makes is named after its clone and an underscore, so no id has one."""
    assert naming.clone("0123abcd", "gw1_2") == "pgherd_0123abcd_c6cb68ac58d5acb4"


def test_long_workers_do_not_share_a_clone():
    """Two long ids that differ at the end only have clones of their own."""
    assert naming.clone("0123abcd", f"{LONG}1") != naming.clone("0123abcd", f"{LONG}2")


def test_clones_of_a_run_begin_alike():
    """The names of a run's clones, the digested ones too, begin with what `clones_of` gives."""
    assert naming.clones_of("0123abcd") == "pgherd_0123abcd_"
    assert naming.clone("0123abcd", LONG).startswith("pgherd_0123abcd_")


def test_a_template_is_named_by_a_digest():
    """A template's name has sixteen digits of the SHA-256 of its fingerprints."""
    assert naming.template("a", "b") == "pgherd_template_59b271ae1bbcb1d3"
    assert naming.template("ab") == "pgherd_template_fb8e20fc2e4c3f24"


def test_a_template_fits_however_long_its_fingerprint():
    """A template's name is 32 bytes long whatever the fingerprint."""
    assert len(naming.template("é" * 10_000).encode()) == 32


@pytest.mark.parametrize(
    ("database", "run"),
    [
        ("pgherd_0123abcd_gw0", "0123abcd"),
        ("pgherd_0123abcd_", "0123abcd"),
        ("pgherd_template_59b271ae1bbcb1d3", None),
        ("pgherd_0123abc_gw0", None),
        ("pgherd_0123ABCD_gw0", None),
        ("pgherd_0123abcd", None),
        ("my_pgherd_0123abcd_gw0", None),
        ("postgres", None),
        ("", None),
    ],
)
def test_the_run_is_read_out_of_the_name(database: str, run: str | None):
    """Only a clone's name has a run in it."""
    assert naming.run_of(database) == run


def test_a_lock_key_is_a_signed_number_of_64_bits():
    """A key is the first eight bytes of a SHA-256, read as a signed number: above zero or below."""
    assert naming.lock_key("0123abcd") == 0x3FA1A53C4869E6ED
    assert naming.lock_key("a") == 0x9350E93C8E2EEEEA - 2**64


def test_lock_keys_are_in_the_range_of_bigint():
    """Every key is a bigint, whatever the name."""
    keys = [naming.lock_key(str(number)) for number in range(1000)]
    assert min(keys) >= -(2**63)
    assert max(keys) < 2**63
    assert len(set(keys)) == 1000
