#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The script that sets ioemud's hooks in Xen's source, on sources that are made up here."""
import importlib.machinery
import importlib.util
import os
import shutil
import sys
import tempfile
import unittest

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
sys.dont_write_bytecode = True


def load():
    path = os.path.join(TREE, "ioreq", "hypervisor", "apply")
    loader = importlib.machinery.SourceFileLoader("hypervisor_apply", path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    loader.exec_module(module)
    return module


apply = load()

SOURCE = """\
#include <lib/aaa.h>
#include <xen/aaa.h>
#include <xen/zzz.h>

static int declared(int x);

struct thing {
    int one;
};

static int first(int x)
{
    step(x);
    return x;
}

static int second(int x,
                  int y)
{
    step(y);
        step(x);
    return y;
}
"""


class Hooks(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="ioemud-apply-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.source = self.written("a.c", SOURCE)

    def written(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)
        return apply.Source(self.folder, name)

    def text(self):
        return "\n".join(self.source.lines)

    def test_a_line_goes_behind_its_anchor_as_far_in(self):
        self.source.after(r"step\(x\)", "ours();", scope="first")
        self.assertIn("    step(x);\n    ours();\n    return x;", self.text())

    def test_a_line_goes_before_its_anchor(self):
        self.source.before(r"return y", "ours();", "", scope="second")
        self.assertIn("        step(x);\n    ours();\n\n    return y;", self.text())

    def test_text_goes_into_a_line(self):
        self.source.within(r"int one", ", two", scope="struct thing")
        self.assertIn("    int one, two;\n", self.text())

    def test_an_anchor_that_is_not_there_is_an_error(self):
        with self.assertRaisesRegex(apply.HookError, "first of a.c: 0 lines match"):
            self.source.after("leap", "ours();", scope="first")

    def test_an_anchor_that_is_there_twice_is_an_error(self):
        with self.assertRaisesRegex(apply.HookError, "second of a.c: 2 lines match"):
            self.source.after("step", "ours();", scope="second")

    def test_a_function_that_is_only_declared_is_an_error(self):
        with self.assertRaisesRegex(apply.HookError, "0 definitions of declared"):
            self.source.after("x", "ours();", scope="declared")

    def test_a_function_that_is_not_there_is_an_error(self):
        with self.assertRaisesRegex(apply.HookError, "0 definitions of third"):
            self.source.after("x", "ours();", scope="third")

    def test_an_include_goes_where_the_alphabet_says(self):
        self.source.include("<xen/mmm.h>")
        self.assertIn("#include <xen/aaa.h>\n#include <xen/mmm.h>\n#include <xen/zzz.h>", self.text())

    def test_a_file_that_is_not_there_is_an_error(self):
        with self.assertRaisesRegex(apply.HookError, "there is no such file"):
            apply.Source(self.folder, "b.c")

    def test_a_tree_that_lacks_one_hook_is_not_touched(self):
        """All of Xen's files are there, and none has what is looked for."""
        names = []

        def written(name):
            names.append(name)
            os.makedirs(os.path.dirname(os.path.join(self.folder, name)), exist_ok=True)
            return self.written(name, "#include <xen/zzz.h>\n")

        with self.assertRaises(apply.HookError):
            apply.hooks(written)
        with self.assertRaises(apply.HookError):
            apply.apply(self.folder)
        with open(os.path.join(self.folder, names[0]), encoding="utf-8") as file:
            self.assertEqual(file.read(), "#include <xen/zzz.h>\n")
        self.assertFalse(os.path.exists(os.path.join(self.folder, "xen/arch/x86/hvm/bufpio.c")))

    def test_our_files_are_those_that_the_hooks_name(self):
        self.assertIn("xen/include/public/hvm/bufpio.h", apply.copies().values())
        self.assertIn("xen/arch/x86/hvm/bufpio.c", apply.copies().values())
        self.assertIn("xen/include/xen/bufpio.h", apply.copies().values())
        self.assertIn("xen/include/public/grant_swap.h", apply.copies().values())
        self.assertIn("xen/common/grant_swap.c", apply.copies().values())
        self.assertIn("xen/arch/x86/mm/frame-swap.c", apply.copies().values())
        self.assertIn("xen/include/xen/grant_swap.h", apply.copies().values())


if __name__ == "__main__":
    unittest.main()
