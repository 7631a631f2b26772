"""``ui``: MLflow's own server on a tracking store."""

import argparse
import os
import sys

from mac.tracking import store, view


def serve(arguments: argparse.Namespace) -> None:
    """Print the address of the experiment's runs, then become MLflow's server (until interrupted)."""
    client = store.connect(arguments.tracking_uri)
    experiment = client.get_experiment_by_name(store.EXPERIMENT).experiment_id
    view.describe(client, experiment)
    page = view.page(experiment)
    if arguments.tracking_uri.startswith("http"):
        print(f"The server runs already: {arguments.tracking_uri}/{page}")
        return
    print(f"Open http://127.0.0.1:{arguments.port}/{page}  (Ctrl-C ends the server)", flush=True)
    os.environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"  # else it takes half a minute to start
    server = ["-m", "mlflow", "server", "--backend-store-uri", arguments.tracking_uri]
    where = ["--host", "127.0.0.1", "--port", str(arguments.port), "--workers", "1"]
    os.execv(sys.executable, [sys.executable, *server, *where])  # noqa: S606
