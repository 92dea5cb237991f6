# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine behind QEMU's qtest protocol, as a process that connects to us."""

import os
import select
import socket
import subprocess


class Difference(Exception):
    """`kind` tells one difference from another, whatever the values."""

    def __init__(self, kind, text):
        super().__init__(text)
        self.kind = kind


class Gone(Exception):
    """The machine ended, or said FAIL, or says nothing."""


class Peer:
    """`command` is started with -qtest added; `folder` takes its socket and what it prints."""

    def __init__(self, name, command, folder, timeout=120):
        self.name, self.timeout = name, timeout
        self.irq = {}  # line: level
        self.input = b""
        self.accesses = 0
        path = os.path.join(folder, name + ".sock")
        self.log = os.path.join(folder, name + ".log")
        with socket.socket(socket.AF_UNIX) as listener, open(self.log, "wb") as log:
            listener.bind(path)
            listener.listen(1)
            listener.settimeout(0.2)
            self.process = subprocess.Popen(command + ["-qtest", "unix:" + path],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            self.socket = self._accept(listener)
        os.unlink(path)
        self.exchange(["irq_intercept_in ioapic"])

    def _accept(self, listener):
        for _ in range(5 * self.timeout):
            try:
                return listener.accept()[0]
            except TimeoutError:
                if self.process.poll() is not None:
                    break
        self.process.kill()
        self.process.wait()
        raise Gone(self.name + " does not connect: " + self.said())

    def said(self):
        with open(self.log, errors="replace") as log:
            return log.read()[-2000:].strip()

    def _hung_up(self):
        try:
            how = f"with status {self.process.wait(2)}"
        except subprocess.TimeoutExpired:
            how = "and still runs"
        return Gone(f"{self.name} hung up {how}: {self.said()}")

    def send(self, lines):
        self.accesses += len(lines)
        try:
            self.socket.sendall("".join(line + "\n" for line in lines).encode())
        except ConnectionError:
            raise self._hung_up() from None

    def _line(self):
        while b"\n" not in self.input:
            ready = select.select([self.socket], [], [], self.timeout)[0]
            if not ready:
                raise Gone(f"{self.name} is silent: {self.said()}")
            try:
                more = self.socket.recv(1 << 20)
            except ConnectionError:
                more = b""
            if not more:
                raise self._hung_up()
            self.input += more
        line, _, self.input = self.input.partition(b"\n")
        return line.decode()

    def receive(self, count):
        """So many answers, without their OK; numbers as such."""
        answers = []
        while len(answers) < count:
            words = self._line().split(" ", 1)
            if words[0] == "IRQ":
                level, line = words[1].split()
                self.irq[int(line)] = level == "raise"
            elif words[0] != "OK":
                raise Gone(f"{self.name}: {' '.join(words)}")
            else:
                text = words[1] if len(words) > 1 else ""
                number = text.startswith("0x") and len(text) <= 18  # base64 may begin so too
                answers.append(int(text, 16) if number else text)
        return answers

    def exchange(self, lines):
        self.send(lines)
        return self.receive(len(lines))

    def close(self):
        """True if it ended as it should: on hanging up, or, QEMU, on being told to."""
        self.socket.close()
        try:
            return self.process.wait(self.timeout if self.name == "ours" else 0.05) == 0
        except subprocess.TimeoutExpired:
            self.process.terminate()
        try:
            self.process.wait(self.timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self.name != "ours"
