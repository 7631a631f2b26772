"""constraints.txt has one version of every package: of all extras, for CPUs and for CUDA, and nothing but versions."""

import os
import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
LINES = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
LOCK = [Requirement(line) for line in LINES]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def versions(name):
    """The locked versions of a package, whatever Python or system they are for."""
    found = [str(pin.specifier).removeprefix("==") for pin in LOCK if pin.name == canonicalize_name(name)]
    assert found, f"constraints.txt lacks {name}: run `make lock`"
    return found


def version_here(name):
    return next(
        (str(pin.specifier)[2:] for pin in LOCK if pin.name == name and (not pin.marker or pin.marker.evaluate())), None
    )


def asked_for():
    extras = PROJECT["project"]["optional-dependencies"].values()
    return [*PROJECT["project"]["dependencies"], *(one for extra in extras for one in extra)]


@pytest.mark.parametrize("requirement", [*asked_for(), *PROJECT["build-system"]["requires"]])
def test_the_lock_has_what_the_project_asks_for(requirement):
    wanted = Requirement(requirement)
    assert all(wanted.specifier.contains(version) for version in versions(wanted.name)), "run `make lock`"


def test_the_lock_has_names_and_versions_alone():
    """No address, no digest of one build (`+cpu`): what a machine's own registry has must fit it."""
    for line in LINES:
        assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( ; [^/@]+)?", line), line


def test_the_lock_has_what_its_packages_ask_for():
    """Followed through the packages that are installed here in the locked version, from the project's own on."""
    seen, open_ = set(), [(Requirement(one).name, ()) for one in asked_for()]
    while open_:
        name, extras = open_.pop()
        name = canonicalize_name(name)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            here = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        if here.version.split("+")[0] != version_here(name):
            continue
        for wanted in map(Requirement, here.requires or []):
            if not wanted.marker or any(wanted.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                found = version_here(canonicalize_name(wanted.name))
                assert found, f"constraints.txt lacks {wanted.name}, which {name} asks for: run `make lock`"
                assert wanted.specifier.contains(found), (name, wanted)
                open_.append((wanted.name, tuple(wanted.extras)))
    assert len(seen) > 100


def test_the_lock_serves_torch_for_cuda_too():
    """Its packages are in the lock although a build for CPUs asks for none of them."""
    names = {pin.name for pin in LOCK}
    assert {"cuda-bindings", "cuda-toolkit", "nvidia-cudnn-cu13", "nvidia-nccl-cu13", "triton"} <= names


@pytest.mark.parametrize("has_uv", [True, False])
def test_an_environment_is_made_from_the_lock_with_uv_or_where_there_is_none_with_pip(tmp_path, has_uv):
    """The programs are stand-ins that write down how they were called."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)
    programs, called = tmp_path / ".venv" / "bin", tmp_path / "called"
    programs.mkdir(parents=True)
    uv = f'#!/bin/sh\necho "uv $UV_CONSTRAINT $UV_FIND_LINKS $*" >> {called}\n'
    (tmp_path / "uv").write_text(uv)
    fetch = f"install -m 755 {tmp_path}/uv {programs}/uv" if has_uv else "exit 1"
    python = f'#!/bin/sh\ncase "$*" in *" uv") {fetch} ;; *) echo "pip $PIP_CONSTRAINT $*" >> {called} ;; esac\n'
    (programs / "python").write_text(python)
    (programs / "python").chmod(0o755)
    settings = os.environ | {"PIP_FIND_LINKS": "/one /other"}
    subprocess.run(["make", "environment"], cwd=tmp_path, env=settings, check=True, capture_output=True)
    (line,) = called.read_text().splitlines()
    assert line.startswith(
        "uv constraints.txt /one,/other pip install" if has_uv else "pip constraints.txt -m pip install"
    )
    assert line.endswith("--editable .[dev]")
    assert (programs.parent / ".ready").exists()
