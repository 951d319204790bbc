import json
import os
from collections.abc import Sequence
from datetime import datetime, timezone
from threading import Lock
from typing import Any

from torch_imf.answers.results import Fact, percent, write_table
from torch_imf.io import warn

CHOICES = ("accept", "refuse", "unsure")
TITLES = ("head", "relation", "tail", "decision", "reviewer", "probability", "time")
KEY = ("reviewer", "head", "relation", "tail")


class Decisions:
    r"""What people decided about facts: a file of one JSON object per line, each of which is
    written and flushed to the disk as it is made, so that whatever happens later, it is there. The
    last decision of a reviewer about a fact counts. Several processes may write to one file.

    Args:
        path (str): The file, which is made by the first decision.

    Raises:
        ValueError: If a line of the file, but for a last one that was cut off, is no decision.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        self._lock = Lock()
        self.entries()  # Raises, if it is another file.

    def add(self, reviewer: str, decision: str, fact: Fact) -> None:
        r"""Keeps a decision, one of :obj:`"accept"`, :obj:`"refuse"` and :obj:`"unsure"`."""
        if decision not in CHOICES or not reviewer.strip():
            needs = f"'decision' needs to be one of {list(CHOICES)}, and the reviewer a name"
            raise ValueError(f"{needs} (got '{decision}', '{reviewer}')")
        entry = {
            **dict(
                zip(KEY, (reviewer.strip(), fact.head_id, fact.rel_id, fact.tail_id), strict=True)
            ),
            "decision": decision,
            "probability": fact.probability,
            "time": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        }
        line = json.dumps(entry, ensure_ascii=False).encode()
        with self._lock:
            os.makedirs(os.path.dirname(os.path.abspath(self.path)), exist_ok=True)
            with open(self.path, "ab+") as file:
                if file.tell() > 0:  # A process may have been killed in the middle of a line.
                    file.seek(-1, os.SEEK_END)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def entries(self) -> list[dict[str, Any]]:
        r"""Returns the decisions that count, in the order in which they were made."""
        try:
            with open(self.path, "rb") as file:
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return []
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                key = tuple(str(entry[name]) for name in KEY)
                if entry["decision"] not in CHOICES:
                    raise ValueError(f"there is no decision '{entry['decision']}'")
                entry["probability"] = float(entry["probability"])
            except (ValueError, LookupError, TypeError) as error:
                cut = not isinstance(error, LookupError | TypeError) and not line.endswith(b"}")
                if cut:  # Of a process that was killed.
                    warn(f"'{self.path}', line {number}: a decision that was cut off is left out")
                    continue
                raise ValueError(f"'{self.path}', line {number}: no decision ({error})") from error
            found.pop(key, None)
            found[key] = entry
        return list(found.values())

    def of(self, reviewer: str) -> dict[tuple[str, ...], str]:
        r"""Returns what a reviewer decided, by head, relation and tail."""
        mine = (x for x in self.entries() if x["reviewer"] == reviewer.strip())
        return {(x["head"], x["relation"], x["tail"]): x["decision"] for x in mine}

    def write(self, path: str | os.PathLike[str]) -> int:
        r"""Writes a table (TSV, or another format by its name) of all decisions that count, facts
        by identifiers, and returns their number.
        """
        rows = ([x[title] for title in TITLES] for x in self.entries())
        return write_table(path, [TITLES, *rows])

    def verdict(self) -> str:
        r"""Tells in words how many of the facts that are decided were accepted, and how many the
        model had claimed to be true.
        """
        judged = [x for x in self.entries() if x["decision"] != "unsure"]
        if not judged:
            return "No fact is decided yet"
        accepted = sum(x["decision"] == "accept" for x in judged)
        claimed = sum(x["probability"] for x in judged)
        return (
            f"Of {len(judged):,} decisions, {accepted:,} accept; by its probabilities, the model "
            f"claimed {claimed:.1f}"
        )

    def agreement(self) -> list[list[str]]:
        r"""Returns the rows of a table, titles first: of all reviewers, of each, and of each range
        of probabilities, how many facts were accepted and refused, and the share of accepted ones
        beside the mean probability that the model had claimed.
        """
        entries = self.entries()
        groups: dict[str, list[dict[str, Any]]] = {"everybody": entries}
        for x in entries:
            groups.setdefault(f"by {x['reviewer']}", []).append(x)
        if len(groups) == 2:  # All is by one.
            groups.popitem()
        for x in sorted(entries, key=lambda x: -x["probability"]):
            low = min(int(5 * x["probability"]), 4) * 20
            groups.setdefault(f"claimed {low} to {low + 20} %", []).append(x)
        titles = ["", "accepted", "refused", "unsure", "share accepted", "probability claimed"]
        return [titles, *([name, *summary(group)] for name, group in groups.items() if group)]


def summary(entries: Sequence[dict[str, Any]]) -> list[str]:
    r"""Counts decisions, and compares what was accepted with what was claimed."""
    counts = [sum(x["decision"] == choice for x in entries) for choice in CHOICES]
    judged = [x["probability"] for x in entries if x["decision"] != "unsure"]
    share = percent(counts[0] / len(judged)) if judged else ""
    return [*map(str, counts), share, percent(sum(judged) / len(judged)) if judged else ""]
