"""The names of what a run creates on a server."""

from __future__ import annotations

import re

import pytest

from pgherd.postgres import naming

LONG = "w" * 60


def test_run_id_has_eight_hexadecimal_digits():
    """A run's id is eight hexadecimal digits in lower case."""
    assert re.fullmatch("[0-9a-f]{8}", naming.new_run_id())


def test_run_ids_differ():
    """A thousand run ids differ, except for one coincidence at most."""
    # One coincidence happens in one of 8,000 runs of this test.
    assert len({naming.new_run_id() for _ in range(1000)}) > 998


def test_clone_is_named_after_its_run_and_worker():
    """A clone's name contains the id of its run and the id of its worker."""
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
def test_worker_id_may_be_any_text(worker: str, name: str):
    """A long worker id is replaced by its digest, so that 10 of 63 bytes are left for a suffix."""
    assert naming.clone("0123abcd", worker) == name
    assert len(name.encode()) <= 53


def test_worker_id_with_an_underscore_is_replaced():
    """`…_gw1_2` is the name of a spare of gw1, so a worker with the id `gw1_2` gets a digest."""
    assert naming.clone("0123abcd", "gw1_2") == "pgherd_0123abcd_c6cb68ac58d5acb4"


def test_long_worker_ids_do_not_share_a_clone():
    """Two long ids that differ only in the last character have clones with two names."""
    assert naming.clone("0123abcd", f"{LONG}1") != naming.clone("0123abcd", f"{LONG}2")


def test_names_of_a_run_begin_alike():
    """`clones_of` returns the beginning of all names of a run's clones, digests included."""
    assert naming.clones_of("0123abcd") == "pgherd_0123abcd_"
    assert naming.clone("0123abcd", LONG).startswith("pgherd_0123abcd_")


def test_template_is_named_by_a_digest():
    """A template's name ends in sixteen digits of the SHA-256 of its fingerprints."""
    assert naming.template("a", "b") == "pgherd_template_59b271ae1bbcb1d3"
    assert naming.template("ab") == "pgherd_template_fb8e20fc2e4c3f24"


def test_long_fingerprint_does_not_lengthen_the_name():
    """A template's name has 32 bytes, however long its fingerprint is."""
    assert len(naming.template("é" * 10_000).encode()) == 32


@pytest.mark.parametrize(
    ("database", "run_id"),
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
def test_run_id_is_read_from_a_clone_name(database: str, run_id: str | None):
    """`run_of` returns the run's id from a clone's name, and None for any other name."""
    assert naming.run_of(database) == run_id


def test_lock_key_is_a_signed_64_bit_number():
    """A key is the first eight bytes of a SHA-256, read as a signed number."""
    assert naming.lock_key("0123abcd") == 0x3FA1A53C4869E6ED
    assert naming.lock_key("a") == 0x9350E93C8E2EEEEA - 2**64


def test_lock_keys_fit_into_bigint():
    """The keys of a thousand names are in the range of bigint, and differ."""
    keys = [naming.lock_key(str(number)) for number in range(1000)]
    assert min(keys) >= -(2**63)
    assert max(keys) < 2**63
    assert len(set(keys)) == 1000
