"""The executor ``ray``, declared."""

from __future__ import annotations

from collections.abc import Iterable

from allin1_core.contracts.backend import Needs
from allin1_core.contracts.executor import Executor
from allin1_core.contracts.options import Option
from allin1_core.markers import hookimpl


@hookimpl
def allin1_executors() -> Iterable[Executor]:
    """Offer the executor that runs batches on a cluster."""
    yield Executor(
        "ray",
        "A Ray cluster, or this machine as one",
        "allin1_ray.executor:create",
        needs=Needs(("ray>=2.50", "pyarrow>=15", "fsspec>=2024.2")),
        options=(
            Option("address", str, None, "Cluster to connect to; the running one, or a new one"),
            Option("cpus", float, None, "CPUs of a worker; as many as --threads, or 1"),
            Option("gpus", float, None, "Share of a GPU of a worker; 1 with --device cuda, or 0"),
            Option("batch", int, None, "Songs of a task; about ten seconds of work"),
            Option("table", bool, True, "Also write the results as a Parquet data set"),
        ),
    )
