#include "verify/held_back.hpp"

#include <string>

#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

namespace mad {
namespace {

class TextSink final : public Sink {
 public:
  void write(Bytes bytes) override { text += as_text(bytes); }
  void finish() override {}
  std::string text;
};

}  // namespace

TEST_CASE("HeldBack: gives back what it was given since it began") {
  const test::TemporaryDirectory directory;
  HeldBack held(directory.path());
  held.begin();
  held.write(as_bytes("void, and longer"));
  held.begin();
  held.write(as_bytes("a"));
  held.write(as_bytes("bc"));
  TextSink sink;
  held.release(3, sink);
  CHECK(sink.text == "abc");
  CHECK(std::filesystem::is_empty(directory.path()));
}

TEST_CASE("HeldBack: a directory that is not there matters where it is needed") {
  const test::TemporaryDirectory directory;
  HeldBack held(directory.file("none"));
  const Error error = test::error_from([&] { held.begin(); });
  CHECK(error.code == ExitCode::io);
  CHECK(error.subject.find("none") != std::string::npos);
}

}  // namespace mad
