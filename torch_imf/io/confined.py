r"""Reads files that nobody vouches for in a process of its own, within limits that the system
keeps: what takes more memory or time than is due to its size is refused, in any format.
"""

import atexit
import importlib
import json
import math
import os
import os.path as osp
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import IO, cast

from torch_imf.io import check_regular

#: The bytes of memory and seconds of CPU that a file may take, apart from what its size allows: the
#: memory by a ratio, and a second for each MB.
MEMORY, SECONDS, SPEED = 1 << 30, 30, 1 << 20
#: How many bytes any file may hold, and how many times as large it may be. What is made to fill a
#: memory or disk (a bomb) is far above, features and images far below.
FLOOR, RATIO = 1 << 26, 300
#: How many files are read ahead.
AHEAD = 32
CODE = "import sys; sys.path[:] = {}; from torch_imf.io.confined import serve; serve()"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class SpentError(ValueError):
    r"""A file takes more memory or time than is due to its size."""


ERRORS: dict[str, type[Exception]] = {"ImportError": ImportError, "OSError": OSError}


def confined(
    function: str,
    path: str,
    *args: str,
    ratio: int = RATIO,
    told: str | None = None,
    instead: str = "save its content in another format",
) -> Iterator[object]:
    r"""Calls a function in a process that is limited, and yields what it yields: arrays of NumPy,
    and what can be written as JSON.

    Args:
        function (str): The function, as in :obj:`"package.module:function"`. It is called with the
            path and the other arguments.
        path (str): The file on disk, whose size in bytes says what the function may take.
        *args (str): Further arguments.
        ratio (int, optional): How many bytes of memory, and of content, each byte of the file
            allows. (default: :obj:`300`)
        told (str, optional): How a :class:`SpentError` begins. (default: the name of the file)
        instead (str, optional): What a person can do with a file that takes more.

    Raises:
        SpentError: If the file takes more, or crashes its reader.
        OSError: If the file cannot be opened, and :class:`ValueError` or :class:`ImportError`, as
            the function raises them.
    """
    worker = _take()
    try:
        worker.ask(function, path, args, ratio)
        yield from worker.answer(told or f"'{path}'", instead)
    finally:
        worker.leave()


def confined_each(
    function: str, paths: Sequence[str], ratio: int, instead: str
) -> Iterator[list[object] | str]:
    r"""Calls a function for each of several files, of which some are read ahead, and yields what it
    yields for a file, or what is wrong with it. Arguments are those of :meth:`confined`.
    """
    worker, asked = _take(), 0
    try:
        for i in range(len(paths)):
            if worker.is_over:
                worker, asked = _take(), i
            for path in paths[asked : i + AHEAD]:
                worker.ask(function, path, (), ratio)
            asked = i + AHEAD
            try:
                yield list(worker.answer("it", instead))
            except (ValueError, OSError) as e:
                yield str(e)
    finally:
        worker.leave()


class _Worker:
    # A process that reads files, one after the other.
    def __init__(self) -> None:
        code, limits = CODE.format(list(map(str, sys.path))), dict.fromkeys(THREADS, "1")
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            # Others of Arrow's pools take a gigabyte in advance.
            env={**os.environ, **limits, "ARROW_DEFAULT_MEMORY_POOL": "system"},
        )
        self.input = cast(IO[bytes], self.process.stdin)
        self.output = cast(IO[bytes], self.process.stdout)
        self.pending = 0  # Files that are asked for.
        for file in (self.input, self.output):
            with suppress(ImportError, AttributeError, OSError):  # So that neither waits for long.
                import fcntl

                fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, 1 << 20)

    @property
    def is_over(self) -> bool:
        return self.output.closed or self.process.poll() is not None

    def ask(self, function: str, path: str, args: Sequence[str], ratio: int) -> None:
        # In full, as the current folder may have changed since the process has begun:
        request = [function, [osp.abspath(path), *args], ratio, (MEMORY, SECONDS)]
        self.pending += 1
        with suppress(BrokenPipeError):  # Who waits for the answer will find out.
            self.input.write(json.dumps(request).encode() + b"\n")
            self.input.flush()

    def answer(self, told: str, instead: str) -> Iterator[object]:
        import numpy as np  # Whose import takes its time, and help needs none.

        reason = ""
        while line := self.output.readline():
            kind, *content = json.loads(line)
            if kind == "value":
                yield content[0]
            elif kind == "array":
                shape, dtype = content
                value = bytearray(math.prod(shape) * np.dtype(dtype).itemsize)
                if len(value) == self.output.readinto(value):  # type: ignore[attr-defined]
                    yield np.frombuffer(value, dtype).reshape(shape)
            else:
                self.pending -= 1
                if kind == "error":
                    raise ERRORS.get(content[0], ValueError)(*content[1])
                if kind == "end":
                    return
                reason = content[0]
                break
        if not reason:
            code = -self.process.wait()
            spent = code in (getattr(signal, "SIGXCPU", 0), getattr(signal, "SIGKILL", 0))
            reason = "takes more time than is due to its size" if spent else "crashes its reader"
        raise SpentError(f"{told} {reason}, which is refused. If you trust it, {instead}")

    def leave(self) -> None:
        # Waits for the next one, unless it was left in the middle.
        if self.pending == 0 and not self.is_over:
            _IDLE.append(self)
        else:
            self.end()

    def end(self) -> None:
        self.process.kill()
        self.process.wait()
        for file in (self.input, self.output):
            with suppress(OSError):
                file.close()


def _take() -> _Worker:
    while _IDLE:
        worker = _IDLE.pop()
        if not worker.is_over:
            return worker
        worker.end()
    return _Worker()


#: The processes that have nothing to do.
_IDLE: list[_Worker] = []
atexit.register(lambda: list(map(_Worker.end, _IDLE)))
if hasattr(os, "register_at_fork"):  # They are those of one process.
    os.register_at_fork(after_in_child=_IDLE.clear)


# In the other process ###########################################################################


def serve() -> None:
    r"""Reads requests from standard input, and writes what is asked for to standard output."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What libraries print.
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # It is for the one who asks.
    for line in sys.stdin.buffer:
        function, args, ratio, budget = json.loads(line)
        module, _, name = function.partition(":")
        try:
            check_regular(args[0])
            size = osp.getsize(args[0])
            call = getattr(importlib.import_module(module), name)
            _limit(budget[0] + ratio * size, budget[1] + size // SPEED)
            answer = _send(out, call(*args), ratio, size)
        except MemoryError:
            answer = ["spent", "takes more memory than is due to its size"]
        except ImportError as e:
            answer = ["error", "ImportError", [str(e)]]
        except Exception as e:
            answer = ["error", "ValueError", [str(e)]]
            if isinstance(e, OSError):
                values = [str(e)] if e.errno is None else [e.errno, e.strerror, e.filename]
                answer = ["error", "OSError", values]
        out.write(json.dumps(answer).encode() + b"\n")
        out.flush()


def _send(out: IO[bytes], values: Iterable[object], ratio: int, size: int) -> list:
    import numpy as np

    left = max(FLOOR, ratio * size)
    for value in values:
        head: list[object] = ["value", value]
        content = b""
        if isinstance(value, np.ndarray):
            head, content = ["array", value.shape, value.dtype.str], value.tobytes()
        line = json.dumps(head).encode() + b"\n"
        left -= len(line) + len(content)
        if left < 0:
            return ["spent", f"is more than {ratio} times as large when it is read"]
        out.write(line)
        out.write(content)
    return ["end"]


def _limit(memory: int, seconds: int) -> None:
    # What the process may take beyond what it has, where the system has such limits.
    with suppress(ImportError, OSError, ValueError):
        import resource

        def limit(kind: int, value: int) -> None:
            hard = resource.getrlimit(kind)[1]
            value = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (value, hard))

        limit(resource.RLIMIT_CORE, 0)
        limit(resource.RLIMIT_CPU, math.ceil(time.process_time()) + seconds)
        with open("/proc/self/statm") as file:
            used = int(file.read().split()[5]) * resource.getpagesize()
        limit(resource.RLIMIT_DATA, used + memory)
