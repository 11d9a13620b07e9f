"""The locks: every requirement pinned and hashed, no address, and one lock for all versions."""

import re
import unittest

from .support import ROOT

LOCKS = ("requirements.lock", "requirements-dev.lock", "http2.lock")
PIN = re.compile(r"^(?P<name>[a-z0-9-]+)==(?P<version>[0-9][0-9a-z.]*)(?: ; (?P<marker>[^\\]+?))?$")
HASH = re.compile(r"^--hash=sha256:[0-9a-f]{64}$")


def requirements(name: str) -> list[tuple[str, list[str]]]:
    """Each requirement and its options; lines that end in a backslash go on."""
    text = (ROOT / name).read_text().replace("\\\n", " ")
    found = []
    for line in text.splitlines():
        requirement, *options = re.split(r"\s+(?=--)", line.strip())
        found.append((requirement, options))
    return found


class Locks(unittest.TestCase):
    def test_every_line_is_pinned_and_hashed(self):
        for lock in LOCKS:
            for requirement, options in requirements(lock):
                with self.subTest(lock=lock, requirement=requirement):
                    self.assertRegex(requirement, PIN)
                    self.assertTrue(options)
                    for option in options:
                        self.assertRegex(option, HASH)

    def test_no_line_names_an_address_or_a_folder(self):
        for lock in LOCKS:
            text = (ROOT / lock).read_text()
            for part in ("://", "index-url", "find-links", "file:", "-e ", " @ ", "trusted-host"):
                self.assertNotIn(part, text, lock)

    def test_what_is_asked_for_is_locked(self):
        for name in (lock.removesuffix(".lock") for lock in LOCKS):
            asked = [line for line in (ROOT / f"{name}.in").read_text().splitlines() if line and line[0] != "#"]
            locked = {requirement.split("==")[0] for requirement, _ in requirements(f"{name}.lock")}
            self.assertLessEqual({line.split("==")[0] for line in asked}, locked)

    def test_two_versions_of_a_package_have_markers_that_tell_them_apart(self):
        markers = {}
        for requirement, _ in requirements("requirements.lock"):
            match = PIN.match(requirement)
            self.assertIsNotNone(match, requirement)
            markers.setdefault(match["name"], []).append(match["marker"])
        for name, of_name in markers.items():
            if len(of_name) > 1:
                self.assertNotIn(None, of_name, name)
                self.assertEqual(len(set(of_name)), len(of_name), name)
        self.assertEqual(len(markers["tokenizers"]), 1)
