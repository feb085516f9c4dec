#include "io/pipe.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>

#include "io/file.hpp"
#include "io/source.hpp"
#include "io/spool.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

namespace mad {
namespace {

using test::TemporaryDirectory;

struct Pipe {
  Pipe() {
    std::array<int, 2> ends{};
    REQUIRE(pipe2(ends.data(), O_CLOEXEC) == 0);
    out = Fd(ends[0]);
    in = Fd(ends[1]);
  }
  Fd out;
  Fd in;
};

/// A temporary that holds `text`.
Fd file_of(const TemporaryDirectory& here, const std::string& text) {
  Fd file = open_unnamed_file(here.path());
  pwrite_full(file.get(), as_bytes(text), 0, "a file");
  return file;
}

std::string content(int file) {
  std::string text(static_cast<std::size_t>(stat_fd(file, "a file").st_size), '\0');
  pread_full(file, std::as_writable_bytes(std::span(text)), 0, "a file");
  return text;
}

TEST_CASE("write_from_file: a range of a file goes into a pipe or another file") {
  const TemporaryDirectory here;
  const Fd from = file_of(here, "0123456789");
  Pipe pipe;
  CHECK(write_from_file(pipe.in.get(), from.get(), 2, 5, "a file") == 5);
  std::array<std::byte, 20> buffer{};
  CHECK(as_text(Bytes(buffer).first(read_some(pipe.out.get(), buffer, "a pipe"))) == "23456");

  const Fd to = file_of(here, "");
  CHECK(write_from_file(to.get(), from.get(), 2, 5, "a file") == 5);
  CHECK(content(to.get()) == "23456");
}

TEST_CASE("write_from_file: a file that ends early gives what it has") {
  const TemporaryDirectory here;
  const Fd from = file_of(here, "0123456789");
  Pipe pipe;
  CHECK(write_from_file(pipe.in.get(), from.get(), 8, 100, "a file") == 2);
  const Fd to = file_of(here, "");
  CHECK(write_from_file(to.get(), from.get(), 8, 100, "a file") == 2);
  CHECK(content(to.get()) == "89");
}

TEST_CASE("FdSource: a pipe or a file goes into a file at an offset, at most as far as asked") {
  const TemporaryDirectory here;
  Pipe pipe;
  write_full(pipe.in.get(), as_bytes("0123456789"), "a pipe");
  pipe.in = Fd();
  const Fd other = file_of(here, "0123456789");
  for (const int from : {pipe.out.get(), other.get()}) {
    FdSource source(from, "a source");
    const Fd to = file_of(here, "ab");
    CHECK(source.read_into_file(to.get(), 2, 4, "a file") == 4);
    CHECK(source.read_into_file(to.get(), 6, 100, "a file") == 6);
    CHECK(source.read_into_file(to.get(), 12, 100, "a file") == 0);
    CHECK(content(to.get()) == "ab0123456789");
  }
}

TEST_CASE("FdSource: a file that cannot be written is what the error names") {
  const TemporaryDirectory here;
  Pipe pipe;
  write_full(pipe.in.get(), as_bytes("0123456789"), "a pipe");
  FdSource source(pipe.out.get(), "a source");
  const Fd to(open("/dev/full", O_WRONLY | O_CLOEXEC));
  const Error error = test::error_from([&] { source.read_into_file(to.get(), 0, 10, "the file"); });
  CHECK(error.code == ExitCode::io);
  CHECK(error.subject == "the file");
}

TEST_CASE("release_pages: what is given back reads as zeros, and the rest stays") {
  const TemporaryDirectory here;
  const Fd file = file_of(here, std::string(3 << 20, 'x'));
  const auto before = stat_fd(file.get(), "a file").st_blocks;
  release_pages(file.get(), 0, 2 << 20);
  const std::string left = content(file.get());
  CHECK(left.size() == 3U << 20U);
  CHECK(left.substr(2 << 20) == std::string(1 << 20, 'x'));
  if (stat_fd(file.get(), "a file").st_blocks < before) {
    CHECK(left.substr(0, 2 << 20) == std::string(2 << 20, '\0'));
  }
}

TEST_CASE("FdSource: nothing of a pipe stays behind where the file takes no splice") {
  const TemporaryDirectory here;
  // Linux splices into no file that is open to append.
  const std::string path = here.path() + "/appended";
  const Fd file(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0600));
  REQUIRE(file);
  Pipe pipe;
  FdSource source(pipe.out.get(), "a pipe");
  std::string whole;
  for (int round = 0; round < 3; ++round) {
    const std::string text(40'000, static_cast<char>('a' + round));
    write_full(pipe.in.get(), as_bytes(text), "a pipe");
    for (std::size_t done = 0; done < text.size();) {
      done += source.read_into_file(file.get(), whole.size() + done, text.size() - done, path);
    }
    whole += text;
  }
  CHECK(content(file.get()) == whole);
}

}  // namespace
}  // namespace mad
