#include "io/file.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>

#include "io/atomic_file.hpp"
#include "io/bounded_queue.hpp"
#include "io/spool.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

namespace mad {
namespace {

using test::error_from;
using test::TemporaryDirectory;

std::string content(const std::string& path) {
  return read_small_file(open_regular(path).get(), 1000, path);
}

std::size_t entries(const std::string& directory) {
  return list_directory(open_directory(directory).get(), directory).size();
}

TEST_CASE("close_elsewhere: the last of a file is closed by a process that ends then") {
  std::array<int, 2> ends{};
  REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
  const Fd reading(ends[0]);
  close_elsewhere(Fd(ends[1]));
  CHECK(fcntl(ends[1], F_GETFD) == -1);
  pollfd hung_up = {reading.get(), POLLIN, 0};
  REQUIRE(poll(&hung_up, 1, 60'000) == 1);
  char byte = 0;
  CHECK(read(reading.get(), &byte, 1) == 0);
  int status = -1;
  REQUIRE(wait(&status) > 0);
  CHECK(status == 0);
}

TEST_CASE("open_regular: refuses links, directories and FIFOs, and never waits for one") {
  const TemporaryDirectory here;
  REQUIRE(mkfifo(here.file("fifo").c_str(), 0600) == 0);
  REQUIRE(symlink("elsewhere", here.file("link").c_str()) == 0);
  for (const char* name : {"fifo", "link", ""}) {
    const Error error = error_from([&] { open_regular(here.file(name)); });
    CHECK(error.code == ExitCode::refused);
    CHECK(error.reason == "not-regular");
  }
  CHECK(error_from([&] { open_regular(here.file("fifo")); }).message ==
        "expected a regular file, found a FIFO");
  CHECK(error_from([&] { open_regular(here.file("none")); }).code == ExitCode::not_found);
}

TEST_CASE("AtomicFile: replaces a file whole, with its mode, and leaves no temporary") {
  const TemporaryDirectory here;
  const std::string path = here.file("out.json");
  for (const char* text : {"first", "second"}) {
    AtomicFile file(path, 0640, Durability::full);
    file.write(as_bytes(text));
    file.finish();
    CHECK(content(path) == text);
  }
  CHECK((stat_fd(open_regular(path).get(), path).st_mode & 07777U) == 0640);
  CHECK(entries(here.path()) == 1);
}

TEST_CASE("AtomicFile: what is no file keeps its place") {
  const TemporaryDirectory here;
  const std::string path = here.file("fifo");
  REQUIRE(mkfifo(path.c_str(), 0600) == 0);
  const Error error = error_from([&] { AtomicFile(path, 0600, Durability::none); });
  CHECK(error.code == ExitCode::refused);
  CHECK(error.message == "expected a regular file, found a FIFO");
  CHECK(entries(here.path()) == 1);
}

TEST_CASE("AtomicFile: destruction without finish leaves the old file and nothing beside it") {
  const TemporaryDirectory here;
  const std::string path = here.file("out.json");
  {
    AtomicFile file(path, 0600, Durability::none);
    file.write(as_bytes("old"));
    file.finish();
  }
  { AtomicFile(path, 0600, Durability::none).write(as_bytes("new")); }
  CHECK(content(path) == "old");
  CHECK(entries(here.path()) == 1);
}

TEST_CASE("remove_dead_temporaries: removes a dead writer's and spares a living one's") {
  const TemporaryDirectory here;
  const Fd directory = open_directory(here.path());
  const Temporary living = create_temporary(directory.get(), "sim.npz", "sim.npz");
  Temporary dead = create_temporary(directory.get(), "sim.npz", "sim.npz");
  const Temporary other = create_temporary(directory.get(), "other.npz", "other.npz");
  dead.fd = Fd();
  remove_dead_temporaries(directory.get(), "sim.npz");
  const auto names = list_directory(directory.get(), here.path());
  CHECK(names.size() == 2);
  CHECK(std::count(names.begin(), names.end(), living.name) == 1);
  CHECK(std::count(names.begin(), names.end(), other.name) == 1);
}

TEST_CASE("lock_directory: gives up after its bound and says which directory") {
  const TemporaryDirectory here;
  const Fd holder = open_directory(here.path());
  lock_directory(holder.get(), LockMode::exclusive, 0, here.path());
  const Fd waiter = open_directory(here.path());
  const Error error =
      error_from([&] { lock_directory(waiter.get(), LockMode::shared, 20, here.path()); });
  CHECK(error.code == ExitCode::io);
  CHECK(error.reason == "lock-timeout");
  CHECK(error.subject == here.path());
  unlock_directory(holder.get());
  lock_directory(waiter.get(), LockMode::shared, 0, here.path());
}

TEST_CASE("read_small_file: refuses more than it was told to expect") {
  const TemporaryDirectory here;
  const std::string path = here.file("big");
  AtomicFile file(path, 0600, Durability::none);
  file.write(as_bytes("0123456789"));
  file.finish();
  CHECK(read_small_file(open_regular(path).get(), 10, path) == "0123456789");
  CHECK(error_from([&] { read_small_file(open_regular(path).get(), 9, path); }).reason ==
        "too-large");
}

TEST_CASE("open_unnamed_file: is not to be found in its directory") {
  const TemporaryDirectory here;
  const Fd file = open_unnamed_file(here.path());
  write_full(file.get(), as_bytes("spooled"), "spool");
  CHECK(entries(here.path()) == 0);
  std::array<std::byte, 16> back{};
  CHECK(pread_full(file.get(), back, 2, "spool") == 5);
  CHECK(as_text(Bytes(back).first(5)) == "ooled");
}

TEST_CASE("split_path: keeps the root and names the current directory") {
  CHECK(split_path("/a").directory == "/");
  CHECK(split_path("a").directory == ".");
  CHECK(split_path("a/b/c.npz").directory == "a/b");
  CHECK(split_path("a/b/c.npz").name == "c.npz");
}

TEST_CASE("BoundedQueue: hands over in order, drains after close, and frees a blocked sender") {
  BoundedQueue<int> queue(2);
  std::thread sender([&] {
    for (int i = 0; i < 100; ++i) queue.push(i);
    queue.close();
  });
  for (int i = 0; i < 100; ++i) REQUIRE(queue.pop() == i);
  CHECK_FALSE(queue.pop());
  sender.join();

  BoundedQueue<int> full(1);
  full.push(1);
  std::thread blocked([&] { CHECK_FALSE(full.push(2)); });
  full.close();
  blocked.join();
}

}  // namespace
}  // namespace mad
