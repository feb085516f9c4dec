"""Other programs read what the tools write, and the tools read what honest writers write."""

import ctypes
import ctypes.util
import os
import shutil
import zipfile

import every_dtype
import madtest
import numpy as np

BOOT = 'mad-fetch "$1" | mad-verify | mad-resume --durability none --state-dir "$2"'


class LibArchive:
    """libarchive's seeking and streaming ZIP readers, through its C interface."""

    def __init__(self):
        name = ctypes.util.find_library("archive") or "libarchive.so.13"
        self.lib = ctypes.CDLL(name)
        for function in ("archive_read_new", "archive_entry_pathname_utf8"):
            getattr(self.lib, function).restype = ctypes.c_void_p
        self.lib.archive_entry_pathname_utf8.restype = ctypes.c_char_p
        self.lib.archive_error_string.restype = ctypes.c_char_p
        self.lib.archive_read_data.restype = ctypes.c_ssize_t

    def read(self, path, format_name):
        """{name: bytes}; raises where libarchive reports anything but success."""
        archive = ctypes.c_void_p(self.lib.archive_read_new())

        def check(status, allowed=(0,)):
            if status not in allowed:
                raise ValueError(f"{status}: {self.lib.archive_error_string(archive)}")
            return status

        try:
            check(getattr(self.lib, f"archive_read_support_format_{format_name}")(archive))
            check(self.lib.archive_read_open_filename(
                archive, os.fsencode(path), ctypes.c_size_t(65536)))
            found = {}
            entry = ctypes.c_void_p()
            while check(self.lib.archive_read_next_header(archive, ctypes.byref(entry)),
                        (0, 1)) == 0:
                name = self.lib.archive_entry_pathname_utf8(entry).decode()
                data = bytearray()
                piece = ctypes.create_string_buffer(1 << 16)
                while True:
                    count = self.lib.archive_read_data(archive, piece, len(piece))
                    if count < 0:
                        check(count)
                    if count == 0:
                        break
                    data += piece.raw[:count]
                found[name] = bytes(data)
            return found
        finally:
            self.lib.archive_read_free(archive)


class Readers(madtest.Case):
    def setUp(self):
        super().setUp()
        os.environ.setdefault("LC_ALL", "C.UTF-8")
        import locale
        locale.setlocale(locale.LC_ALL, "")
        self.files = {key + ".npy": data for key, data in every_dtype.every_npy().items()}
        for name, data in self.files.items():
            path = self.tmp / "state" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def each(self, check):
        for options in ((), ("--compress",)):
            npz = self.tmp / ("deflated.npz" if options else "stored.npz")
            done = madtest.run("mad-snapshot", "--durability", "none", *options, "-o", npz, self.tmp / "state")
            self.assertEqual(done.returncode, 0, done.stderr)
            with self.subTest(npz.name):
                check(npz)

    def test_unzip_tests_and_unpacks_our_archives(self):
        def check(npz):
            done = madtest.run("unzip", "-tqq", npz)
            self.assertEqual(done.returncode, 0, done.stdout.decode() + done.stderr)
            out = self.tmp / (npz.name + ".out")
            done = madtest.run("unzip", "-q", npz, "-d", out)
            self.assertEqual((done.returncode, done.stdout, done.stderr), (0, b"", ""))
            self.assertEqual(madtest.tree(out), self.files)

        self.each(check)

    def test_zipinfo_finds_nothing_to_complain_about(self):
        def check(npz):
            done = madtest.run("zipinfo", "-v", npz)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertNotIn(b"warning", done.stdout.lower())

        self.each(check)

    def test_7z_tests_our_archives(self):
        def check(npz):
            done = madtest.run("7z", "t", npz)
            self.assertEqual(done.returncode, 0, done.stdout.decode() + done.stderr)
            self.assertIn(b"Everything is Ok", done.stdout)
            self.assertNotIn(b"Warning", done.stdout)

        self.each(check)

    def test_python_zipfile_finds_every_crc_right(self):
        def check(npz):
            with zipfile.ZipFile(npz) as archive:
                self.assertIsNone(archive.testzip())
                self.assertEqual(archive.namelist(),
                                 sorted(self.files, key=lambda n: n[:-4].encode()))
                self.assertEqual({i.date_time for i in archive.infolist()}, {(1980, 1, 1, 0, 0, 0)})

        self.each(check)

    def test_both_readers_of_libarchive_see_the_same_members(self):
        library = LibArchive()
        def check(npz):
            for reader in ("zip_seekable", "zip_streamable"):
                self.assertEqual(library.read(npz, reader), self.files, reader)

        self.each(check)


class HonestWriters(madtest.Case):
    """Archives that are unusual and say the same thing to every reader."""

    def setUp(self):
        super().setUp()
        self.npz = self.tmp / "sim.npz"
        self.files = {key + ".npy": every_dtype.npy_bytes(array)
                      for key, array in madtest.small_arrays().items()}

    def assert_taken(self):
        madtest.reference_manifest(self.npz)
        done = madtest.run("mad-verify", self.npz)
        self.assertEqual(done.returncode, 0, done.stderr)
        done = madtest.dash(BOOT, self.npz, self.tmp / "state")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(madtest.tree(self.tmp / "state"), self.files)

    def write(self, **options):
        with zipfile.ZipFile(self.npz, "w", **options) as archive:
            for name, data in self.files.items():
                archive.writestr(name, data)

    def test_writestr_without_zip64(self):
        self.write()
        self.assert_taken()

    def test_an_archive_comment(self):
        self.write()
        with zipfile.ZipFile(self.npz, "a") as archive:
            archive.comment = b"made by hand"
        self.assert_taken()

    def test_stored_and_deflated_members_side_by_side(self):
        with zipfile.ZipFile(self.npz, "w") as archive:
            for index, (name, data) in enumerate(self.files.items()):
                archive.writestr(name, data, compress_type=(0, 8)[index % 2])
        self.assert_taken()

    def test_every_level_of_deflate(self):
        for level in (0, 1, 9):
            with self.subTest(level):
                self.write(compression=zipfile.ZIP_DEFLATED, compresslevel=level)
                self.assert_taken()
                for path in sorted((self.tmp / "state").rglob("*"), reverse=True):
                    path.unlink() if path.is_file() else path.rmdir()

    def test_member_comments_and_time_stamps(self):
        with zipfile.ZipFile(self.npz, "w") as archive:
            for name, data in self.files.items():
                info = zipfile.ZipInfo(name, (2107, 12, 31, 23, 59, 58))
                info.comment = b"a member's comment"
                info.external_attr = 0o100444 << 16
                archive.writestr(info, data)
        self.assert_taken()

    def test_an_extra_field_that_nobody_knows(self):
        with zipfile.ZipFile(self.npz, "w") as archive:
            for name, data in self.files.items():
                info = zipfile.ZipInfo(name)
                info.extra = b"\xfe\xca\x04\x00\x01\x02\x03\x04"
                archive.writestr(info, data)
        self.assert_taken()

    def test_an_archive_appended_to_in_a_second_session(self):
        names = list(self.files)
        for mode, part in (("w", names[:2]), ("a", names[2:])):
            with zipfile.ZipFile(self.npz, mode) as archive:
                for name in part:
                    archive.writestr(name, self.files[name])
        self.assert_taken()

    def test_what_common_writers_make_of_a_directory(self):
        """Info-ZIP (time stamps in extra fields, to a pipe, with ZIP64 forced), 7-Zip,
        libarchive (CMake's, and bsdtar where there is one) and Java's jar."""
        source = self.tmp / "source"
        for name, data in self.files.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(data)
        names = " ".join(sorted(self.files))
        writers = {
            "zip": f'zip -q -D "$1" {names}', "zip-9": f'zip -q -9 -D "$1" {names}',
            "zip-0": f'zip -q -0 -D "$1" {names}', "zip-X": f'zip -q -X -D "$1" {names}',
            "zip-pipe": f'zip -q -D - {names} | cat >"$1"',
            "zip-0-pipe": f'zip -q -0 -D - {names} | cat >"$1"',
            "zip-zip64": f'zip -q -fz -D "$1" {names}',
            "zip-comment": f'echo comment | zip -q -z -D "$1" {names}',
            "7z": f'7z a -tzip -mx=1 "$1" {names} >/dev/null',
            "7z-0": f'7z a -tzip -mx=0 "$1" {names} >/dev/null',
            "cmake": f'cmake -E tar cf "$1" --format=zip {names}',
            "bsdtar": f'bsdtar -a -cf "$1" --format=zip {names}',
            "bsdtar-pipe": f'bsdtar -cf - --format=zip {names} | cat >"$1"',
            "jar": f'jar cMf "$1" {names}', "jar-0": f'jar c0Mf "$1" {names}',
        }
        for writer, command in writers.items():
            if shutil.which(command.split()[0]) is None:
                continue
            with self.subTest(writer):
                self.npz.unlink(missing_ok=True)
                done = madtest.run("sh", "-c", command, "sh", self.npz, cwd=source)
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assert_taken()

    def test_names_beyond_ascii_carry_the_utf8_flag(self):
        self.files = {"n\u00f6de/f\u012beld \u65e5.npy": every_dtype.npy_bytes(np.arange(3))}
        self.write()
        with zipfile.ZipFile(self.npz) as archive:
            self.assertTrue(archive.infolist()[0].flag_bits & 0x800)
        self.assert_taken()


if __name__ == "__main__":
    madtest.main()
