"""Templates on a given server: a run keeps those that it uses, and drops the oldest."""

from __future__ import annotations

from contextlib import closing

import pytest

from pgherd.options import Options
from pgherd.postgres import connections, databases, locks, naming
from pgherd.run import sweep
from pgherd.run.coordinator import Coordinator
from pgherd.template.build import build
from tests.pgherd.support.external import url_of
from tests.pgherd.support.waiting import wait_until

pytestmark = pytest.mark.slow


def test_a_run_keeps_the_template_that_it_uses(make_role):
    """No sweep drops a template while a run builds or uses it."""
    address = make_role("CREATEDB")
    name = naming.template(address.user, "used")
    with closing(Coordinator(Options(url=url_of(address)), print)) as owner:
        owner.server()
        assert owner.claim(name, "gw0")
        build(address, name)
        sweep.templates(address, keep=0)
        with connections.maintenance(address) as connection:
            assert databases.own_templates(connection) == {name: True}
        owner.settle(name, built=True)
    with connections.maintenance(address) as connection:
        wait_until(lambda: not locks.is_held(connection, naming.use_of(name)), 5)
        sweep.templates(address, keep=0)
        assert databases.own_templates(connection) == {}


def test_a_run_that_built_a_template_drops_the_oldest(make_role):
    """Of five templates, the oldest is dropped when the run has built a sixth."""
    address = make_role("CREATEDB")
    names = [naming.template(address.user, text) for text in "123456"]
    for name in names[:5]:
        build(address, name)
    with closing(Coordinator(Options(url=url_of(address)), print)) as owner:
        owner.server()
        owner.claim(names[5], "main")
        build(address, names[5])
        owner.settle(names[5], built=True)
        with connections.maintenance(address) as connection:
            assert set(databases.own_templates(connection)) == set(names[1:])
