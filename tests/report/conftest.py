"""Plans that reports are made of."""

import pytest

from mac import plan


@pytest.fixture(scope="module")
def demo(request):
    return plan.load(request.config.rootpath / "config", "demo")


@pytest.fixture(scope="module")
def paper(request):
    return plan.load(request.config.rootpath / "config", "paper")
