#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""on_terminal.py ROWS COLUMNS COMMAND...: runs the command on a terminal of that size, prints what it draws, ends with its exit code.

Where the environment has CLOSE_WHEN, the terminal is closed once that file is there, as when a connection breaks.
"""
import fcntl
import os
import pty
import struct
import sys
import termios


def main(rows, columns, command):
    pid, terminal = pty.fork()
    if pid == 0:
        fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))
        os.environ["TERM"] = "xterm"
        os.execvp(command[0], command)
    sign = os.environ.get("CLOSE_WHEN")
    while not (sign and os.path.exists(sign)):
        try:
            drawn = os.read(terminal, 65536)
        except OSError:  # how Linux says that nobody has the terminal open any more
            break
        if not drawn:
            break
        sys.stdout.buffer.write(drawn)
    os.close(terminal)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


main(sys.argv[1], sys.argv[2], sys.argv[3:])
