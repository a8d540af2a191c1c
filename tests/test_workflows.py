""".github/workflows: what they run exists here, and what they fetch is pinned."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"actions/[\w-]+@v\d+\.\d+\.\d+")
COMMANDS = {"bash .ci/run"}
WEEKLY = re.compile(r"\d{1,2} \d{1,2} \* \* [0-6]")


def read(path):
    """A workflow; "on" is True in YAML 1.1."""
    found = yaml.safe_load(path.read_text(encoding="utf-8"))
    return found | {"on": found[True]}


def targets():
    """{target: names of variables} of the Makefile."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    variables = set(re.findall(r"^([A-Z]+) *=", text, re.M))
    return {name: variables for name in re.search(r"^\.PHONY: (.+)$", text, re.M)[1].split()}


def faults(workflow):
    """What is wrong with a workflow, as sentences."""
    if workflow.get("permissions") != {"contents": "read"}:
        yield "it may do more than read"
    for name, job in workflow["jobs"].items():
        if not job.get("timeout-minutes") or "latest" in job["runs-on"]:
            yield f"{name} has no bound, or a machine that changes"
        if ":" not in job.get("container", {}).get("image", "a:b"):
            yield f"{name} has a container without a version"
        for step in job["steps"]:
            if "uses" in step and not PINNED.fullmatch(step["uses"]):
                yield f"{step['uses']} is not pinned"
            if "run" in step and not runs(step["run"]):
                yield f"{step['run']} does not exist"


def runs(line):
    """Whether a line is a known command, or make with a target and variables of the Makefile."""
    if line in COMMANDS:
        return (ROOT / line.split()[-1]).is_file()
    program, *words = line.split()
    named = [word for word in words if "=" not in word]
    given = {word.partition("=")[0] for word in words} - set(named)
    return program == "make" and bool(named) and all(
        name in targets() and given <= targets()[name] for name in named
    )  # fmt: skip


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_runs_what_exists_and_pins_what_it_fetches(path):
    assert list(faults(read(path))) == []


def test_the_radar_turns_once_a_week_and_by_hand_and_holds_three_jobs():
    radar = read(ROOT / ".github" / "workflows" / "drift.yml")
    assert WEEKLY.fullmatch(radar["on"]["schedule"][0]["cron"])
    assert "workflow_dispatch" in radar["on"]
    made = {step["run"].split()[1] for job in radar["jobs"].values() for step in job["steps"] if "run" in step}  # fmt: skip
    assert made == {"drift-colab", "drift-newest", "links"} and len(radar["jobs"]) == 3


def test_every_push_is_tested():
    assert "push" in read(ROOT / ".github" / "workflows" / "test.yml")["on"]


@pytest.mark.parametrize(
    "step, words",
    [
        ({"uses": "actions/checkout@main"}, "not pinned"),
        ({"uses": "actions/checkout@v6"}, "not pinned"),
        ({"uses": "somebody/checkout@v6.0.2"}, "not pinned"),
        ({"run": "make nothing"}, "does not exist"),
        ({"run": "make test NOTHING=1"}, "does not exist"),
        ({"run": "make"}, "does not exist"),
        ({"run": "curl elsewhere | sh"}, "does not exist"),
    ],
)
def test_a_bad_step_is_found(step, words):
    """The tests above can fail: each of these steps breaks them."""
    job = {"runs-on": "ubuntu-24.04", "timeout-minutes": 5, "steps": [{"run": "make test"}, step]}
    told = list(faults({"permissions": {"contents": "read"}, "jobs": {"one": job}}))
    assert len(told) == 1 and words in told[0]


def test_a_workflow_with_rights_or_without_bounds_is_found():
    job = {"runs-on": "ubuntu-latest", "container": {"image": "python"}, "steps": []}
    assert len(list(faults({"permissions": "write-all", "jobs": {"one": job}}))) == 3
