"""A timer that calls a function of the C library: it needs no Python, so it works while native code keeps Python's lock.

The kernel's timer makes a thread of the C library (timer_create(2), SIGEV_THREAD), which calls the function with one argument
and never asks for the lock. Python's own threads and signal handlers all would.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any

_CLOCK_MONOTONIC = 1
_SIGEV_THREAD = 2
_EVENT_BYTES = 64  # of struct sigevent, with what the C library keeps to itself


class _Event(ctypes.Structure):
    """struct sigevent of sigevent(7), as far as SIGEV_THREAD reads it."""

    _fields_ = (
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("function", ctypes.c_void_p),
        ("attributes", ctypes.c_void_p),
        ("rest", ctypes.c_char * (_EVENT_BYTES - 3 * ctypes.sizeof(ctypes.c_void_p) - 2 * ctypes.sizeof(ctypes.c_int))),
    )


class _Times(ctypes.Structure):
    """struct itimerspec: seconds and nanoseconds until the timer runs out again, and the first time."""

    _fields_ = tuple((name, ctypes.c_long) for name in ("again", "again_nano", "first", "first_nano"))


class Alarm:
    """Calls `function(argument)` of the C library once, when the seconds of the last `wind` are over.

    argument: a number, or the address of a buffer that its owner keeps. Raises OSError where the system has no timer left.
    """

    def __init__(self, function: str, argument: int) -> None:
        self._c = ctypes.CDLL(None, use_errno=True)
        address = ctypes.cast(getattr(self._c, function), ctypes.c_void_p)
        event = _Event(value=argument, notify=_SIGEV_THREAD, function=address)
        self._timer = ctypes.c_void_p()
        _checked(self._c.timer_create(_CLOCK_MONOTONIC, ctypes.byref(event), ctypes.byref(self._timer)))

    def wind(self, seconds: float) -> None:
        """Start again from now."""
        whole = int(seconds)
        times = _Times(first=whole, first_nano=int((seconds - whole) * 1e9))
        _checked(self._c.timer_settime(self._timer, 0, ctypes.byref(times), None))

    def close(self) -> None:
        """Take it away; it calls nothing any more."""
        _checked(self._c.timer_delete(self._timer))


def _checked(result: Any) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
