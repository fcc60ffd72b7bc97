"""Results as one Parquet data set, a row a song, and those that failed as JSON lines.

The driver alone writes. Each part appears whole, under its name, or not at all. A row belongs to the name of a song: where
a song is analysed anew, its row is added first, and the one before it removed when the table is closed; if the driver
dies between the two, the next run removes it.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
from allin1_core.contracts.result import AnalysisResult
from allin1_core.errors import OutputError, brief
from allin1_core.runtime.batch import Outcome

from allin1_ray.storage import join, open_storage
from allin1_ray.work import Song

TABLE = "songs.parquet"
DEAD_LETTERS = "dead-letters.jsonl"

#: Rows are written when there are so many, or when the oldest has waited for so many seconds.
_PART_ROWS, _PART_S = 1000, 60.0

SCHEMA = pa.schema(
    [
        ("name", pa.string()),
        ("song", pa.string()),
        ("error", pa.string()),
        ("model", pa.string()),
        ("bpm", pa.int32()),
        (
            "tempo",
            pa.struct(
                [
                    ("bpm", pa.float64()),
                    ("first_beat", pa.float64()),
                    ("residual", pa.float64()),
                    ("is_steady", pa.bool_()),
                ]
            ),
        ),
        ("beats", pa.list_(pa.float64())),
        ("downbeats", pa.list_(pa.float64())),
        ("beat_positions", pa.list_(pa.int32())),
        (
            "segments",
            pa.list_(
                pa.struct([("start", pa.float64()), ("end", pa.float64()), ("label", pa.string())])
            ),
        ),
        ("warnings", pa.list_(pa.string())),
        ("provenance", pa.string()),
        ("digest", pa.string()),
        ("written", pa.timestamp("us", tz="UTC")),
    ]
)


class ResultTable:
    """The data set of an output folder. Use it as a context manager: what waits to be written is written at the end.

    Parameters
    ----------
    out
        Path or URL of the folder; the table lies in it as ``songs.parquet``, partitioned by status (``done``, ``failed``), and the songs that
        failed as ``dead-letters.jsonl``.
    storage
        Options of the store, for fsspec.

    Raises
    ------
    OutputError
        What is there cannot be read.
    """

    def __init__(self, out: str, storage: Mapping[str, Any] | None = None) -> None:
        self._fs, self._out = open_storage(out, storage or {})
        self._table = join(self._out, TABLE)
        #: For each name, digest and file of its row.
        self._rows: dict[str, tuple[str, str]] = {}
        self._failed: dict[str, dict[str, Any]] = {}
        #: For each file, names whose rows in it are out of date.
        self._stale: dict[str, set[str]] = defaultdict(set)
        self._waiting: list[dict[str, Any]] = []
        self._oldest = 0.0
        try:
            self._fs.makedirs(self._table, exist_ok=True)
            self._read_rows()
        except (OSError, pa.ArrowInvalid) as error:
            raise OutputError(
                f"The table of earlier results cannot be read: {brief(error)}",
                remedy="Move it away; results that are finished are entered again.",
                path=self._table,
            ) from error

    def __enter__(self) -> ResultTable:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def failed(self) -> int:
        """Songs of the table that have failed."""
        return len(self._failed)

    def add(self, song: Song, outcome: Outcome) -> None:
        """Enter what became of a song, unless the table has it already; what was left alone is not entered."""
        if outcome.status == "kept":
            return
        row = _row(song, outcome)
        name, digest = row["name"], row["digest"]
        known = self._rows.get(name)
        if known is not None and known[0] == digest:
            return
        if known is not None and known[1]:
            self._stale[known[1]].add(name)
        if known is not None and not known[1]:
            self._waiting = [one for one in self._waiting if one["name"] != name]
        self._rows[name] = digest, ""
        self._failed.pop(name, None)
        if outcome.error is not None:
            self._failed[name] = _dead_letter(row)
        if not self._waiting:
            self._oldest = time.monotonic()
        self._waiting.append(row)
        if len(self._waiting) >= _PART_ROWS or time.monotonic() - self._oldest >= _PART_S:
            self.flush()

    def flush(self) -> None:
        """Write the rows that wait."""
        for status in ("done", "failed"):
            rows = [row for row in self._waiting if row["status"] == status]
            if rows:
                path = f"{self._table}/status={status}/part-{uuid.uuid4().hex}.parquet"
                self._write(path, pa.Table.from_pylist(rows, schema=SCHEMA))
                self._rows.update((row["name"], (row["digest"], path)) for row in rows)
        self._waiting = []
        self._write_dead_letters()

    def close(self) -> None:
        """Write what waits, and remove rows that are out of date."""
        self.flush()
        for path, names in self._stale.items():
            rows = self._read(path, SCHEMA.names)
            kept = rows.filter(pa.array(name not in names for name in rows["name"].to_pylist()))
            if kept.num_rows:
                self._write(path, kept)
            else:
                self._fs.rm(path)
        self._stale.clear()

    def _read_rows(self) -> None:
        written: dict[str, Any] = {}
        for path in self._parts():
            rows = self._read(path, ["name", "song", "error", "digest", "written"])
            for row in rows.to_pylist():
                name = row["name"]
                if name in written:
                    newer = row["written"] > written[name]
                    self._stale[self._rows[name][1] if newer else path].add(name)
                    if not newer:
                        continue
                written[name] = row["written"]
                self._rows[name] = row["digest"], path
                self._failed.pop(name, None)
                if row["error"] is not None:
                    self._failed[name] = _dead_letter(row)

    def _parts(self) -> Iterable[str]:
        """Finished parts. What a driver that died left of another is hidden, and removed here."""
        for path in sorted(self._fs.find(self._table)):
            name = path.rpartition("/")[2]
            if name.startswith("."):
                self._fs.rm(path)
            elif name.endswith(".parquet"):
                yield path

    def _read(self, path: str, columns: list[str]) -> pa.Table:
        with self._fs.open(path, "rb") as file:
            # As a plain file: its folder is no column of it.
            return pq.ParquetFile(file).read(columns=columns)

    def _write(self, path: str, rows: pa.Table) -> None:
        sink = pa.BufferOutputStream()
        pq.write_table(rows, sink, compression="zstd")
        self._replace(path, sink.getvalue().to_pybytes())

    def _write_dead_letters(self) -> None:
        path = join(self._out, DEAD_LETTERS)
        lines = [json.dumps(letter, ensure_ascii=False) for letter in self._failed.values()]
        if lines or self._fs.exists(path):
            self._replace(path, "".join(f"{line}\n" for line in lines).encode())

    def _replace(self, path: str, content: bytes) -> None:
        """Write a file whole or not at all."""
        folder, _, name = path.rpartition("/")
        try:
            if "file" not in _protocols(self._fs):
                self._fs.pipe_file(path, content)  # a store shows a file once it is whole
                return
            self._fs.makedirs(folder, exist_ok=True)
            temporary = f"{folder}/.{name}.{uuid.uuid4().hex[:8]}"
            with open(temporary, "wb") as file:  # noqa: PTH123 - paths of fsspec are text
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)  # noqa: PTH105
        except OSError as error:
            raise OutputError(f"Cannot be written: {brief(error)}.", path=path) from error


def read_table(out: str, storage: Mapping[str, Any] | None = None) -> pa.Table:
    """The table of an output folder."""
    fs, path = open_storage(join(out, TABLE), storage or {})
    schema = SCHEMA.append(pa.field("status", pa.string()))
    partitioning = pads.partitioning(pa.schema([schema.field("status")]), flavor="hive")
    return pads.dataset(path, schema=schema, filesystem=fs, partitioning=partitioning).to_table()


def _protocols(fs: Any) -> tuple[str, ...]:
    return (fs.protocol,) if isinstance(fs.protocol, str) else tuple(fs.protocol)


def _row(song: Song, outcome: Outcome) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(SCHEMA.names)
    row |= {
        "name": song.track.name,
        "song": song.address,
        "status": "failed" if outcome.error is not None else "done",
        "written": datetime.now(timezone.utc),
    }
    if outcome.error is not None:
        row["error"] = str(outcome.error)
        decides: Any = row["error"]
    else:
        assert outcome.result is not None
        decides = _fill(row, outcome.result)
    content = json.dumps([row["song"], decides], sort_keys=True, default=str)
    row["digest"] = hashlib.sha256(content.encode()).hexdigest()
    return row


def _fill(row: dict[str, Any], result: AnalysisResult) -> Any:
    """Fill a row from a result, and give what decides whether it is the same as another."""
    content = result.to_dict()
    provenance = content["provenance"] or {}
    row |= {name: content[name] for name in ("bpm", "beats", "downbeats", "beat_positions")}
    row |= {name: content[name] for name in ("segments", "warnings")}
    if content["tempo"] is not None:
        row["tempo"] = {k: v for k, v in content["tempo"].items() if k != "curve"}
    row["provenance"] = json.dumps(provenance)
    row["model"] = provenance.get("model")
    return [provenance.get("identity"), provenance.get("outputs"), provenance.get("version")]


def _dead_letter(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": row["name"],
        "song": row["song"],
        "error": row["error"],
        "written": row["written"].isoformat(),
    }
