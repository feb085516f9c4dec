#include "npz/npz_writer.hpp"

#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>

#include "hash/sha256.hpp"
#include "npz/npz_auditor.hpp"
#include "npz/npz_reader.hpp"
#include "npz/npz_writer_zip64.hpp"
#include "unit/npz/archive_builder.hpp"
#include "unit/npz/state_directory.hpp"

namespace mad::test {
namespace {

/// Hands on what it is filled with, portion by portion.
struct PortionSink : BufferedSink {
  MutableBytes room() override { return buffer; }
  void filled(std::size_t n) override { take(Bytes(buffer).first(n)); }
  virtual void take(Bytes more) = 0;
  std::vector<std::byte> buffer = std::vector<std::byte>(std::size_t{256} << 10U);
};

struct StringSink final : PortionSink {
  std::string bytes;
  void take(Bytes more) override { bytes += as_text(more); }
  void finish() override { FAIL("write_npz called finish()"); }
};

std::string written(const StateTree& tree, NpzCompression compression = NpzCompression::none,
                    const zip::Zip64Thresholds& from = {}) {
  StringSink sink;
  std::uint64_t reported = 0;
  std::uint64_t read_ahead = 0;
  NpzWatch watch;
  watch.wrote = [&](std::uint64_t n) { reported += n; };
  watch.read_ahead = [&](std::uint64_t n) { read_ahead += n; };
  write_npz(tree, compression, sink, watch, from);
  CHECK(reported == sink.bytes.size());
  CHECK(read_ahead <= npz_size_bytes(tree));
  return sink.bytes;
}

NpzMembers audited(const std::string& bytes) {
  const Fd fd = file_of(bytes);
  auto members = audit_npz(fd.get(), bytes.size(), {}, "sim.npz");
  check_npz_data(fd.get(), members, "sim.npz");
  return members;
}

/// Header lengths of every remainder by 64, as old NumPys wrote them.
std::string oddly_padded(std::size_t spaces, const std::string& data) {
  std::string text = "{'descr': '|u1', 'fortran_order': False, 'shape': (" +
                     std::to_string(data.size()) + ",)}" + std::string(spaces, ' ') + "\n";
  std::string out("\x93NUMPY\x01\x00", 8);
  zip::put16(out, text.size());
  return out + text + data;
}

void fill(StateDirectory& state) {
  state.add("ball/x", small_npy());
  state.add("ball/velocity", npy("'<f8'", "(3, 2)", std::string(48, 'v')));
  state.add("heat/empty", npy("'<f8'", "(0, 9)", ""));
  state.add("h\xC3\xA9/at", npy("'|u1'", "(3,)", "abc"));
  state.add("_meta/step_count", npy("'<i8'", "()", "12345678"));
  state.add("large/field", npy("'|u1'", "(3000000,)", std::string(3'000'000, 'f')));
}

}  // namespace

TEST_CASE("write_npz writes what its own auditor accepts and promises the exact size") {
  StateDirectory state;
  fill(state);
  const StateTree tree(state.path());
  const std::string bytes = written(tree);
  CHECK(bytes.size() == npz_size_bytes(tree));
  const auto members = audited(bytes);
  REQUIRE(members.size() == tree.arrays().size());
  for (std::size_t i = 0; i < members.size(); ++i) {
    CHECK(members[i].key == tree.arrays()[i].key);
    CHECK(members[i].method == NpzMethod::stored);
    CHECK(members[i].header.descr == tree.arrays()[i].header.descr);
    CHECK((members[i].data_offset + members[i].header.header_bytes) % 64 == 0);
  }
  NpzStreamAuditor auditor({}, "sim.npz");
  auditor.feed(as_bytes(bytes));
  REQUIRE(auditor.followable());
  CHECK(auditor.finish().size() == members.size());
}

TEST_CASE("write_npz aligns the data whatever the lengths of name and header are") {
  StateDirectory state;
  for (std::size_t i = 0; i < 130; ++i) {
    state.add("n/" + std::string(1 + i % 67, 'a') + std::to_string(i),
              oddly_padded(i, std::string(i * 7 % 64, 'd')));
  }
  const StateTree tree(state.path());
  const std::string bytes = written(tree);
  CHECK(bytes.size() == npz_size_bytes(tree));
  for (const NpzMember& member : audited(bytes)) {
    INFO(member.key);
    CHECK((member.data_offset + member.header.header_bytes) % 64 == 0);
  }
}

TEST_CASE("the same state gives the same bytes, whenever and in whatever order it was made") {
  StateDirectory state;
  fill(state);
  StateDirectory other;
  other.add("large/field", npy("'|u1'", "(3000000,)", std::string(3'000'000, 'f')));
  fill(other);
  for (const auto compression : {NpzCompression::none, NpzCompression::deflate}) {
    CHECK(written(StateTree(state.path()), compression) ==
          written(StateTree(other.path()), compression));
  }
}

TEST_CASE("the bytes of a small state stay what they are from release to release") {
  StateDirectory state;
  state.add("ball/x", small_npy());
  const std::string bytes = written(StateTree(state.path()));
  // unzip 6.0, 7-Zip and NumPy 1.24 read these bytes.
  CHECK(bytes.size() == 278);
  CHECK(to_hex(Sha256::of(as_bytes(bytes))) ==
        "e20bd4dfcfd3f71b98a8fd43e743699df5646dfac8850a099a1267c3cd1557a2");
}

TEST_CASE("an empty state is an empty archive") {
  const StateDirectory state;
  const StateTree tree(state.path());
  CHECK(written(tree) == std::string("PK\5\6", 4) + std::string(18, '\0'));
  CHECK(npz_size_bytes(tree) == 22);
}

TEST_CASE("write_npz deflates with sizes in the local headers") {
  StateDirectory state;
  fill(state);
  state.add("noise/field", npy("'|u1'", "(700000,)", [] {
              std::string noise;
              std::uint32_t value = 1;
              for (int i = 0; i < 700'000; ++i) {
                value = value * 1664525U + 1013904223U;
                noise += static_cast<char>(value >> 24U);
              }
              return noise;
            }()));
  const StateTree tree(state.path());
  const std::string bytes = written(tree, NpzCompression::deflate);
  CHECK(bytes.size() < 800'000);
  const auto members = audited(bytes);
  REQUIRE(members.size() == tree.arrays().size());
  const Fd fd = file_of(bytes);
  for (std::size_t i = 0; i < members.size(); ++i) {
    CHECK(members[i].method == NpzMethod::deflated);
    CHECK(zip::get32(as_bytes(bytes), members[i].local_header_offset + 14) == members[i].crc32);
    CHECK(zip::get32(as_bytes(bytes), members[i].local_header_offset + 18) ==
          members[i].compressed_bytes);
    std::string unpacked;
    std::vector<std::byte> buffer(100'000);
    const auto source = open_member(fd.get(), members[i], "sim.npz");
    while (const std::size_t n = source->read(buffer)) unpacked += as_text(Bytes(buffer).first(n));
    std::ifstream file(state.path() + '/' + members[i].key + ".npy", std::ios::binary);
    CHECK(unpacked == std::string(std::istreambuf_iterator<char>(file), {}));
  }
}

TEST_CASE("write_npz writes ZIP64 where a size, an offset or the count needs it") {
  StateDirectory state;
  fill(state);
  const StateTree tree(state.path());
  zip::Zip64Thresholds from;
  SECTION("sizes") {
    from.bytes = 150;
  }
  SECTION("offsets only") {
    from.bytes = 3'000'500;
  }
  SECTION("everything") {
    from.bytes = 0;
  }
  SECTION("the count") {
    from.entries = 6;
  }
  const std::string bytes = written(tree, NpzCompression::none, from);
  CHECK(bytes != written(tree));
  CHECK(bytes.size() == npz_size_bytes(tree, from));
  CHECK(bytes.find("PK\6\6") != std::string::npos);
  const auto members = audited(bytes);
  CHECK(members.size() == tree.arrays().size());
  for (const NpzMember& member : members) {
    CHECK((member.data_offset + member.header.header_bytes) % 64 == 0);
  }
  NpzStreamAuditor auditor({}, "sim.npz");
  auditor.feed(as_bytes(bytes));
  CHECK(auditor.finish().size() == members.size());
  CHECK(audited(written(tree, NpzCompression::deflate, from)).size() == members.size());
}

TEST_CASE("ZIP64 end records are held against the plain one") {
  StateDirectory state;
  fill(state);
  const StateTree tree(state.path());
  zip::Zip64Thresholds from;
  from.entries = 6;
  const std::string good = written(tree, NpzCompression::none, from);
  const std::size_t end64 = good.rfind("PK\6\6");
  const std::size_t locator = end64 + zip::k_end64_bytes;
  // Length, disks, entries, directory size and offset; the locator's fields.
  for (const std::size_t at :
       {end64 + 4, end64 + 16, end64 + 20, end64 + 24, end64 + 32, end64 + 40, end64 + 48, locator,
        locator + 4, locator + 8, locator + 17, end64}) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x55);
    INFO(at - end64);
    CHECK(error_from([&] { audited(bytes); }).reason == "archive-invalid");
    NpzStreamAuditor auditor({}, "sim.npz");
    auditor.feed(as_bytes(bytes));
    CHECK(error_from([&] { auditor.finish(); }).reason == "archive-invalid");
  }
}

TEST_CASE("audit_tree refuses what audit_npz refuses of the archive, and accepts the rest") {
  StateDirectory state;
  fill(state);
  NpzLimits limits;
  std::string reason = "too-large";
  SECTION("nothing") {
    reason = "";
  }
  SECTION("a field that NumPy takes for another") {
    state.add("ball/x.npy", small_npy());
    reason = "member-collision";
  }
  SECTION("more arrays than may be") {
    limits.max_members = 5;
  }
  SECTION("a longer directory") {
    limits.max_directory_bytes = 300;
  }
  SECTION("longer headers") {
    limits.max_header_bytes = 10;
  }
  SECTION("more bytes") {
    limits.max_bytes = 3'000'000;
  }
  const StateTree tree(state.path());
  const std::string bytes = written(tree);
  const auto refusal = [](const auto& audit) -> std::pair<std::string, std::string> {
    try {
      audit();
    } catch (const Error& error) {
      return {error.reason, error.one_line()};
    }
    return {};
  };
  const auto before = refusal([&] { audit_tree(tree, limits, "sim.npz"); });
  const auto after =
      refusal([&] { audit_npz(file_of(bytes).get(), bytes.size(), limits, "sim.npz"); });
  CHECK(before.first == reason);
  CHECK(before == after);
}

TEST_CASE("npz_size_bytes is exact beyond 4 GiB") {
  StateDirectory state;
  // Sparse: nothing of this size is written.
  std::string header = npy("'|u1'", "(4294967296,)", "");
  for (const char* key : {"a/x", "a/y"}) {
    state.add(key, header);
    REQUIRE(truncate((state.path() + '/' + key + ".npy").c_str(),
                     static_cast<off_t>(header.size() + 4294967296U)) == 0);
  }
  state.add("b/z", small_npy());
  const StateTree tree(state.path());
  const std::uint64_t members_bytes = 2 * (std::uint64_t{4294967296} + header.size()) + 136;
  const std::uint64_t size_bytes = npz_size_bytes(tree);
  CHECK(size_bytes > members_bytes);
  CHECK(size_bytes < members_bytes + 1000);
}

namespace {

/// Does something once `after` bytes went out.
struct MeddlingSink final : PortionSink {
  MeddlingSink(std::uint64_t after, std::function<void()> action)
      : after_(after), action_(std::move(action)) {}
  void take(Bytes bytes) override {
    written_ += bytes.size();
    if (written_ >= after_ && action_) std::exchange(action_, nullptr)();
  }
  void finish() override {}

 private:
  std::uint64_t after_;
  std::uint64_t written_ = 0;
  std::function<void()> action_;
};

}  // namespace

TEST_CASE("write_npz refuses an array that changes between its two readings") {
  StateDirectory state;
  const std::string data(4'000'000, 'x');
  state.add("n/a", npy("'|u1'", "(4000000,)", data));
  const std::string path = state.path() + "/n/a.npy";
  const StateTree tree(state.path());
  std::function<void()> action;
  SECTION("other bytes") {
    action = [&] {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(3'000'000);
      file << 'y';
    };
  }
  SECTION("fewer bytes") {
    action = [&] { REQUIRE(truncate(path.c_str(), 1'000'000) == 0); };
  }
  MeddlingSink sink(500'000, action);
  const Error error = error_from([&] { write_npz(tree, NpzCompression::none, sink, {}); });
  CHECK(error.code == ExitCode::refused);
  CHECK(error.reason == "state-changed");
  CHECK(error.subject.find("n/a.npy") != std::string::npos);
}

TEST_CASE("write_npz refuses an array that changes while it is deflated") {
  StateDirectory state;
  state.add("n/a", npy("'|u1'", "(4000000,)", std::string(4'000'000, 'x')));
  const std::string path = state.path() + "/n/a.npy";
  const StateTree tree(state.path());
  std::function<void()> action;
  std::string what = "two readings of its bytes differ";
  SECTION("in what was packed already") {
    action = [&] {
      std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
      file.seekp(1'000);
      file << 'y';
    };
  }
  SECTION("in its length, once all was packed") {
    action = [&] { REQUIRE(truncate(path.c_str(), 1'000'000) == 0); };
    what = "expected 4000128 bytes, found 1000000";
  }
  NpzWatch watch;
  watch.may_deflate = [&](std::uint64_t, std::uint64_t read_bytes) {
    if (read_bytes == tree.arrays()[0].size_bytes) action();
    return true;
  };
  StringSink sink;
  const Error error = error_from([&] { write_npz(tree, NpzCompression::deflate, sink, watch); });
  CHECK(error.code == ExitCode::refused);
  CHECK(error.reason == "state-changed");
  CHECK(error.subject.find("n/a.npy") != std::string::npos);
  CHECK(error.message.find(what) != std::string::npos);
  CHECK(sink.bytes.empty());
}

TEST_CASE("write_npz stores the array at hand and the rest once deflating is given up") {
  StateDirectory state;
  for (const char* key : {"n/a", "n/b", "n/c"}) {
    state.add(key, npy("'|u1'", "(2000000,)", std::string(2'000'000, 'x')));
  }
  const StateTree tree(state.path());
  for (const std::uint64_t enough : {std::uint64_t{1}, std::uint64_t{3'000'000}}) {
    StringSink sink;
    std::uint64_t asked = 0;
    NpzWatch watch;
    watch.may_deflate = [&](std::uint64_t settled_bytes, std::uint64_t read_bytes) {
      CHECK(settled_bytes == (read_bytes <= 2'000'128 ? 0 : 2'000'128));
      ++asked;
      return read_bytes < enough;
    };
    const auto arrays = write_npz(tree, NpzCompression::deflate, sink, watch);
    CHECK(asked > 0);
    const auto members = audited(sink.bytes);
    REQUIRE(members.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) {
      const bool deflated = i == 0 && enough > 1;
      CHECK((members[i].method == NpzMethod::deflated) == deflated);
      CHECK((arrays[i].compression == NpzCompression::deflate) == deflated);
      CHECK(arrays[i].crc32 == arrays[0].crc32);
    }
  }
}

TEST_CASE("write_npz passes on what the sink throws, and ends its thread") {
  StateDirectory state;
  for (int i = 0; i < 8; ++i) {
    state.add("n/" + std::to_string(i), npy("'|u1'", "(2000000,)", std::string(2'000'000, 'x')));
  }
  const StateTree tree(state.path());
  MeddlingSink sink(1, [] { throw Error(ExitCode::io, "no-space", "out", "cannot write"); });
  CHECK(error_from([&] { write_npz(tree, NpzCompression::none, sink, {}); }).reason == "no-space");
}

TEST_CASE("write_npz passes on what its thread met") {
  StateDirectory state;
  for (int i = 0; i < 8; ++i) {
    state.add("n/" + std::to_string(i), npy("'|u1'", "(2000000,)", std::string(2'000'000, 'x')));
  }
  const StateTree tree(state.path());
  std::filesystem::remove(state.path() + "/n/7.npy");
  StringSink sink;
  const Error error = error_from([&] { write_npz(tree, NpzCompression::none, sink, {}); });
  CHECK(error.reason == "state-changed");
  CHECK(error.subject == state.path() + "/n/7.npy");
}

}  // namespace mad::test
