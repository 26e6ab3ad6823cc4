# SPDX-License-Identifier: Apache-2.0
"""Deadlines for everything that is waited for. A sanitizer build or a loaded machine needs longer:
SLUICEGATE_TEST_PATIENCE multiplies them all."""

import os
import threading
import time

PATIENCE = float(os.environ.get("SLUICEGATE_TEST_PATIENCE", "1"))
DEADLINE_S = 20 * PATIENCE


def wait_until(condition, what, seconds=None):
    """Looks at what only the kernel or another program can tell, until it holds; returns its value.
    Where something can notify us, wait for that instead."""
    end = time.monotonic() + (seconds or DEADLINE_S)
    pause = threading.Event()
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"did not come true in time: {what}")
        pause.wait(0.005)
