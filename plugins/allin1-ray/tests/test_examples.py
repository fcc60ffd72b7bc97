"""The examples are what the programs that read them take."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from allin1_ray.__main__ import main

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def read(name: str) -> dict:
    return yaml.safe_load((EXAMPLES / name).read_text())


def parsed(command: str) -> dict:
    python, dash_m, module, *words = shlex.split(command)
    assert (python, dash_m, module) == ("python", "-m", "allin1_ray")
    return main.make_context("allin1_ray", words).params


def test_the_cluster_file_is_one_to_rays_autoscaler():
    import jsonschema
    import ray.autoscaler

    schema = Path(ray.autoscaler.__file__).with_name("ray-schema.json")
    content = read("cluster.yaml")
    jsonschema.validate(content, json.loads(schema.read_text()))
    types = content["available_node_types"]
    assert types[content["head_node_type"]]["resources"] == {"CPU": 0}
    assert sum(one["max_workers"] for one in types.values()) <= content["max_workers"]


def test_the_commands_of_the_examples_are_understood():
    job = parsed(read("rayjob.yaml")["spec"]["entrypoint"])
    assert (job["songs"], job["model"]) == (("s3://BUCKET/songs.parquet",), "builtin")
    (command,) = re.findall(r"ray exec \S+ '([^']+)'", (EXAMPLES / "cluster.yaml").read_text())
    assert parsed(command)["out_dir"] == "s3://BUCKET/results"


def test_the_job_has_a_head_that_computes_nothing_and_workers_of_one_image():
    spec = read("rayjob.yaml")["spec"]["rayClusterSpec"]
    assert spec["headGroupSpec"]["rayStartParams"] == {"num-cpus": "0"}
    groups = [spec["headGroupSpec"], *spec["workerGroupSpecs"]]
    images = {c["image"] for g in groups for c in g["template"]["spec"]["containers"]}
    assert images == {read("cluster.yaml")["docker"]["image"]}
    for group in spec["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@pytest.mark.parametrize("where", ["Containerfile", "rayjob.yaml"])
def test_the_examples_name_one_version_of_ray(where):
    found = re.findall(
        r"(?:rayproject/ray:|rayVersion: \")([\d.]+)", (EXAMPLES / where).read_text()
    )
    assert set(found) == {"2.60.0"}
