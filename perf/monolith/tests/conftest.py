"""The smoke release, opened once."""

from pathlib import Path

import pytest

from onepass_monolith.page import PageMaker
from onepass_monolith.release import Release

SMOKE = Path(__file__).resolve().parents[3] / "libs" / "testing" / "fixtures" / "release-smoke"


@pytest.fixture(scope="session")
def release():
    return Release(SMOKE, threads=1)


@pytest.fixture(scope="session")
def maker(release):
    return PageMaker(release)
