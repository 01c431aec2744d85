# SPDX-License-Identifier: Apache-2.0
"""first_screen.py TEXT CMD...: microseconds from exec until the terminal shows TEXT.

Runs CMD on a pseudo-terminal of 120x40, reads what it draws, and ends it with `q`. TEXT is what
the program draws last of a full screen, so the time is that of the whole screen.
"""
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

text, command = sys.argv[1].encode(), sys.argv[2:]
# From exec, not from the fork of this interpreter, which takes 20 ms.
begun, begin = os.pipe()
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm-256color"
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    os.write(begin, b"%d" % time.monotonic_ns())
    os.execv(command[0], command)
start = int(os.read(begun, 32))
seen = b""
while text not in seen:
    ready, _, _ = select.select([fd], [], [], 10)
    if not ready:
        os.kill(pid, signal.SIGKILL)
        sys.exit("first_screen: nothing like %r within 10 s" % text)
    seen += os.read(fd, 65536)
print((time.monotonic_ns() - start) // 1000)
os.write(fd, b"q")
deadline = time.monotonic() + 5
while time.monotonic() < deadline:
    ready, _, _ = select.select([fd], [], [], 0.1)
    try:
        if ready and not os.read(fd, 65536):
            break
    except OSError:
        break
try:
    os.kill(pid, signal.SIGTERM)
except ProcessLookupError:
    pass
os.waitpid(pid, 0)
