"""Bad challengers, and controllers that die, beside a real server: users are answered, and the rollout sees it."""

import shutil
import subprocess
import sys

import pytest
import sqlalchemy as sa

from ft_assets.registry import ledger
from ft_assets.registry.ledger import latest_entry
from ft_assets.rollout.controller import step
from ft_assets.rollout.rollout import open_rollout, rollouts_of
from ft_assets.storage.releases import find_release
from ft_assets.storage.tables import interactions
from ft_assets_tests.faults.canaries import begin, taught_adapter
from ft_assets_tests.serving.conftest import Api, Installation, until
from ft_assets_tests.serving.factory import make_adapter, promote, release_adapter

CONTROLLER = """
import sys, time
from ft_assets.rollout import controller
from ft_assets.storage.home import Home

def look(*given, read=controller.read_evidence):
    print("looks", flush=True)
    time.sleep(float(sys.argv[3]))
    return read(*given)

controller.read_evidence = look
while True:
    controller.step(Home(sys.argv[1]), sys.argv[2])
    print("has looked", flush=True)
    time.sleep(0.05)
"""


@pytest.fixture(scope="module")
def brief(installation: Installation) -> str:
    """Adapter that answers with two words."""
    return taught_adapter(installation.home, installation.folder, "It dumps.")


def routed(
    api: Api, installation: Installation, model: str, champion: str, challenger: str
) -> tuple[str, str]:
    """Addresses of both arms, released and loaded, the first as champion."""
    names = [
        release_adapter(installation.home, model, adapter, installation.base)
        for adapter in (champion, challenger)
    ]
    promote(installation.home, model, names[0])
    for name in names:
        until(lambda name=name: api.ask(name, max_tokens=1).status_code == 200)
    return names[0], names[1]


def controller_until_it(does: str, installation: Installation, model: str, look_seconds: float = 0) -> None:
    """Run the controller as a process of its own until it says this; then `kill -9`."""
    command = [sys.executable, "-c", CONTROLLER, installation.home.root, model, str(look_seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == does:
                process.kill()


def actions(installation: Installation, model: str) -> list[str]:
    return [entry.action for entry in ledger.entries(installation.home, model)]


def test_a_challenger_that_says_nothing_is_rolled_back_though_its_controllers_die(
    api: Api, installation: Installation, brief: str
):
    home, model = installation.home, "silent"
    silent = taught_adapter(home, installation.folder, "")
    champion, challenger = routed(api, installation, model, brief, silent)
    begin(home, challenger, champion)
    until(lambda: (api.model(model) or {}).get("challenger") == challenger)
    told = [api.ask(model, user=f"user-{number}") for number in range(60)]
    assert {answer.status_code for answer in told} == {200}
    said = {answer.headers["x-ft-adapter"]: answer.json()["choices"][0] for answer in told}
    assert (said[challenger]["message"]["content"], said[challenger]["finish_reason"]) == ("", "stop")
    assert said[champion]["message"]["content"]
    ids = [answer.json()["id"] for answer in told]
    recorded = sa.select(interactions.c.inference_id).where(interactions.c.inference_id.in_(ids))
    until(lambda: len(home.database.rows(recorded)) == len(ids))

    controller_until_it("looks", installation, model, look_seconds=60)
    assert actions(installation, model) == ["promote", "canary"]
    assert api.model(model)["challenger"] == challenger  # type: ignore[index]
    controller_until_it("has looked", installation, model)
    assert actions(installation, model) == ["promote", "canary", "rollback"]
    last = latest_entry(home, model)
    assert last is not None and "refusals 1.000 against 0.000" in last.reason
    until(lambda: (api.model(model) or {}).get("challenger") is None, seconds=2)


def test_a_challenger_that_never_comes_to_an_end_is_rolled_back_for_its_latency(
    api: Api, installation: Installation, brief: str
):
    home, model = installation.home, "slow"
    champion, challenger = routed(api, installation, model, brief, installation.adapters[0])
    rollout = begin(home, challenger, champion, guardrails={"cost": None, "refusals": None})
    until(lambda: (api.model(model) or {}).get("challenger") == challenger)
    asked = 0
    while open_rollout(home, model) is not None:
        assert asked < 300
        for _ in range(20):
            asked += 1
            assert api.ask(model, user=f"user-{asked}", max_tokens=30).status_code == 200
        step(home, model)
    (ended,) = rollouts_of(home, model)
    assert (ended.id, ended.state) == (rollout.id, "rolled_back")
    assert ended.verdict is not None and "latency" in ended.verdict["reason"]


def test_an_adapter_that_is_deleted_while_it_serves_goes_on_from_memory(api: Api, installation: Installation):
    home, model = installation.home, "deleted"
    adapter = make_adapter(home, installation.folder, 31)
    champion, _ = routed(api, installation, model, adapter, installation.adapters[1])
    before = api.ask(model).json()["choices"]
    shutil.rmtree(home.artifacts.path("adapters", find_release(home, champion).adapter_digest))
    after = api.ask(model)
    assert (after.status_code, after.json()["choices"]) == (200, before)
