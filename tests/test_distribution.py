"""The distributions built from these sources contain the model of this package."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from allin1_core.weights.catalogue import BUILTIN, catalogue

SOURCES = Path(__file__).resolve().parents[1]

#: Bytes that all members together may have.
MOST = 4_500_000

FILES = dict.fromkeys(f for card in catalogue() for f in card.files if f.package == BUILTIN)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("hatchling", reason="builds the distribution with hatchling")
    folder = tmp_path_factory.mktemp("built")
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(folder)]
    ran = subprocess.run(command, cwd=SOURCES, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return folder


def test_the_wheel_holds_the_files_that_the_catalogue_names(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        contents = {Path(n).name: archive.read(n) for n in archive.namelist() if n.endswith(".npz")}
    assert_complete(contents)


def test_the_source_distribution_holds_them_too(built: Path) -> None:
    (sdist,) = built.glob("*.tar.gz")
    contents = {}
    with tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            if member.name.endswith(".npz"):
                file = archive.extractfile(member)
                assert file is not None
                contents[Path(member.name).name] = file.read()
    assert_complete(contents)


def assert_complete(contents: dict[str, bytes]) -> None:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    assert digests == {file.name: file.sha256 for file in FILES}
    assert sum(map(len, contents.values())) <= MOST
