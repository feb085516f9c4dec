"""What the benchmarks share: subjects whose runs are interleaved, medians, tables in
Markdown.  No NumPy in this process: what a child inherits at fork would count as its
resident memory.
"""

import argparse
import os
import pathlib
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
REFERENCE = ["/usr/bin/python3", str(HERE / "reference.py")]
MIB = 1 << 20


def parse_size(text):
    for unit, factor in (("GiB", 1 << 30), ("MiB", MIB), ("KiB", 1 << 10)):
        if text.endswith(unit):
            return int(float(text[:-3]) * factor)
    return int(text)


def clean_environment(binaries):
    steering = ("MAD_", "MADDENING_", "RESUME_FROM_URL", "http_proxy", "https_proxy", "AWS_",
                "RCLONE_")
    env = {k: v for k, v in os.environ.items() if not k.startswith(steering)}
    return env | {"PATH": f"{binaries}:{env['PATH']}", "LC_ALL": "C.UTF-8",
                  "RCLONE_CONFIG": "/dev/null"}


def run_line(commands, env):
    """Runs `commands` as one pipeline; (seconds, [(name, peak KiB)], its output)."""
    start = time.perf_counter()
    pids, source = [], subprocess.DEVNULL
    for index, argv in enumerate(commands):
        process = subprocess.Popen(argv, env=env, stdin=source, stdout=subprocess.PIPE)
        if source is not subprocess.DEVNULL:
            source.close()
        source = process.stdout
        pids.append((process, os.path.basename(argv[0])))
    output = source.read()
    source.close()
    peaks = []
    for process, name in pids:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            sys.exit(f"bench: {name} ended with {process.returncode}")
        peaks.append((name, usage.ru_maxrss))
    return time.perf_counter() - start, peaks, output


class Subject:
    """One line of a table: what to run, and what to clear away before each run."""

    def __init__(self, name, commands, clear=()):
        self.name, self.commands, self.clear = name, commands, clear
        self.has_own_clock = "reference.py" in " ".join(commands[0])
        self.seconds, self.peaks = [], {}

    def measure(self, env, keep=True):
        for path in self.clear:
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)
        seconds, peaks, output = run_line(self.commands, env)
        if self.has_own_clock:
            seconds = float(output)
        for path in self.clear:  # memory: tmpfs holds one result at a time
            if os.path.isdir(path):
                shutil.rmtree(path)
            elif os.path.exists(path):
                os.unlink(path)
        if keep:
            self.seconds.append(seconds)
        for name, kib in peaks:
            self.peaks[name] = max(self.peaks.get(name, 0), kib)

    @property
    def median(self):
        return statistics.median(self.seconds)


def interleave(subjects, runs, env, warm_up=True):
    if warm_up:
        for subject in subjects:
            subject.measure(env, keep=False)
    for _ in range(runs):
        for subject in subjects:
            subject.measure(env)


def print_table(title, subjects, size, floor, reference, targets):
    """`floor` and `reference` are subjects; a target is (ratio to floor, speed-up)."""
    print(f"\n### {title}\n")
    print(f"| | seconds | GB/s | × {floor.name} | × faster than the reference | target |")
    print("|---|---:|---:|---:|---:|---|")
    for s in subjects:
        faster = f"{reference.median / s.median:.2f}" if reference else ""
        print(f"| {s.name} | {s.median:.3f} | {size / s.median / 1e9:.2f} | "
              f"{s.median / floor.median:.2f} | {faster} | {targets.get(s.name, '')} |")


def print_peaks(subjects):
    print("\n### Peak resident memory (MiB)\n")
    print("| | process | MiB |")
    print("|---|---|---:|")
    for s in subjects:
        for name, kib in s.peaks.items():
            if name.startswith("mad-"):
                print(f"| {s.name} | {name} | {kib / 1024:.1f} |")


def machine():
    model = "unknown"
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        for line in file:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(file.readline().split()[1]) / (1 << 20)
    return (f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, "
            f"{platform.system()} {platform.release()}")


def free_bytes(directory):
    """What tmpfs would give and memory can hold."""
    place = os.statvfs(directory)
    free = place.f_bavail * place.f_frsize
    with open("/proc/meminfo", encoding="utf-8") as file:
        fields = dict(line.split(":") for line in file)
    return min(free, int(fields["MemAvailable"].split()[0]) << 10)


class Nginx:
    """nginx over a directory, on a free port, ended with the benchmark."""

    def __init__(self, directory, place):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        conf = place / "nginx.conf"
        conf.write_text(f"""
daemon off; master_process off; worker_processes 1; pid {place}/nginx.pid;
error_log {place}/error.log;
events {{ worker_connections 64; }}
http {{ access_log off; sendfile on;
  client_body_temp_path {place}/body; proxy_temp_path {place}/proxy;
  fastcgi_temp_path {place}/fastcgi; uwsgi_temp_path {place}/uwsgi; scgi_temp_path {place}/scgi;
  server {{ listen 127.0.0.1:{self.port}; root {directory}; }} }}
""")
        program = shutil.which("nginx") or "/usr/sbin/nginx"
        self.process = subprocess.Popen([program, "-p", str(place), "-c", str(conf)],
                                        stderr=subprocess.DEVNULL)
        for _ in range(500):
            with socket.socket() as s:
                if s.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        sys.exit("bench: nginx does not answer")

    def url(self, name):
        return f"http://127.0.0.1:{self.port}/{name}"

    def stop(self):
        self.process.terminate()
        self.process.wait()


def parse_arguments(description, size):
    """The options that every benchmark has, and the environment of what it runs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--bin", default=str(HERE.parents[1] / "build" / "bin"),
                        help="directory of the binaries (a build with optimisation)")
    parser.add_argument("--size", default=size, help="bytes of the state")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--dir", default="/dev/shm", help="where: a tmpfs")
    parser.add_argument("--only", default="", help="only the lines whose name holds this")
    arguments = parser.parse_args()
    env = clean_environment(str(pathlib.Path(arguments.bin).resolve()))
    if not os.access(os.path.join(arguments.bin, "mad-verify"), os.X_OK):
        sys.exit(f"bench: no binaries in {arguments.bin}; build first, or say --bin DIR")
    return arguments, env


def size_that_fits(arguments, copies):
    """--size, less where memory does not hold so many of it at once."""
    size = parse_size(arguments.size)
    if size * copies > free_bytes(arguments.dir):
        size = free_bytes(arguments.dir) // copies // MIB * MIB
        print(f"bench: memory is short: {size // MIB} MiB", file=sys.stderr)
    return size
