#include "process/sandbox.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "io/spool.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

namespace mad {
namespace {

using test::TemporaryDirectory;

/// What `act` gives in a process of its own that has entered the cage: 0, or an errno.
int inside(const Cage& cage, const std::function<int()>& act) {
  const pid_t child = fork();
  if (child == 0) {
    enter_cage(cage);
    _exit(act());
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  REQUIRE(WIFEXITED(status));
  return WEXITSTATUS(status);
}

int try_open(const std::string& path, int flags) {
  const int fd = open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (fd < 0) return errno;
  close(fd);
  return 0;
}

/// Of executing a program; 99 where it runs.
int try_execute() {
  execl("/bin/sh", "sh", "-c", "exit 99", nullptr);
  return errno;
}

/// A port of this machine at which somebody listens.
class Listener {
 public:
  Listener() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    address_.sin_family = AF_INET;
    address_.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof(address_);
    auto* address = reinterpret_cast<sockaddr*>(&address_);
    REQUIRE(bind(fd_.get(), address, size) == 0);
    REQUIRE(listen(fd_.get(), 8) == 0);
    REQUIRE(getsockname(fd_.get(), address, &size) == 0);
  }
  int try_connect() const {
    const Fd client(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const auto* address = reinterpret_cast<const sockaddr*>(&address_);
    return connect(client.get(), address, sizeof(address_)) == 0 ? 0 : errno;
  }

 private:
  Fd fd_;
  sockaddr_in address_{};
};

bool has(const std::string& what) {
  return describe_cage().find(what) != std::string::npos;
}

/// Says what this kernel cannot show, and whether to go on.
bool shows(const std::string& what) {
  if (has(what)) return true;
  WARN("not shown here: " << describe_cage());
  return false;
}

}  // namespace

TEST_CASE("enter_cage: inside, no file can be opened, made, changed or removed") {
  if (!shows("Landlock ABI")) return;
  const TemporaryDirectory directory;
  const std::string file = directory.file("file");
  std::ofstream(file) << "text";
  const std::string fresh = directory.file("fresh");
  REQUIRE(try_open(file, O_RDWR) == 0);
  CHECK(inside({}, [&] { return try_open(file, O_RDONLY); }) == EACCES);
  CHECK(inside({}, [&] { return try_open(file, O_WRONLY | O_TRUNC); }) == EACCES);
  CHECK(inside({}, [&] { return try_open(fresh, O_WRONLY | O_CREAT); }) == EACCES);
  CHECK(inside({}, [&] { return try_open(directory.path(), O_RDONLY | O_DIRECTORY); }) == EACCES);
  CHECK(inside({}, [&] { return try_open(directory.path(), O_TMPFILE | O_RDWR); }) == EACCES);
  CHECK(inside({}, [&] { return unlink(file.c_str()) == 0 ? 0 : errno; }) == EACCES);
  CHECK(inside({}, [&] { return rename(file.c_str(), fresh.c_str()) == 0 ? 0 : errno; }) == EACCES);
  CHECK(inside({}, [&] { return mkdir(fresh.c_str(), 0700) == 0 ? 0 : errno; }) == EACCES);
  CHECK(inside({}, [&] { return try_open("/proc/self/status", O_RDONLY); }) == EACCES);
  CHECK(std::filesystem::file_size(file) == 4);
}

TEST_CASE("enter_cage: inside, no program can be executed") {
  REQUIRE(inside({}, [] { return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ? 0 : 1; }) == 0);
  if (!shows("Landlock ABI")) return;
  CHECK(inside({}, try_execute) == EACCES);
  Cage cage;
  cage.read_beneath = {"/"};
  cage.write_beneath = {"/"};
  CHECK(inside(cage, try_execute) == EACCES);
}

TEST_CASE("enter_cage: inside, no TCP connection can be made or waited for") {
  if (!shows("TCP")) return;
  const Listener listener;
  REQUIRE(listener.try_connect() == 0);
  CHECK(inside({}, [&] { return listener.try_connect(); }) == EACCES);
  CHECK(inside({}, [] {
          const Fd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
          sockaddr_in any{};
          any.sin_family = AF_INET;
          return bind(fd.get(), reinterpret_cast<sockaddr*>(&any), sizeof(any)) == 0 ? 0 : errno;
        }) == EACCES);
}

TEST_CASE("enter_cage: inside, no other process can be signalled") {
  if (!shows("signals")) return;
  CHECK(inside({}, [] { return kill(getppid(), 0) == 0 ? 0 : errno; }) == EPERM);
  CHECK(inside({}, [] { return kill(getpid(), 0) == 0 ? 0 : errno; }) == 0);
}

TEST_CASE("enter_cage: threads that are started inside are inside") {
  if (!shows("Landlock ABI")) return;
  const int answer = inside({}, [] {
    int found = 0;
    std::thread([&] { found = try_open("/etc/passwd", O_RDONLY); }).join();
    return found;
  });
  CHECK(answer == EACCES);
}

TEST_CASE("enter_cage: what was open before goes on working") {
  const TemporaryDirectory directory;
  const Fd spool = open_unnamed_file(directory.path());
  const int answer = inside({}, [&] {
    char back = 0;
    if (write(spool.get(), "abc", 3) != 3 || ftruncate(spool.get(), 1) != 0) return errno;
    release_pages(spool.get(), 0, 1);
    return pread(spool.get(), &back, 1, 0) == 1 ? 0 : errno;
  });
  CHECK(answer == 0);
}

TEST_CASE("enter_cage: what the cage allows can be done there and nowhere else") {
  const TemporaryDirectory directory;
  const TemporaryDirectory other;
  std::ofstream(directory.file("file")) << "text";
  std::ofstream(other.file("file")) << "text";
  Cage cage;
  cage.allow_reading(directory.file("file"));
  CHECK(inside(cage, [&] { return try_open(directory.file("file"), O_RDONLY); }) == 0);
  CHECK(inside(cage, [&] { return try_open(directory.path(), O_RDONLY | O_DIRECTORY); }) == 0);
  if (!shows("Landlock ABI")) return;
  CHECK(inside(cage, [&] { return try_open(directory.file("file"), O_WRONLY); }) == EACCES);
  CHECK(inside(cage, [&] { return try_open(other.file("file"), O_RDONLY); }) == EACCES);
  cage.allow_writing(directory.path());
  const std::string from = directory.file("from");
  const std::string to = directory.file("to");
  CHECK(inside(cage, [&] {
          if (const int failed = try_open(from, O_WRONLY | O_CREAT | O_TRUNC)) return failed;
          if (rename(from.c_str(), to.c_str()) != 0) return errno;
          return unlink(to.c_str()) == 0 ? 0 : errno;
        }) == 0);
  CHECK(inside(cage, [&] { return try_open(other.file("fresh"), O_WRONLY | O_CREAT); }) == EACCES);
}

}  // namespace mad
