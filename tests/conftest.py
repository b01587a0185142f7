"""The real parts that tests stand on: Valkey, the embedded mesh, one real ECG."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from cardiomesh.cli.demo import sample_ecg
from cardiomesh.client import API_KEY_VARIABLE, Client
from cardiomesh.local import Addresses, Mesh

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """``host:port`` of a real Redis-protocol server."""
    with Mesh(ROOT / "model_repository", directory=tmp_path_factory.mktemp("valkey"), parts=["redis"]) as mesh:
        yield mesh.addresses.redis


@pytest.fixture(scope="session")
def mesh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mesh]:
    """The whole mesh on the published models: real Triton, Valkey, gateway, preprocessor, explainer."""
    with (
        Mesh(ROOT / "model_repository", directory=tmp_path_factory.mktemp("mesh")) as running,
        pytest.MonkeyPatch.context() as environment,
    ):
        # As a developer's shell would have it, for every client and command of the tests.
        environment.setenv(API_KEY_VARIABLE, running.api_key)
        yield running


@pytest.fixture(scope="session")
def addresses(mesh: Mesh) -> Addresses:
    """Where the mesh listens."""
    return mesh.addresses


@pytest.fixture(scope="session")
def authorization(mesh: Mesh) -> dict[str, str]:
    """The header that opens the mesh to a client that is not ours."""
    return {"authorization": f"Bearer {mesh.api_key}"}


@pytest.fixture(scope="session")
def client(addresses: Addresses) -> Iterator[Client]:
    """The SDK, connected to the mesh."""
    with Client(addresses.gateway) as connected:
        yield connected


@pytest.fixture(scope="session")
def ecg_file() -> Path:
    """The real 12-lead DICOM ECG in the pydicom wheel."""
    return sample_ecg()


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real PTB-XL records; skips where there is none."""
    folder = Path(os.environ.get("CARDIOMESH_DATA", ROOT.parent / "shared" / "data"))
    if not (folder / "ptbxl").is_dir():
        pytest.skip("needs the real PTB-XL records: set CARDIOMESH_DATA to a folder that holds ptbxl/")
    return folder
