"""What the registries, and whoever builds a release again, want of `scripts/release`: release.py PROVIDER"""

import hashlib
import json
import os
import re
import runpy
import stat
import subprocess
import sys
import tempfile
import time
import tomllib
import unittest
import zipfile
from pathlib import Path
from unittest import mock

ROOT = Path(__file__).resolve().parents[3]
SCRIPT = ROOT / "scripts/release"
NAME = "terraform-provider-codestream"
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]
# The time that a release bears.
MOMENT = 1_785_000_001


class Release(unittest.TestCase):
    def setUp(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        os.environ["CARGO_TARGET_DIR"] = directory.name
        self.zips = Path(directory.name) / "zips"
        self.binary = Path(directory.name) / "binary"
        self.release = runpy.run_path(str(SCRIPT))
        self.binary.write_bytes(b"\x7fELF" + bytes(10_000))

    def pack(self, platform: str) -> Path:
        return self.release["pack"](self.binary, b"licenses", platform, MOMENT)

    def test_the_same_files_make_the_same_bytes_wherever_and_whenever_they_are_packed(self):
        packed = []
        elsewhere = ("Asia/Tokyo", 0o077, 0o777, 2_000_000_000)
        for zone, umask, mode, now in (("UTC", 0o022, 0o600, 1_000_000_000), elsewhere):
            self.addCleanup(os.umask, os.umask(umask))
            os.environ["TZ"] = zone
            time.tzset()
            self.binary.chmod(mode)
            os.utime(self.binary, (now, now))
            with mock.patch("time.time", return_value=now):
                packed.append(self.pack("linux_amd64").read_bytes())
        self.assertEqual(*packed)

    def test_a_zip_holds_an_executable_of_the_name_that_is_looked_for_and_the_licenses(self):
        archive = self.pack("linux_arm64")
        self.assertEqual(archive.name, f"{NAME}_{VERSION}_linux_arm64.zip")
        with zipfile.ZipFile(archive) as opened:
            self.assertIsNone(opened.testzip())
            modes = {entry.filename: stat.filemode(entry.external_attr >> 16) for entry in opened.infolist()}
            self.assertEqual(opened.read(f"{NAME}_v{VERSION}"), self.binary.read_bytes())
        self.assertEqual(
            modes,
            {f"{NAME}_v{VERSION}": "-rwxr-xr-x", "LICENSE": "-rw-r--r--", "THIRD-PARTY-LICENSES": "-rw-r--r--"},
        )

    def test_the_checksums_are_those_of_the_zips_and_the_manifest_of_this_version(self):
        self.pack("linux_amd64")
        self.pack("linux_arm64")
        (self.zips / f"{NAME}_0.0.1_linux_amd64.zip").write_bytes(b"of another version")
        subprocess.run([SCRIPT, "sums"], check=True, stdout=subprocess.DEVNULL)
        sums = (self.zips / f"{NAME}_{VERSION}_SHA256SUMS").read_text()
        listed = dict(reversed(line.split("  ")) for line in sums.splitlines())
        names = ("linux_amd64.zip", "linux_arm64.zip", "manifest.json")
        self.assertEqual(set(listed), {f"{NAME}_{VERSION}_{name}" for name in names})
        for file, digest in listed.items():
            self.assertEqual(digest, hashlib.sha256((self.zips / file).read_bytes()).hexdigest(), file)
        manifest = json.loads((self.zips / f"{NAME}_{VERSION}_manifest.json").read_text())
        self.assertEqual(manifest, {"version": 1, "metadata": {"protocol_versions": ["6.0"]}})

    def test_every_crate_that_left_a_path_in_the_binary_is_in_the_notices_and_each_text_is_once(self):
        # <CARGO_HOME>/registry/src/<registry>/<crate>-<version>/...
        source = re.compile(rb"/registry/src/[^/\0]+/([\w-]+?)-(\d+\.\d+\.\d+[^/\0]*)/")
        linked = {b" ".join(found).decode() for found in source.findall(PROVIDER.read_bytes())}
        self.assertTrue(linked)
        host = re.search("^host: (.+)$", self.release["output"]("rustc", "-vV"), re.MULTILINE)[1]
        parts = self.release["notices"](host).decode().split(f"\n{'-' * 80}\n\n")
        crates, texts = zip(*(part.split("\n\n", 1) for part in parts))
        crates = [names.split(", ") for names in crates]
        self.assertEqual(linked - {name for names in crates for name in names}, set())
        self.assertEqual([names for names in crates if len(names) != len(set(names))], [])
        self.assertEqual(len(texts), len(set(texts)))
        self.assertFalse([names for names in crates if any(name.startswith("syn ") for name in names)], "a macro's")


if __name__ == "__main__":
    PROVIDER = Path(sys.argv.pop())
    unittest.main()
