"""mad-resume: replacing the arrays of a state directory, in every way that it is done."""

import json
import os
import socket
import subprocess

import madtest
import numpy as np
import resumes
from resumes import arrays, bundle, npz_bytes


class Swap(resumes.Case):
    def setUp(self):
        super().setUp()
        self.state = madtest.make_state(self.tmp / "state", arrays(0))
        self.report = self.tmp / "report.json"

    def swap(self, step=7, *options, state=None, cwd=None, extra=None):
        """Resumes into the state; returns how it was done, or the failure's reason."""
        npz = npz_bytes({**arrays(step), **(extra or {})})
        self.done = self.resume(bundle(npz), "--state-dir", state or self.state, "--report",
                                self.report, *options, command=None, cwd=cwd)
        report = json.loads(self.report.read_text())
        return report.get("swap", report["reason"])

    def in_namespace(self, script, stdin, **more):
        """Runs a script as root of a mount namespace of its own."""
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-rm"]
        return madtest.run(*unshare, "sh", "-ec", script, stdin=stdin, cwd=self.tmp, **more)

    def test_a_directory_is_exchanged_whole(self):
        before = self.state.stat().st_ino
        self.assertEqual(self.swap(), "exchange")
        self.assertNotEqual(self.state.stat().st_ino, before)
        self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(7)))
        self.assertEqual(self.leftovers(), [])

    def test_a_directory_that_is_not_there_is_created(self):
        new = self.tmp / "new"
        self.assertEqual(self.swap(state=f"{new}/"), "create")
        self.assertEqual(madtest.tree(new), resumes.files_of(arrays(7)))
        self.assertEqual(new.stat().st_mode & 0o777, 0o777 & ~self.umask())
        self.assertEqual(self.leftovers(), [])

    def umask(self):
        mask = os.umask(0o77)
        os.umask(mask)
        return mask

    def test_an_empty_directory_takes_any_topology(self):
        (self.tmp / "empty").mkdir()
        self.assertEqual(self.swap(state=self.tmp / "empty"), "exchange")
        self.assertEqual(madtest.tree(self.tmp / "empty"), resumes.files_of(arrays(7)))

    def test_a_link_is_followed_once_and_the_directory_behind_it_swapped(self):
        self.state.rename(self.tmp / "state.0")
        madtest.make_state(self.tmp / "state.1", arrays(1))
        self.state.symlink_to("state.0")
        self.assertEqual(self.swap(), "exchange")
        self.assertEqual(os.readlink(self.state), "state.0")
        self.assertEqual(madtest.tree(self.tmp / "state.0"), resumes.files_of(arrays(7)))
        self.assertEqual(madtest.tree(self.tmp / "state.1"), resumes.files_of(arrays(1)))

    def test_a_link_to_nothing_is_refused(self):
        (self.tmp / "dangling").symlink_to("nothing")
        self.assertEqual(self.swap(state=self.tmp / "dangling"), "io-error")
        self.assertFalse((self.tmp / "nothing").exists())

    def furnish(self):
        """What is no array, at every level."""
        (self.state / "README").write_text("read me")
        (self.state / ".config").write_text("hidden")
        (self.state / ".git/objects").mkdir(parents=True)
        (self.state / ".git/objects/x.npy").write_text("no array")
        (self.state / "ball/notes.txt").write_text("notes")
        (self.state / "_meta/log").mkdir()
        (self.state / "_meta/log/today").write_text("log")
        (self.state / "top.npy").write_text("at the top there are no arrays")
        (self.state / "logs/empty").mkdir(parents=True)
        (self.state / "link").symlink_to("/nonexistent")
        os.mkfifo(self.state / "fifo")
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.state / "sock"))
        os.chmod(self.state / "logs", 0o2775)
        return {path: data for path, data in madtest.tree(self.state).items()
                if path not in resumes.files_of(arrays(0))}

    def assert_furnished(self, others):
        found = madtest.tree(self.state)
        self.assertEqual({k: v for k, v in found.items() if k in others}, others)
        self.assertTrue((self.state / "logs/empty").is_dir())
        self.assertEqual((self.state / "logs").stat().st_mode & 0o7777, 0o2775)
        self.assertEqual(os.readlink(self.state / "link"), "/nonexistent")
        self.assertTrue((self.state / "fifo").is_fifo())
        self.assertTrue((self.state / "sock").is_socket())

    def test_what_is_no_array_survives_an_exchange(self):
        others = self.furnish()
        inode = (self.state / "README").stat().st_ino
        self.assertEqual(self.swap(), "exchange", self.done.stderr)
        self.assert_furnished(others)
        self.assertEqual((self.state / "README").stat().st_ino, inode)
        self.assertEqual(madtest.tree(self.state), {**resumes.files_of(arrays(7)), **others})

    def test_what_is_no_array_survives_a_swap_in_place(self):
        others = self.furnish()
        self.assertEqual(self.swap(cwd=self.state), "in-place", self.done.stderr)
        self.assert_furnished(others)
        self.assertEqual(madtest.tree(self.state), {**resumes.files_of(arrays(7)), **others})

    def test_a_node_that_the_new_state_lacks_goes_but_what_else_is_in_it_stays(self):
        (self.state / "_meta/notes").write_text("mine")
        without = {k: v for k, v in arrays(7).items() if not k.startswith("_meta")}
        for cwd, how in ((self.tmp, "exchange"), (self.state, "in-place")):
            self.resume(bundle(npz_bytes(without)), "--state-dir", self.state, "--report",
                        self.report, command=None, cwd=cwd)
            self.assertEqual(json.loads(self.report.read_text())["swap"], how)
            self.assertEqual(madtest.tree(self.state),
                             {**resumes.files_of(without), "_meta/notes": b"mine"})

    def test_something_that_is_no_array_where_one_is_to_go_is_refused(self):
        (self.state / "_meta/more.npy").symlink_to("/etc/hostname")
        before = madtest.tree(self.state)
        for cwd in (self.tmp, self.state):
            extra = {"_meta/more": np.zeros(1)}
            self.assertEqual(self.swap(extra=extra, cwd=cwd), "state-invalid")
            self.assertIn("more.npy", self.done.stderr)
            self.assertEqual(madtest.tree(self.state), before)
            self.assertTrue((self.state / "_meta/more.npy").is_symlink())
            self.assertEqual(self.leftovers(), [])

    def test_the_current_directory_stays_the_current_directory(self):
        for cwd in (self.state, self.state / "ball"):
            before = self.state.stat().st_ino
            self.assertEqual(self.swap(cwd=cwd), "in-place")
            self.assertEqual(self.state.stat().st_ino, before)
            self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(7)))
            self.assertEqual(self.leftovers(), [])

    def test_a_mount_point_is_swapped_in_place(self):
        script = ("mount -t tmpfs none state; cp -a fresh/. state; "
                  "mad-resume --state-dir state --report report.json -- sh -c ':'; "
                  "cp -a state after; ls -A state")
        madtest.make_state(self.tmp / "fresh", arrays(0))
        done = self.in_namespace(script, bundle(npz_bytes(arrays(7))))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(self.report.read_text())["swap"], "in-place")
        self.assertEqual(madtest.tree(self.tmp / "after"), resumes.files_of(arrays(7)))
        self.assertEqual(done.stdout.split(), [b"_meta", b"ball", b"heat"])

    def test_a_bind_mount_of_the_same_file_system_is_seen(self):
        script = "mkdir bound; mount --bind state bound; mad-resume --state-dir bound " \
                 "--report report.json"
        done = self.in_namespace(script, bundle(npz_bytes(arrays(7))))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(self.report.read_text())["swap"], "in-place")
        self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(7)))

    def test_a_mount_below_the_state_is_neither_lost_nor_emptied(self):
        script = "mount -t tmpfs none state/.cache; echo kept > state/.cache/file; " \
                 "mad-resume --state-dir state --report report.json; cat state/.cache/file"
        (self.state / ".cache").mkdir()
        done = self.in_namespace(script, bundle(npz_bytes(arrays(7))))
        self.assertEqual((done.returncode, done.stdout), (0, b"kept\n"), done.stderr)
        self.assertEqual(json.loads(self.report.read_text())["swap"], "in-place")
        self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(7)))

    def test_the_lower_layer_of_an_overlay_is_swapped_in_place(self):
        script = "mkdir layers over; mount -t tmpfs none layers; mkdir layers/up layers/work; " \
                 "mkdir lower; mv state lower; " \
                 "mount -t overlay -o lowerdir=lower,upperdir=layers/up,workdir=layers/work " \
                 "none over; mad-resume --state-dir over/state --report report.json; " \
                 "cp -a over/state after; ls -A over"
        done = self.in_namespace(script, bundle(npz_bytes(arrays(7))))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(done.stdout, b"state\n")
        self.assertEqual(madtest.tree(self.tmp / "after"), resumes.files_of(arrays(7)))
        self.assertEqual(madtest.tree(self.tmp / "lower/state"), resumes.files_of(arrays(0)))
        self.assertEqual(json.loads(self.report.read_text())["swap"], "in-place")

    def test_a_parent_that_cannot_be_written_means_a_swap_in_place(self):
        script = "mount -t tmpfs none top; mkdir top/rw top/ro; cp -a state top/rw; " \
                 "mkdir top/ro/state; mount --bind top/ro top/ro; " \
                 "mount --bind top/rw/state top/ro/state; mount -o remount,bind,ro top/ro; " \
                 "mad-resume --state-dir top/ro/state --report report.json; " \
                 "cp -a top/rw/state after"
        (self.tmp / "top").mkdir()
        done = self.in_namespace(script, bundle(npz_bytes(arrays(7))))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(self.report.read_text())["swap"], "in-place")
        self.assertEqual(madtest.tree(self.tmp / "after"), resumes.files_of(arrays(7)))

    def test_a_read_only_state_is_known_before_anything_is_read(self):
        script = "mount --bind state state; mount -o remount,bind,ro state; " \
                 f"mad-resume --state-dir state -- sh -c '{resumes.SHOW}'"
        # An endless stream would be read for ever.
        done = self.in_namespace(script, bundle(npz_bytes(arrays(7))))
        self.assert_failed(done, "mad-resume: permission: ")
        self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(0)))

    def test_ten_boots_into_different_places_do_not_disturb_each_other(self):
        self.race(lambda i: (self.tmp / f"in{i}.npz", self.tmp / f"state{i}"))
        for i in range(10):
            self.assertEqual(madtest.tree(self.tmp / f"state{i}"), resumes.files_of(arrays(i)))
            self.assertEqual((self.tmp / f"in{i}.npz").read_bytes(), npz_bytes(arrays(i)))
            madtest.reference_verify(self.tmp / f"in{i}.npz")
        self.assertEqual(self.leftovers(), [])

    def test_ten_boots_into_the_same_place_follow_each_other(self):
        # In the current directory the swap is done in place; in `mixed`, every other time.
        for state in ("state", "created", "here/state", "mixed/state"):
            if "/" in state:
                madtest.make_state(self.tmp / state, arrays(0))
            inside = {"here/state": {0, 1}, "mixed/state": {1}}.get(state, set())
            with self.subTest(state=state):
                self.race(lambda i: (self.tmp / "in.npz", self.tmp / state),
                          cwd=lambda i: self.tmp / state if i % 2 in inside else self.tmp)
                step = int(np.load(self.tmp / state / "_meta/step_count.npy"))
                self.assertEqual(madtest.tree(self.tmp / state), resumes.files_of(arrays(step)))
                madtest.reference_verify(self.tmp / "in.npz")
                self.assertEqual(self.leftovers(), [])

    def race(self, places, cwd=lambda i: None):
        running = []
        for i in range(10):
            snapshot, state = places(i)
            running.append(subprocess.Popen(
                [madtest.tool("mad-resume"), "--snapshot", snapshot, "--state-dir", state, "--",
                 "sh", "-c", 'echo "$MAD_RESUME_STATUS"'],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                cwd=cwd(i) or self.tmp, env=madtest.clean_environment()))
        for i, process in enumerate(running):
            process.stdin.write(bundle(npz_bytes(arrays(i))))
            process.stdin.close()
            process.stdin = None
        for process in running:
            out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, out), (0, b"resumed\n"), err)

    def test_a_state_needs_no_more_than_its_own_room(self):
        """Not twice as much: what is unpacked of the npz is given back at once."""
        large = {f"heat/field{i}": np.full(6 << 20, i, dtype="u1") for i in range(4)}
        npz = npz_bytes(large)
        self.assertGreater(len(npz), 24 << 20)
        (self.tmp / "small").mkdir()
        script = "mount -t tmpfs -o size=36m none small; mad-resume --state-dir small/state; " \
                 "cp -r small/state out"
        done = self.in_namespace(script, bundle(npz))
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(madtest.tree(self.tmp / "out"), resumes.files_of(large))

    def test_many_arrays_and_deep_fields_are_unpacked(self):
        many = {f"node{i % 7}/a/b{i % 11}/field{i}": np.full(3, i) for i in range(500)}
        done = self.resume(bundle(npz_bytes(many)), "--state-dir", self.tmp / "many",
                           command=None)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(madtest.tree(self.tmp / "many"), resumes.files_of(many))

    def test_deflated_archives_are_unpacked(self):
        file = self.tmp / "packed.npz"
        np.savez_compressed(file, **arrays(7))
        done = self.resume(bundle(file.read_bytes()), "--state-dir", self.state, command=None)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(madtest.tree(self.state), resumes.files_of(arrays(7)))

    def test_another_users_scratch_of_the_same_name_is_not_followed(self):
        victim = self.tmp / "victim"
        victim.mkdir()
        (victim / "file").write_text("kept")
        (self.tmp / ".state.mad-abcdefgh").symlink_to(victim)
        (self.tmp / ".state.mad-abcdefgi").mkdir()
        (self.tmp / ".state.mad-abcdefgi/link").symlink_to(victim)
        self.assertEqual(self.swap(), "exchange")
        self.assertEqual((victim / "file").read_text(), "kept")
        self.assertFalse((self.tmp / ".state.mad-abcdefgi").exists())


if __name__ == "__main__":
    madtest.main()
