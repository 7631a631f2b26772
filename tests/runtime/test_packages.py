"""A run says which lock its packages are from, and which are not."""

import hashlib
from importlib import metadata

import pytest

from mac.runtime import packages

CLICK, JINJA2, NUMPY, PANDAS = map(metadata.version, ("click", "jinja2", "numpy", "pandas"))


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([f"numpy=={NUMPY}", f"click=={CLICK}"], ""),
        (["numpy==0.1 ; python_full_version < '3'", f"numpy=={NUMPY} ; python_full_version >= '3'"], ""),
        ([f"numpy=={NUMPY}", "not-installed-anywhere==3.0"], ""),
        (["# numpy==0.1", "", "click==0.1", f"numpy=={NUMPY}"], f" except click {CLICK}"),
        (
            ["click==0", "jinja2==0", "numpy==0", "pandas==0", "rich==0"],
            f" except click {CLICK}, jinja2 {JINJA2}, numpy {NUMPY}, 2 more",
        ),
    ],
)
def test_packages_of_other_versions_are_named(tmp_path, lines, told):
    lock = tmp_path / "constraints.txt"
    lock.write_text("\n".join(lines) + "\n")
    assert packages.describe(lock) == hashlib.sha256(lock.read_bytes()).hexdigest()[:10] + told


def test_a_build_for_cpus_is_the_version_that_it_is_of(tmp_path, monkeypatch):
    lock = tmp_path / "constraints.txt"
    lock.write_text("torch==2.13.0\n")
    monkeypatch.setattr(metadata, "version", lambda name: "2.13.0+cpu")
    assert len(packages.describe(lock)) == 10
    monkeypatch.setattr(metadata, "version", lambda name: "2.11.0+cu126")
    assert packages.describe(lock).endswith(" except torch 2.11.0+cu126")


def test_outside_a_checkout_there_is_no_lock(tmp_path):
    assert packages.describe(tmp_path / "constraints.txt") == "unknown"
