# SPDX-License-Identifier: Apache-2.0
"""slowness.py FILE: how many times its CPU time a burst of work took at the worst so far, in FILE."""
import sys
import time

worst = 1
while True:
    wall, cpu = time.monotonic(), time.thread_time()
    while time.thread_time() - cpu < 0.005:
        pass
    slow = (time.monotonic() - wall) / (time.thread_time() - cpu)
    if slow > worst:
        worst = slow
        with open(sys.argv[1], "w", encoding="ascii") as f:
            f.write("%.1f\n" % worst)
    time.sleep(0.25)
