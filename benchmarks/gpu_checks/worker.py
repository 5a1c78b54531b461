"""A process that runs the checks, and is replaced when one of them breaks it.

After an illegal access or an assertion on the device every call of the process fails, an operator
may end the process, and a distributed step may wait forever. None of these ends the other checks.
"""

from __future__ import annotations

import multiprocessing
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from gpu_checks.records import FAILED, Check, Outcome, Settings, outcome_of, perform
from gpu_checks.subjects import prepare_process

#: seconds that an idle process has to end
_GRACE = 10


class Worker:
    """Run checks one after the other in a process of their own.

    Args:
        settings: of all checks.
        start_method: of the process; a forked one cannot use a GPU.
    """

    def __init__(self, settings: Settings, *, start_method: str = "spawn") -> None:
        self._settings = settings
        self._context: Any = multiprocessing.get_context(start_method)
        self._process: Any = None
        self._connection: Any = None

    def run(self, check: Check, *, seconds: float) -> Outcome:
        """Run a check.

        Args:
            check: the check.
            seconds: after which the process is ended, and the check has failed.
        """
        if self._process is None:
            self._start()
        with suppress(OSError):  # it may have ended since: there is nothing to receive then
            self._connection.send(check)
        outcome = self._receive(check, seconds)
        if outcome.status == FAILED:  # it may have left the device unusable
            self.stop()
        return outcome

    def _start(self) -> None:
        self._connection, other = self._context.Pipe()
        self._process = self._context.Process(target=_serve, args=(other, self._settings))
        self._process.start()
        other.close()

    def _receive(self, check: Check, seconds: float) -> Outcome:
        if not self._connection.poll(seconds):
            self._process.kill()
            reason = f"It took more than {seconds:.0f} s, and its process was ended."
            return outcome_of(check, FAILED, seconds=seconds, reason=reason)
        try:
            outcome: Outcome = self._connection.recv()
        except (EOFError, OSError):  # an OSError if it has not read the check
            self._process.join()
            reason = f"Its process ended with exit code {self._process.exitcode}."
            return outcome_of(check, FAILED, reason=reason)
        return outcome

    def stop(self) -> None:
        """End the process; the next check starts another one."""
        if self._process is None:
            return
        with suppress(OSError):  # it may have ended before
            self._connection.send(None)
        self._process.join(_GRACE)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._connection.close()
        self._process = self._connection = None


def _serve(connection: Connection, settings: Settings) -> None:
    """Run the checks that arrive, until None arrives or the other end closes."""
    prepare_process(settings)
    with suppress(EOFError):
        while (check := connection.recv()) is not None:
            connection.send(perform(check, settings))
