#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual pages say of each key what its schema says: that it is there, its range, its words and
its default; and they tell of no key that is not there."""
import json
import pathlib
import re
import sys

TOP = pathlib.Path(__file__).resolve().parents[2]
wrong = []


def items(page):
    """(keys around it, its own keys, its text) of each item of the page's lists."""
    found, around, lists = [], [], 0
    for line in page.read_text().split("\n.Sh EXAMPLES")[0].splitlines():
        if line.startswith(".Bl"):
            lists += 1
            around.append([])
        elif line.startswith(".El"):
            lists -= 1
            around.pop()
        elif line.startswith(".It Cm ") and around:
            keys = line[len(".It Cm "):].split(" , ")
            around[-1] = keys
            found.append(([keys[0] for keys in around[:-1]], keys, []))
        elif found and around:
            found[-1][2].append(re.sub(r"\\\(dq", '"', re.sub(r"^\.[A-Z][a-z] ", "", line)))
    return [(above, keys, " ".join(text)) for above, keys, text in found]


def check(page, where, above, properties, all_items):
    told = {}
    for item_above, keys, text in all_items:
        if item_above == above:
            for key in keys:
                told[key] = text
    for key in set(told) ^ set(properties):
        wrong.append(f"{page}: {where}{key}: only in the {'schema' if key in properties else 'manual'}")
    for key in set(told) & set(properties):
        value, text = properties[key], told[key]
        low, high = value.get("minimum"), value.get("maximum")
        if low is not None and f"{low} to {high}" not in text:
            wrong.append(f"{page}: {where}{key}: does not say \"{low} to {high}\"")
        for word in value.get("enum", []):
            if not re.search(rf"(^|[^\w]){re.escape(str(word))}([^\w]|$)", text):
                wrong.append(f"{page}: {where}{key}: does not say \"{word}\"")
        default = value.get("default")
        if default is True or default is False:
            default = "true" if default else "false"
        if default not in (None, "") and (str(default) not in text or
                                          ("default" not in text and default != "false")):
            if default != "false" or "true" not in text:
                wrong.append(f"{page}: {where}{key}: does not say that {default} is the default")


def main():
    for name in ("ioemud", "ioemud-guest"):
        schema = json.loads((TOP / f"config/schema/{name}.schema.json").read_text())
        page = f"{name}.json.5"
        found = items(TOP / "docs" / page)
        check(page, "/", [], schema["properties"], found)
        if name == "ioemud-guest":
            for define, above in (("disk", ["disks"]), ("fault", ["disks", "fault"]), ("serial", ["serial"]),
                                  ("nic", ["nics"]), ("forward", ["nics", "forward"])):
                check(page, f"{define}/", above, schema["$defs"][define]["properties"], found)
    print("\n".join(sorted(wrong)))
    sys.exit(1 if wrong else 0)


main()
