#include "npz/npz_auditor.hpp"

#include "unit/npz/audited.hpp"

namespace mad::test {

TEST_CASE("every single byte that changes is noticed, or changes nothing a reader goes by") {
  RawArchive archive = two_arrays();
  const std::string good = archive.build();
  const Verdict before = from_file(good);
  REQUIRE(before.reason.empty());
  for (std::size_t at = 0; at < good.size(); ++at) {
    std::string bytes = good;
    bytes[at] = static_cast<char>(bytes[at] ^ 0x10);
    const Verdict verdict = from_file(bytes);
    INFO("offset " << at << " -> " << verdict.what);
    if (verdict.reason.empty()) {
      for (std::size_t i = 0; i < 2; ++i) {
        CHECK(verdict.members[i].key == before.members[i].key);
        CHECK(verdict.members[i].crc32 == before.members[i].crc32);
      }
      // Versions, time stamps and attributes of the two records of two members.
      const auto within = [at](std::size_t start, std::size_t from, std::size_t to) {
        return at >= start + from && at < start + to;
      };
      bool harmless = false;
      for (const std::size_t local : archive.locals) {
        harmless = harmless || within(local, 4, 6) || within(local, 10, 14);
      }
      for (const std::size_t central : archive.centrals) {
        harmless =
            harmless || within(central, 4, 8) || within(central, 12, 16) || within(central, 36, 42);
      }
      CHECK(harmless);
    }
    const auto streamed = from_stream(bytes, bytes.size());
    if (streamed) CHECK(streamed->reason == verdict.reason);
  }
}

TEST_CASE("every truncation is refused, from a file and from a stream") {
  RawArchive archive = two_arrays();
  const std::string good = archive.build();
  for (std::size_t length = 0; length < good.size(); ++length) {
    const std::string bytes = good.substr(0, length);
    INFO(length);
    CHECK(from_file(bytes).reason == "archive-invalid");
    CHECK(from_stream(bytes, 64)->reason == "archive-invalid");
  }
}

TEST_CASE("audit_npz refuses what is larger than its limits, before it reads it") {
  RawArchive archive = two_arrays();
  const std::string bytes = archive.build();
  NpzLimits limits;
  SECTION("bytes of the archive") {
    limits.max_bytes = bytes.size() - 1;
  }
  SECTION("members") {
    limits.max_members = 1;
  }
  SECTION("bytes of the directory") {
    limits.max_directory_bytes = 50;
  }
  const Verdict verdict = from_file(bytes, limits);
  CHECK(verdict.reason == "too-large");
  CHECK(verdict.what.find("expected at most") != std::string::npos);
  CHECK(from_stream(bytes, 100, limits)->reason == "too-large");
}

TEST_CASE("audit_npz bounds the unpacked bytes, not the ratio") {
  RawArchive archive = two_arrays();
  archive.members[0].npy = npy("'|u1'", "(1000000,)", std::string(1'000'000, '\0'));
  archive.members[0].method = 8;
  const std::string bytes = archive.build();
  REQUIRE(bytes.size() < 3000);
  CHECK(from_file(bytes).reason.empty());
  NpzLimits limits;
  limits.max_bytes = 500'000;
  const Verdict verdict = from_file(bytes, limits);
  CHECK(verdict.reason == "too-large");
  CHECK(verdict.what.find("1000128") != std::string::npos);
}

TEST_CASE(
    "audit_npz bounds the memory that dtypes and shapes take; what is there twice counts once") {
  RawArchive archive;
  std::string descr = "[";
  for (int i = 0; i < 300; ++i) descr += "('field" + std::to_string(i) + "', '<f4'), ";
  RawMember member;
  member.method = 8;
  for (int i = 0; i < 50; ++i) {
    member.npy = npy(descr + "('f" + std::to_string(i) + "', '<f4')]", "(0,)", "");
    member.name = "n/" + std::to_string(i) + ".npy";
    archive.members.push_back(member);
  }
  NpzLimits limits;
  limits.max_header_bytes = 100'000;
  const Verdict verdict = from_file(archive.build(), limits);
  CHECK(verdict.reason == "too-large");
  CHECK(verdict.what.find("dtypes and shapes") != std::string::npos);

  for (RawMember& one : archive.members) one.npy = member.npy;
  CHECK(from_file(archive.build(), limits).reason.empty());

  limits.max_header_bytes = 200;
  std::string shape = "(";
  for (int i = 0; i < 64; ++i) shape += "0, ";
  for (RawMember& one : archive.members) one.npy = npy("'<f4'", shape + ")", "");
  CHECK(from_file(archive.build(), limits).reason == "too-large");
}

TEST_CASE("check_npz_data names the first bad member of many pieces") {
  RawArchive archive;
  for (int i = 0; i < 3; ++i) {
    RawMember member;
    member.name = "n/" + std::to_string(i) + ".npy";
    member.npy = npy("'|u1'", "(20000000,)", std::string(20'000'000, static_cast<char>('a' + i)));
    archive.members.push_back(member);
  }
  std::string bytes = archive.build();
  CHECK(from_file(bytes).reason.empty());
  bytes[archive.locals[2] + 1000] ^= 1;
  bytes[archive.locals[1] + 19'000'000] ^= 1;
  const Verdict verdict = from_file(bytes);
  CHECK(verdict.reason == "member-crc");
  CHECK(verdict.what.find("n/1.npy") != std::string::npos);
}

TEST_CASE("NpzStreamAuditor cannot follow what does not say its sizes in advance") {
  for (const bool descriptors : {false, true}) {
    RawArchive archive = two_arrays();
    if (descriptors) {
      archive.members[1].flags = zip::k_flag_descriptor;
      archive.members[1].descriptor = descriptor(archive.members[1].npy, true, true);
    } else {
      archive.members[1].method = 8;
    }
    CHECK_FALSE(from_stream(archive.build(), 10));
  }
}

}  // namespace mad::test
