"""What the images' recipes say."""

from __future__ import annotations

import fnmatch
import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from cardiomesh.chassis.settings import PREFIX
from explainer.settings import ExplainerSettings
from gateway.settings import GatewaySettings
from preprocessor.settings import PreprocessorSettings
from tests.unit.images import dockerfile

ROOT = Path(__file__).resolve().parents[3]
SETTINGS = {"gateway": GatewaySettings, "preprocessor": PreprocessorSettings, "explainer": ExplainerSettings}
RECIPES = [*(f"{service}/Dockerfile" for service in SETTINGS), "deploy/models.Dockerfile"]


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_last_stage_is_small_and_nobody(recipe: str) -> None:
    stages = dockerfile.parse(ROOT / recipe)
    final = stages[""]
    assert len(stages) == 2, "built in one stage, shipped in another"
    assert not final.all("RUN"), "nothing is installed in what is shipped"
    user, _, group = final.all("USER")[0].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    labels = " ".join(final.all("LABEL"))
    for label in ("title", "description", "version", "licenses"):
        assert f"org.opencontainers.image.{label}=" in labels


@pytest.mark.parametrize("recipe", RECIPES)
def test_base_images_have_a_version(recipe: str) -> None:
    for stage in dockerfile.parse(ROOT / recipe).values():
        tag = stage.base.rpartition(":")[2]
        assert re.match(r"\d+\.\d+", tag), stage.base


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_is_copied_is_there_and_reaches_the_builder(recipe: str) -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    assert "*" in ignored
    for stage in dockerfile.parse(ROOT / recipe).values():
        for words in map(shlex.split, stage.all("COPY")):
            if words[0].startswith("--from="):
                continue
            for name in words[:-1]:
                assert (ROOT / name).exists()
                assert any(fnmatch.fnmatch(name, pattern) for pattern in allowed), f".dockerignore keeps {name} out"


@pytest.mark.parametrize("service", SETTINGS)
def test_a_services_image_speaks_of_settings_and_ports_that_exist(service: str) -> None:
    final = dockerfile.parse(ROOT / service / "Dockerfile")[""]
    ours = {k.removeprefix(PREFIX).lower(): v for k, v in final.environment().items() if k.startswith(PREFIX)}
    assert ours.keys() <= SETTINGS[service].model_fields.keys()
    ports = {ours["grpc_address"].rpartition(":")[2], ours["http_address"].rpartition(":")[2]}
    assert set(final.all("EXPOSE")[0].split()) == ports
    check = json.loads(final.all("HEALTHCHECK")[0].partition("CMD ")[2])
    assert f":{ours['http_address'].rpartition(':')[2]}/healthz" in check[-1]
    assert json.loads(final.all("ENTRYPOINT")[0])[-2:] == ["-m", service]


@pytest.mark.parametrize("service", SETTINGS)
def test_every_dependency_is_the_lock_files(service: str) -> None:
    install = [
        line for line in dockerfile.parse(ROOT / service / "Dockerfile")["build"].all("RUN") if " install " in line
    ]
    assert len(install) == 1
    assert "--constraint requirements.lock" in install[0]
    assert f'".[{service}]"' in install[0]


def test_the_charts_user_and_ports_are_the_images() -> None:
    values = yaml.safe_load((ROOT / "helm" / "cardiomesh" / "values.yaml").read_text(encoding="utf-8"))
    for service in SETTINGS:
        final = dockerfile.parse(ROOT / service / "Dockerfile")[""]
        assert final.all("USER")[0] == "{0}:{0}".format(values[service]["runAsUser"])
        assert final.environment()["CARDIOMESH_GRPC_ADDRESS"].endswith(f":{values[service]['grpcPort']}")
