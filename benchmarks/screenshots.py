"""``python -m benchmarks.screenshots``: the documents' pictures of a page and of MLflow, by a headless browser."""

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LARGEST = 300_000  # bytes of a picture
PAGES = {"page": (1300, 1700)}  # width, height [pixels]
RUNS = {"tracking": ("", (1700, 900)), "tracking-table": ("-T5", (1700, 900))}  # with the end of the view's name
PATIENCE = 120  # seconds that a server, and a picture, may take


def browser() -> str:
    """Find a browser.

    Raises:
        SystemExit: there is none; the message says what is looked for.
    """
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    return found or sys.exit(f"screenshots: no browser on PATH — install one of {', '.join(BROWSERS)}")


def shoot(address: str, size: tuple[int, int], path: Path) -> None:
    """Take a picture of an address, in 256 colours at most.

    Raises:
        SystemExit: the picture is larger than the documents may hold.
    """
    options = ["--headless", "--disable-gpu", "--hide-scrollbars", f"--virtual-time-budget={1000 * PATIENCE}"]
    options += ["--no-sandbox"] if os.geteuid() == 0 else []
    with TemporaryDirectory() as folder:
        whole = Path(folder, "whole.png")
        where = [f"--user-data-dir={folder}/profile", f"--screenshot={whole}", f"--window-size={size[0]},{size[1]}"]
        subprocess.run([browser(), *options, *where, address], check=True, capture_output=True, timeout=2 * PATIENCE)
        Image.open(whole).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    if path.stat().st_size > LARGEST:
        sys.exit(
            f"screenshots: {path} has {path.stat().st_size:,} bytes — allowed are {LARGEST:,}; take less of the page"
        )
    print(f"{path}: {path.stat().st_size:,} bytes")


@contextmanager
def mlflow(settings: Path, scale: str):
    """Run ``mac ui`` on a free port; gives the address that it prints."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    command = [sys.executable, "-m", "mac", "ui", "--settings", str(settings), "--scale", scale, "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        words = server.stdout.readline().split()
        if len(words) < 2:
            sys.exit("screenshots: `make ui` does not start — run it to see why")
        _wait_for(port)
        yield words[1]
    finally:
        server.terminate()
        server.wait()


def _wait_for(port: int) -> None:
    for _ in range(PATIENCE):
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            time.sleep(1)
    sys.exit(f"screenshots: MLflow's server does not answer on port {port} — run `make ui` to see why")


def main() -> None:
    """Take the pictures of a finished scale."""
    parser = argparse.ArgumentParser(prog="benchmarks.screenshots", description=__doc__.partition(": ")[2])
    parser.add_argument("--scale", default="demo")
    parser.add_argument("--reports", type=Path, default=Path("reports"))
    parser.add_argument("--settings", type=Path, default=Path("config/config.yaml"))
    parser.add_argument("--out", type=Path, default=Path("docs"))
    arguments = parser.parse_args()
    report = arguments.reports / arguments.scale / "index.html"
    if not report.is_file():
        sys.exit(f"screenshots: {report} is not there — `make demo` makes it")
    browser()
    for name, size in PAGES.items():
        shoot(report.resolve().as_uri(), size, arguments.out / f"{name}.png")
    with mlflow(arguments.settings, arguments.scale) as address:
        for name, (ending, size) in RUNS.items():
            view = address.replace(f"Key={arguments.scale}", f"Key={arguments.scale}{ending}")
            charts = "&compareRunsMode=CHART" if ending else ""
            shoot(view + charts, size, arguments.out / f"{name}.png")


if __name__ == "__main__":
    main()
