"""A copy of the workflow in a folder of its own, and a stand-in for what its jobs run; for benchmarks and tests."""

import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

# Makes the files a job would write, empty, if those that it reads are there, and notes its command; `resolve` is the
# real one. A job with the path that a file `kill` names kills Snakemake once its files are there.
STAND_IN = """#!/bin/bash
if [ "$2" = mac.runtime.lease ]; then
  while [ "$1" != -- ]; do shift; done
  shift 2
fi
case "$3" in
  resolve) exec {python} "$@" ;;
  preflight | track) [ "$4" = run ] || exit 0 ;;
esac
echo "$3" >> commands.log
command="$*" reads=
[ "$3" = pretrain ] || reads=--backbone
while [ $# -gt 0 ]; do
  case "$1" in
    --out) out="$2" ;;
    --table) table="$2" ;;
  esac
  case "$1" in
    --*) option="$1" ;;
    *:///*) ;;
    */*.*)
      case "$option" in
        --config | --store | --index | --listing | --scans | --parts | --boxes | --previous | --classifiers | $reads)
          [ -e "$1" ] || { echo "$1: is not there"; exit 1; } ;;
      esac
      mkdir -p "$(dirname "$1")"; [ -e "$1" ] || touch "$1" ;;
  esac
  shift
done
case "$out" in
  */store.json) touch "$(dirname "$out")"/{videos.parquet,offsets.npy,sizes.npy} ;;
  */data/*.md) touch "${out%.md}.json" ;;
  */figures) mkdir -p "$out"; for name in {tables}; do touch "$out/learning_$name".{png,svg}; done ;;
  reports/*)
    mkdir -p "$out/tables"
    if [ -n "$table" ]; then touch "$out/tables/$table".{md,csv,tex,png,svg}; exit; fi
    case "$out" in reports/*/*) ;; *) touch "$out"/{README.md,claims.md,index.html} ;; esac ;;
esac
if [ -e kill ] && [[ "$command" == *"$(cat kill)"* ]]; then kill -9 $PPID; fi
"""


def check_out(source: Path, folder: Path, *names: str) -> Path:
    """Copy the workflow and its configuration (and what else is named) into a folder; returns it."""
    for name in ("config", "workflow", *names):
        shutil.copytree(source / name, folder / name, dirs_exist_ok=True)
    (folder / "docs").mkdir()
    for name in ("Snakefile", "environment.yml", "docs/discrepancies.md"):
        shutil.copy(source / name, folder / name)
    (folder / "profiles").symlink_to("workflow/profiles")
    return folder


def stand_in(folder: Path, tables: Iterable[str]) -> Path:
    """Put the stand-in into a copy; returns the folder that must come first in PATH.

    Args:
        folder: the copy, of scale ``paper``.
        tables: names of the scale's tables.
    """
    path = folder / "bin" / "python"
    path.parent.mkdir()
    path.write_text(STAND_IN.replace("{python}", sys.executable).replace("{tables}", " ".join(tables)))
    path.chmod(0o755)
    return path.parent
