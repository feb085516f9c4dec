#include "bundle/bundle.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "bundle/bundle_reader.hpp"
#include "bundle/bundle_writer.hpp"
#include "io/spool.hpp"
#include "support/catch.hpp"
#include "support/temporary_directory.hpp"

using namespace mad;
using mad::test::error_from;

namespace {

/// Gives a text in portions of at most `most` bytes.
class TextSource final : public Source {
 public:
  TextSource(std::string text, std::size_t most) : text_(std::move(text)), most_(most) {}
  std::size_t read(MutableBytes into) override {
    const std::size_t n = std::min({most_, into.size(), text_.size() - at_});
    std::copy_n(as_bytes(text_).begin() + static_cast<std::ptrdiff_t>(at_), n, into.begin());
    at_ += n;
    return n;
  }

 private:
  std::string text_;
  std::size_t most_;
  std::size_t at_ = 0;
};

class BrokenSource final : public Source {
 public:
  std::size_t read(MutableBytes) override {
    throw Error(ExitCode::io, "io-error", "the disk", "is on fire");
  }
};

std::string written(const std::string& name, const std::function<void(BundleWriter&)>& write) {
  const Fd file(memfd_create("bundle", MFD_CLOEXEC));
  BundleWriter writer(file.get(), name);
  write(writer);
  std::string text(static_cast<std::size_t>(lseek(file.get(), 0, SEEK_END)), '\0');
  pread_full(file.get(), std::as_writable_bytes(std::span(text)), 0, "memory");
  return text;
}

Seal seal_of(Stage stage, std::uint64_t size_bytes) {
  Seal seal;
  seal.stage = stage;
  seal.tool = "test";
  seal.size_bytes = size_bytes;
  return seal;
}

/// Everything a reader sees, in a line: `manifest:{} data:10 seal:fetched`.
struct Seen {
  std::string events;
  std::string npz;
  std::string name;
  Seal seal;
};

std::string rest_of(Source& part) {
  std::string text;
  std::array<std::byte, 1000> buffer{};
  while (const std::size_t n = part.read(buffer)) text += as_text(Bytes(buffer).first(n));
  return text;
}

Seen read_all(const std::string& bundle, std::size_t most = 1 << 20,
              SealNeed need = SealNeed::sealed) {
  TextSource source(bundle, most);
  BundleReader reader(source, need, "stream");
  Seen seen;
  for (;;) {
    switch (reader.next()) {
      case BundleReader::Kind::manifest:
        seen.events += "manifest:" + reader.text() + ' ';
        break;
      case BundleReader::Kind::signature:
        seen.events += "signature:" + reader.text() + ' ';
        break;
      case BundleReader::Kind::data:
        seen.npz += rest_of(reader.part());
        break;
      case BundleReader::Kind::restart:
        seen.events += "restart ";
        seen.npz.clear();
        break;
      case BundleReader::Kind::seal:
        seen.events += "seal:" + std::string(name_of(reader.seal().stage));
        seen.seal = reader.seal();
        seen.name = reader.name();
        REQUIRE(reader.npz_bytes() == seen.npz.size());
        return seen;
    }
  }
}

std::string pattern(std::size_t size) {
  std::string text(size, '\0');
  for (std::size_t i = 0; i < size; ++i) text[i] = static_cast<char>(i * 31 + i / 251);
  return text;
}

std::string small_bundle() {
  return written("sim.npz", [](BundleWriter& writer) {
    writer.manifest("{}");
    writer.write(as_bytes("0123456789"));
    writer.seal(seal_of(Stage::fetched, 10));
  });
}

}  // namespace

TEST_CASE("BundleReader: reads what BundleWriter wrote, in whatever portions it comes") {
  const std::string npz = pattern(3000);
  const std::string bundle = written("sim.npz", [&](BundleWriter& writer) {
    writer.manifest("{\"a\": 1}");
    writer.signature("sig");
    for (std::size_t at = 0; at < npz.size(); at += 70) {
      writer.write(as_bytes(std::string_view(npz).substr(at, 70)));
    }
    writer.seal(seal_of(Stage::fetched, npz.size()));
  });
  REQUIRE(bundle.size() % 512 == 0);
  for (const std::size_t most : {1, 7, 511, 512, 513, 4096, 1 << 20}) {
    const Seen seen = read_all(bundle, most);
    CHECK(seen.events == "manifest:{\"a\": 1} signature:sig seal:fetched");
    CHECK(seen.npz == npz);
    CHECK(seen.name == "sim.npz");
  }
}

TEST_CASE("BundleWriter: cuts large portions into parts of at most 4 MiB and gathers small ones") {
  const std::string npz = pattern(2 * k_piece_bytes + 5);
  const auto bundle = [&](std::size_t portion) {
    return written("sim.npz", [&](BundleWriter& writer) {
      for (std::size_t at = 0; at < npz.size(); at += portion) {
        writer.write(as_bytes(std::string_view(npz).substr(at, portion)));
      }
      writer.seal(seal_of(Stage::created, npz.size()));
    });
  };
  for (const std::size_t portion : {std::size_t{100'000}, k_piece_bytes - 1, npz.size()}) {
    const std::string text = bundle(portion);
    CHECK(read_all(text).npz == npz);
    // Headers and padding are small beside the data.
    CHECK(text.size() < npz.size() + npz.size() / 100);
  }
}

TEST_CASE("BundleWriter: the same calls give the same bytes") {
  CHECK(small_bundle() == small_bundle());
}

TEST_CASE("BundleWriter: a file's bytes make the same parts as the same bytes from memory") {
  const test::TemporaryDirectory here;
  const std::string npz = pattern((std::size_t{4} << 20U) + 777);
  const Fd file = open_unnamed_file(here.path());
  pwrite_full(file.get(), as_bytes(npz), 0, "a file");
  const auto seal = seal_of(Stage::fetched, npz.size());
  const std::string from_memory = written("sim.npz", [&](BundleWriter& writer) {
    writer.write(as_bytes(npz));
    writer.seal(seal);
  });
  const std::string from_file = written("sim.npz", [&](BundleWriter& writer) {
    CHECK(writer.write_file(file.get(), 0, npz.size(), "a file") == npz.size());
    writer.seal(seal);
  });
  CHECK(from_file == from_memory);
}

TEST_CASE("BundleWriter: a file that ends early leaves a stream that can begin again") {
  const test::TemporaryDirectory here;
  const Fd file = open_unnamed_file(here.path());
  pwrite_full(file.get(), as_bytes("0123456789"), 0, "a file");
  const Seen seen = read_all(written("sim.npz", [&](BundleWriter& writer) {
    CHECK(writer.write_file(file.get(), 0, 5000, "a file") == 10);
    writer.restart();
    CHECK(writer.write_file(file.get(), 5, 5, "a file") == 5);
    writer.seal(seal_of(Stage::fetched, 5));
  }));
  CHECK(seen.events == "restart seal:fetched");
  CHECK(seen.npz == "56789");
}

TEST_CASE("BundleWriter: a member that was cut short is followed by no seal") {
  const test::TemporaryDirectory place;
  const std::string path = place.file("source");
  const Fd source(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  pwrite_full(source.get(), as_bytes("0123456789"), 0, path);
  const std::string text = written("sim.npz", [&](BundleWriter& writer) {
    writer.manifest("{}");
    // A descriptor that cannot be read from: the part's header is out already.
    const Fd write_only(open(path.c_str(), O_WRONLY | O_CLOEXEC));
    error_from([&] { writer.write_file(write_only.get(), 0, 10, path); });
    writer.seal(failed_seal("test", {ExitCode::io, "io-error", "", "no"}));
  });
  CHECK(text.find("sim.npz.parts/") != std::string::npos);
  CHECK(text.find(".mad-seal.json") == std::string::npos);
}

TEST_CASE("BundleReader: a part left unread is the caller's mistake") {
  const std::string bundle = small_bundle();
  TextSource source(bundle, 1 << 20);
  BundleReader reader(source, SealNeed::sealed, "stream");
  REQUIRE(reader.next() == BundleReader::Kind::manifest);
  REQUIRE(reader.next() == BundleReader::Kind::data);
  CHECK(reader.part_bytes_left() == 10);
  CHECK_THROWS_AS(reader.next(), std::logic_error);
}

TEST_CASE("BundleReader: names that are long or not ASCII survive") {
  for (const std::string& name : {std::string(196, 'x') + ".npz", std::string("größe 1.npz")}) {
    const std::string bundle = written(name, [](BundleWriter& writer) {
      writer.manifest("{}");
      writer.write(as_bytes("x"));
      writer.seal(seal_of(Stage::fetched, 1));
    });
    CHECK(read_all(bundle, 100).name == name);
  }
}

TEST_CASE("BundleReader: a restart voids what came before") {
  const std::string bundle = written("sim.npz", [](BundleWriter& writer) {
    writer.manifest("old");
    writer.write(as_bytes("gathered and never written"));
    writer.restart();
    writer.manifest("new");
    writer.write(as_bytes("abc"));
    writer.seal(seal_of(Stage::fetched, 3));
  });
  const Seen seen = read_all(bundle);
  CHECK(seen.events == "manifest:old restart manifest:new seal:fetched");
  CHECK(seen.npz == "abc");
}

TEST_CASE("BundleReader: a manifest may come behind the data") {
  const std::string bundle = written("sim.npz", [](BundleWriter& writer) {
    writer.write(as_bytes("abc"));
    writer.manifest("{}");
    writer.seal(seal_of(Stage::created, 3));
  });
  CHECK(read_all(bundle).events == "manifest:{} seal:created");
}

TEST_CASE("BundleReader: an empty npz is a bundle, for others to refuse") {
  const std::string bundle = written("sim.npz", [](BundleWriter& writer) {
    writer.manifest("{}");
    writer.seal(seal_of(Stage::fetched, 0));
  });
  CHECK(read_all(bundle).npz.empty());
}

TEST_CASE("BundleReader: a stream without a byte is no bundle") {
  const Error error = error_from([] { read_all(""); });
  CHECK(error.code == ExitCode::incomplete);
  CHECK(error.reason == "no-bundle");
  CHECK(error.subject == "stream");
}

TEST_CASE("BundleReader: a bundle cut anywhere is incomplete") {
  const std::string bundle = small_bundle();
  for (std::size_t cut = 1; cut < bundle.size(); ++cut) {
    const Error error = error_from([&] { read_all(bundle.substr(0, cut)); });
    INFO("cut at " << cut << ": " << error.what());
    REQUIRE(error.code == ExitCode::incomplete);
  }
}

TEST_CASE("BundleReader: a bundle without a seal is incomplete") {
  const std::string bundle = written("sim.npz", [](BundleWriter& writer) {
    writer.manifest("{}");
    writer.write(as_bytes("abc"));
    writer.restart();
  });
  CHECK(error_from([&] { read_all(bundle); }).reason == "no-seal");
  CHECK(error_from([&] { read_all(bundle + std::string(1024, '\0')); }).reason == "no-seal");
  CHECK(error_from([&] { read_all(std::string(10240, '\0')); }).reason == "no-seal");
}

TEST_CASE("BundleReader: nothing but bounded padding may follow the seal") {
  const std::string bundle = small_bundle();
  CHECK(read_all(bundle + std::string(10240, '\0')).npz == "0123456789");
  for (const std::string& tail : {std::string("x"), std::string(5000, '\0') + "x", bundle,
                                  std::string(std::size_t{3} << 20U, '\0')}) {
    const Error error = error_from([&] { read_all(bundle + tail, 1000); });
    CHECK(error.code == ExitCode::refused);
    CHECK(error.reason == "bundle-invalid");
  }
}

TEST_CASE("BundleReader: what is no tar stream is refused") {
  const Error error = error_from([] { read_all(pattern(100'000)); });
  CHECK(error.code == ExitCode::refused);
  CHECK(error.reason == "bundle-invalid");
}

TEST_CASE("BundleReader: a source's own failure comes through") {
  BrokenSource source;
  BundleReader reader(source, SealNeed::sealed, "stream");
  const Error error = error_from([&] { reader.next(); });
  CHECK(error.code == ExitCode::io);
  CHECK(error.subject == "the disk");
}

TEST_CASE("parse_seal: gives back what format_seal wrote") {
  Seal seal = seal_of(Stage::verified, 810);
  seal.sha256 = std::string(64, 'a');
  seal.checked = {"schema", "sha256"};
  const Seal read = parse_seal(format_seal(seal), "stream");
  CHECK(read.stage == Stage::verified);
  CHECK(read.tool == "test");
  CHECK(read.size_bytes == 810);
  CHECK(read.sha256 == seal.sha256);
  CHECK(read.checked == seal.checked);

  const Error cause(ExitCode::remote, "connect", "http://example.org/a",
                    "refused\n  after 3 tries");
  const Seal failed = parse_seal(format_seal(failed_seal("mad-fetch", cause)), "stream");
  const Error error = error_of(failed);
  CHECK(error.code == ExitCode::remote);
  CHECK(error.reason == "connect");
  CHECK(error.subject == "mad-fetch");
  CHECK(error.message == "http://example.org/a: refused; after 3 tries");
}

TEST_CASE("parse_seal: refuses what mad-bundle(5) does not have") {
  for (const char* text :
       {"", "[]", "{}", "{\"stage\":1}", "{\"stage\":\"fetched\",\"tool\":\"t\"}",
        "{\"stage\":\"fetched\",\"tool\":\"t\",\"size_bytes\":-1}",
        "{\"stage\":\"fetched\",\"tool\":\"t\",\"size_bytes\":1.5}",
        "{\"stage\":\"verified\",\"tool\":\"t\",\"size_bytes\":1,\"sha256\":\"ab\"}",
        "{\"stage\":\"failed\",\"tool\":\"t\",\"reason\":\"r\",\"message\":\"m\",\"code\":0}",
        "{\"stage\":\"failed\",\"tool\":\"t\",\"reason\":\"r\",\"message\":\"m\",\"code\":256}",
        "{\"stage\":\"absent\",\"tool\":\"t\"}", "{\"stage\":\"fetched\"}x"}) {
    const Error error = error_from([&] { parse_seal(text, "stream"); });
    INFO(text);
    CHECK(error.code == ExitCode::refused);
    CHECK(error.reason == "bundle-invalid");
  }
}

TEST_CASE("parse_seal: takes control bytes out of what a person will read") {
  const Seal seal = parse_seal(
      R"({"stage":"failed","tool":"a\u001b[2J","code":1,"reason":"r","message":"x\ny"})", "stream");
  CHECK(seal.tool == "a\\x1b[2J");
  CHECK(seal.message == "x\\x0ay");
}

TEST_CASE("bundle_name: makes one harmless component of anything") {
  CHECK(bundle_name("/var/lib/sim/in.npz") == "in.npz");
  CHECK(bundle_name("sim.bin") == "sim.bin.npz");
  CHECK(bundle_name("") == "snapshot.npz");
  CHECK(bundle_name("x/") == "snapshot.npz");
  CHECK(bundle_name("..") == "snapshot.npz");
  CHECK(bundle_name(".npz") == "snapshot.npz");
  CHECK(bundle_name("...hidden.npz") == "hidden.npz");
  CHECK(bundle_name("a\nb\\c\x1b.npz") == "a_b_c_.npz");
  CHECK(bundle_name("gr\xc3\xb6\xc3\x9f"
                    "e.npz") ==
        "gr\xc3\xb6\xc3\x9f"
        "e.npz");
  CHECK(bundle_name("bad\xff.npz") == "bad_.npz");
}

TEST_CASE("bundle_name: is at most 200 bytes, whole characters, and its own fixed point") {
  std::string many;
  for (int i = 0; i < 300; ++i) many += "\xc3\xb6";
  for (const std::string& from : {std::string(500, 'x'), many, many + ".npz", std::string("a b")}) {
    const std::string name = bundle_name(from);
    CHECK(name.size() <= 200);
    CHECK(bundle_name(name) == name);
    CHECK(name.find("\xc3.") == std::string::npos);
  }
}
