#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The JSON Schemas and the parser agree on what a good configuration is.

verdicts.py IOEMUD: for every file under tests/config and config/examples, and for each of them with
one thing changed, the schema's verdict is compared with that of `ioemud --check`. What no schema can
state is listed below, with the reason; each is checked to be so. Exit status 77: python3-jsonschema
is missing.
"""
import copy
import json
import pathlib
import subprocess
import sys
import tempfile

try:
    import jsonschema
except ImportError:
    print("python3-jsonschema is not installed")
    sys.exit(77)

TOP = pathlib.Path(__file__).resolve().parents[2]

# Refused by the parser, and rightly, where the schema sees nothing wrong.
BEYOND_A_SCHEMA = {
    "daemon-one-socket-twice": "compares two keys",
    "daemon-shm-socket-taken": "compares two keys",
    "guest-disk-fault-range": "compares two keys",
    "guest-name-differs": "the file's name",
    "guest-nic-devid-twice": "a NIC without a devid has that of its position",
}

# One value of each kind, and of the ranges' ends.
VALUES = [None, True, False, 0, 1, 8, 31, 32, 64, 4096, 4097, 65536, -1, 1.5, 1 << 40, "", "a", "pty", "raw",
          "mem", "cdrom", "shm", "secondary", "user", "socket", "macvtap", "dgram", "vde", "unix", "file",
          "none", "auto", "/a", "/" + "s" * 107, "/a\n", "a\n", "hda", "xvdb", "hda\n", "16M", "513", "1T",
          "0x5000c50015ea71ad", "00:16:3e:01:02:03", "10.0.0.1", "10.0.0.01", "cdn", "cdc", [], {},
          [{}], [{"vdev": "hdb"}], [{"type": "none"}], [{"port": 1, "guest_port": 2}], {"every": 1}]

# Whole documents that no file has as its neighbour.
MORE = [
    {"hypervisor": "shm", "disks": [{"vdev": "hda", "format": "mem", "size": 512}]},
    {"hypervisor": "shm", "disks": [{"vdev": "hda", "format": "mem", "size": "1K"}], "nics": [{}]},
    {"hypervisor": "shm", "nics": [{"backend": "socket", "path": "/a", "peer": "/b"},
                                   {"backend": "socket", "mode": "listen", "path": "/a"},
                                   {"backend": "macvtap", "ifname": "m0", "devid": 7}]},
    {"role": "secondary", "slot": 3, "nics": [{"backend": "null", "slot": 9, "link": False}]},
    {"serial": [{"type": "unix", "path": "/a"}, {"type": "file", "path": "/b", "max_size": "64K"}]},
    {"disks": [{"vdev": "hda", "path": "/a", "wwn": "0x5000c50015ea71ad", "fault": {"every": 3, "count": 1,
               "op": "read", "first_sector": 1, "last_sector": "1K", "delay_ms": 5}},
               {"vdev": "hdc", "type": "cdrom", "read_only": True}]},
]


def strict(pairs):
    """As the parser: a key that is there twice is a mistake."""
    if len({key for key, _ in pairs}) != len(pairs):
        raise ValueError("a key is there twice")
    return dict(pairs)


def read(text):
    """The document, or ValueError."""
    return json.loads(text.decode("utf-8"), object_pairs_hook=strict)


def neighbours(document):
    """The document with one value replaced, one key removed, or one key added."""
    def places(node, at):
        yield at
        if isinstance(node, dict):
            for key in node:
                yield from places(node[key], at + [key])
        elif isinstance(node, list):
            for index, item in enumerate(node):
                yield from places(item, at + [index])

    for at in places(document, []):
        if not at:
            continue
        for value in VALUES:
            changed = copy.deepcopy(document)
            parent = changed
            for step in at[:-1]:
                parent = parent[step]
            parent[at[-1]] = copy.deepcopy(value)
            yield changed
        changed = copy.deepcopy(document)
        parent = changed
        for step in at[:-1]:
            parent = parent[step]
        del parent[at[-1]]
        yield changed
        if isinstance(parent, dict):
            parent["unheard_of"] = 1
            yield changed


def beyond(document, stem):
    """Whether what is wrong here may be what no schema states."""
    def walk(node, size_key=False):
        if isinstance(node, dict):
            return any(walk(value, key in ("size", "max_size", "rate", "rate_in", "first_sector", "last_sector"))
                       for key, value in node.items())
        if isinstance(node, list):
            return any(walk(item) for item in node)
        # A size in words, to the last byte.
        return size_key and isinstance(node, str)

    if not isinstance(document, dict):
        return False
    sockets = [document.get("control_socket", "/run/ioemud/control.sock"),
               document.get("stats_socket", "/run/ioemud/stats.sock"), document.get("shm_socket", "")]
    if len(set(map(str, sockets))) < 3:
        return True
    if document.get("name", stem) != stem:
        return True
    nics = document.get("nics")
    if isinstance(nics, list):
        devids = [nic.get("devid", i) for i, nic in enumerate(nics) if isinstance(nic, dict)]
        if len(set(map(str, devids))) < len(devids):
            return True
    for disk in document.get("disks") or [] if isinstance(document.get("disks"), list) else []:
        fault = disk.get("fault") if isinstance(disk, dict) else None
        first, last = (fault.get("first_sector", 0), fault.get("last_sector", 1 << 55)) \
            if isinstance(fault, dict) else (0, 0)
        if isinstance(first, int) and isinstance(last, int) and first > last:
            return True
    return walk(document)


class Parser:
    """ioemud --check on files in a folder of its own."""

    def __init__(self, program, folder):
        self.program, self.folder = program, pathlib.Path(folder)

    def _run(self, *arguments):
        done = subprocess.run([self.program, *arguments], capture_output=True, check=False)
        if done.returncode not in (0, 1) or b"Sanitizer" in done.stderr:
            sys.exit(f"{self.program} ended with {done.returncode}: {done.stderr.decode()}")
        return done

    def takes_daemon(self, text):
        path = self.folder / "ioemud.json"
        path.write_bytes(text)
        # A guest's file that is good, so that the daemon's file is all that can be wrong.
        guest = self.folder / "good.json"
        guest.write_text("{}")
        return self._run("-c", str(path), "--check", str(guest)).returncode == 0

    def take_guests(self, texts):
        """All at once: a verdict for each (name, text)."""
        config = self.folder / "default.json"
        config.write_text("{}")
        paths = []
        for number, (name, text) in enumerate(texts):
            folder = self.folder / str(number)
            folder.mkdir()
            (folder / f"{name}.json").write_bytes(text)
            paths.append(str(folder / f"{name}.json"))
        good = set()
        for first in range(0, len(paths), 500):
            done = self._run("-c", str(config), "--check", *paths[first:first + 500])
            good |= {line[:-len(": good")] for line in done.stdout.decode().splitlines()
                     if line.endswith(": good")}
        return [path in good for path in paths]


def schema_takes(validator, text):
    try:
        return validator.is_valid(read(text))
    except ValueError:
        return False


def main():
    kinds = {}
    for kind, name in (("daemon", "ioemud"), ("guest", "ioemud-guest")):
        schema = json.loads((TOP / f"config/schema/{name}.schema.json").read_text())
        jsonschema.Draft202012Validator.check_schema(schema)
        kinds[kind] = jsonschema.Draft202012Validator(schema)

    # Kind, the case's name, that of the guest's file, and what is in it.
    files = [(path.parent.name.split("-")[0], path.parent.name, "web1", path.read_bytes())
             for path in sorted((TOP / "tests/config").glob("*/input.json"))]
    good = [("guest" if path.parent.name == "guests.d" else "daemon", "", path.stem, path.read_bytes())
            for path in sorted((TOP / "config/examples").rglob("*.json"))]
    cases = [(*case, True) for case in files + good]
    for kind, name, stem, text in good + [("guest", "", "web1", json.dumps(more).encode()) for more in MORE]:
        cases += [(kind, name, stem, json.dumps(changed).encode(), False) for changed in neighbours(read(text))]

    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        parser = Parser(sys.argv[1], folder)
        unique = list(dict.fromkeys((stem, text) for kind, _, stem, text, _ in cases if kind == "guest"))
        verdicts = dict(zip(unique, parser.take_guests(unique)))
        for kind, name, stem, text, as_it_is in cases:
            takes = verdicts[stem, text] if kind == "guest" else parser.takes_daemon(text)
            allowed = schema_takes(kinds[kind], text)
            if as_it_is and name in BEYOND_A_SCHEMA:
                if takes or not allowed:
                    print(f"{name}: no schema can see it ({BEYOND_A_SCHEMA[name]})? parser {takes}, schema {allowed}")
                    wrong += 1
                continue
            if takes == allowed:
                continue
            if not takes and not as_it_is and beyond(read(text), stem):
                continue
            print(f"{name or kind}: the parser says {takes}, the schema {allowed}: {text.decode(errors='replace')}")
            wrong += 1
    print(f"{len(cases)} configurations, {wrong} on which schema and parser disagree")
    missing = set(BEYOND_A_SCHEMA) - {name for _, name, _, _ in files}
    if missing:
        print(f"not there any more: {missing}")
    sys.exit(1 if wrong or missing or len(files) < 80 else 0)


main()
