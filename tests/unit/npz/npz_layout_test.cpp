#include "npz/npz_layout.hpp"

#include <functional>
#include <initializer_list>

#include "unit/npz/audited.hpp"

namespace mad::test {
namespace {

std::string zip64_extra(std::initializer_list<std::uint64_t> values) {
  std::string extra;
  zip::put16(extra, 1);
  zip::put16(extra, 8 * values.size());
  for (const std::uint64_t value : values) zip::put64(extra, value);
  return extra;
}

/// An archive, what the audit must say of it, and a part of the message.
struct Case {
  std::string name;
  std::function<std::string(RawArchive&)> make;
  std::string reason;
  std::string what;
};

/// The first member's array replaced.
std::function<std::string(RawArchive&)> with_npy(const std::string& bytes) {
  return [bytes](RawArchive& archive) {
    archive.members[0].npy = bytes;
    return archive.build();
  };
}

std::function<std::string(RawArchive&)> with_name(const std::string& name,
                                                  std::uint16_t flags = 0) {
  return [name, flags](RawArchive& archive) {
    archive.members[0].name = name;
    archive.members[0].flags = flags;
    return archive.build();
  };
}

/// The archive as built, then `width` bytes changed at an offset known by then.
template <class Offset>
std::function<std::string(RawArchive&)> with_poke(Offset offset, std::uint64_t value, int width) {
  return [offset, value, width](RawArchive& archive) {
    std::string bytes = archive.build();
    poke(bytes, offset(archive), value, width);
    return bytes;
  };
}

std::function<std::string(RawArchive&)> with_member(const std::function<void(RawMember&)>& edit) {
  return [edit](RawArchive& archive) {
    edit(archive.members[0]);
    return archive.build();
  };
}

std::vector<Case> good_cases() {
  const auto size = [](const RawMember& member) { return member.npy.size(); };
  std::vector<Case> cases = {
      {"two arrays", [](RawArchive& a) { return a.build(); }, "", ""},
      {"no array at all",
       [](RawArchive& a) {
         a.members.clear();
         return a.build();
       },
       "", ""},
      {"an archive comment",
       [](RawArchive& a) {
         a.comment = "made by hand";
         return a.build();
       },
       "", ""},
      {"mode 0600 without a file type", with_member([](RawMember& m) { m.external = 0x01800000; }),
       "", ""},
      {"no mode at all", with_member([](RawMember& m) { m.external = 0; }), "", ""},
      {"a local ZIP64 extra that the directory lacks, as np.savez",
       with_member([size](RawMember& m) {
         m.local_size = 0xFFFFFFFF;
         m.local_extra = zip64_extra({size(m), size(m)});
       }),
       "", ""},
      {"ZIP64 in the directory too", with_member([size](RawMember& m) {
         m.local_size = m.central_size = 0xFFFFFFFF;
         m.local_extra = m.central_extra = zip64_extra({size(m), size(m)});
       }),
       "", ""},
      {"a name of 255 bytes", with_name("n/" + std::string(251, 'f') + ".npy"), "", ""},
      {"slashes within the field", with_name("n/a/b/c.npy"), "", ""},
      {"a name in UTF-8", with_name("n/\xC3\xA9.npy", zip::k_flag_utf8), "", ""},
      {"a name in CP437", with_name("n/\x82.npy"), "", ""},
      {"members deflated", with_member([](RawMember& m) { m.method = 8; }), "", ""},
      {"a directory in another order",
       [](RawArchive& a) {
         std::string bytes = a.build();
         const std::string first = bytes.substr(a.centrals[0], a.centrals[1] - a.centrals[0]);
         const std::string second = bytes.substr(a.centrals[1], a.end - a.centrals[1]);
         return bytes.replace(a.directory, a.end - a.directory, second + first);
       },
       "", ""},
  };
  for (const bool signature : {false, true}) {
    for (const bool wide : {false, true}) {
      cases.push_back({"a data descriptor", with_member([=](RawMember& m) {
                         m.flags = zip::k_flag_descriptor;
                         m.descriptor = descriptor(m.npy, signature, wide);
                       }),
                       "", ""});
    }
  }
  return cases;
}

std::vector<Case> bad_archives() {
  const auto end = [](std::size_t n) { return [n](RawArchive& a) { return a.end + n; }; };
  const auto local = [](std::size_t n) { return [n](RawArchive& a) { return a.locals[0] + n; }; };
  const auto central = [](std::size_t n) {
    return [n](RawArchive& a) { return a.centrals[0] + n; };
  };
  const char* const invalid = "archive-invalid";
  return {
      {"empty file", [](RawArchive&) { return std::string(); }, invalid, "found"},
      {"no zip", [](RawArchive&) { return std::string(5000, 'x'); }, invalid, "end"},
      {"cut in the end record",
       [](RawArchive& a) {
         std::string b = a.build();
         b.pop_back();
         return b;
       },
       invalid, ""},
      {"cut in the data", [](RawArchive& a) { return a.build().substr(0, 100); }, invalid, ""},
      {"a byte before it", [](RawArchive& a) { return "x" + a.build(); }, invalid, ""},
      {"a byte after it", [](RawArchive& a) { return a.build() + "x"; }, invalid,
       "comment: expected 1, found 0"},
      {"an end record in its comment",
       [](RawArchive& a) {
         a.comment = RawArchive().build();
         return a.build();
       },
       invalid, ""},
      {"a bit flipped in the comment's length", with_poke(end(20), 4, 2), invalid,
       "comment: expected 0, found 4"},
      {"another disk", with_poke(end(4), 1, 2), invalid, "one disk"},
      {"an entry too many on this disk", with_poke(end(8), 3, 2), invalid, "expected 2, found 3"},
      {"an entry too few", with_poke(end(8), 0x00010001, 4), invalid,
       "entries: expected 2, found 1"},
      {"an entry too many", with_poke(end(8), 0x00030003, 4), invalid,
       "entries: expected 2, found 3"},
      {"a directory of another size", with_poke(end(12), 0, 4), invalid, "directory to end"},
      {"a directory elsewhere", with_poke(end(16), 1, 4), invalid, "directory to end"},
      {"a directory beyond the archive", with_poke(end(16), 0xFFFFFF00, 4), invalid,
       "directory to end"},
      {"bytes before the directory",
       [](RawArchive& a) {
         a.before_directory = "hidden";
         return a.build();
       },
       invalid, "directory"},
      {"bytes between members",
       [](RawArchive& a) {
         a.members[1].gap = "hidden";
         return a.build();
       },
       invalid, "offset"},
      {"a member that the directory does not list",
       [](RawArchive& a) {
         std::string b = a.build();
         poke(b, a.end + 8, 0x00010001, 4);
         poke(b, a.end + 12, a.end - a.centrals[1], 4);
         poke(b, a.end + 16, a.directory, 4);
         return b.erase(a.directory, a.centrals[1] - a.directory);
       },
       invalid, "local header at offset 0"},
      {"two entries for one local header",
       [](RawArchive& a) {
         a.members[1] = a.members[0];
         std::string b = a.build();
         b[a.centrals[1] + 46] = 'c';
         poke(b, a.centrals[1] + 42, 0, 4);
         return b;
       },
       invalid, ""},
      {"a directory entry with another signature", with_poke(central(0), 0, 1), invalid, ""},
      {"a directory entry on another disk", with_poke(central(34), 1, 2), invalid, "disk"},
      {"a directory entry whose comment leaves it", with_poke(central(32), 0xFFFF, 2), invalid, ""},
      {"a local header with another signature", with_poke(local(0), 0, 1), invalid, "local header"},
      {"local flags that differ", with_poke(local(6), 2, 2), invalid, "flags: expected 0, found 2"},
      {"a local method that differs", with_poke(local(8), 12, 2), invalid,
       "method: expected 0, found 12"},
      {"a local CRC that differs", with_poke(local(14), 1, 4), invalid, "CRC-32: expected"},
      {"local sizes that differ", with_poke(local(18), 0x100, 4), invalid, ""},
      {"a local size that differs", with_poke(local(22), 7, 4), invalid,
       "size: expected 136, found 7"},
      {"a local name that differs", with_poke(local(30), 'c', 1), invalid,
       "name: expected ball/x.npy, found call/x.npy"},
      {"a central size that differs", with_poke(central(24), 7, 4), invalid,
       "size: expected 7, found 136"},
      {"masked sizes without ZIP64", with_member([](RawMember& m) { m.central_size = 0xFFFFFFFF; }),
       invalid, "ZIP64"},
      {"local ZIP64 sizes that differ", with_member([](RawMember& m) {
         m.local_size = 0xFFFFFFFF;
         m.local_extra = zip64_extra({7, 136});
       }),
       invalid, "size: expected 136, found 7"},
      {"two ZIP64 fields",
       with_member([](RawMember& m) { m.central_extra = zip64_extra({1}) + zip64_extra({1}); }),
       invalid, "two ZIP64"},
      {"an extra field that is cut", with_member([](RawMember& m) { m.central_extra = "abc"; }),
       invalid, "extra field"},
      {"a second name in an extra field",
       with_member([](RawMember& m) { m.central_extra = std::string("\x75\x70\x01\x00x", 5); }),
       invalid, "second name"},
      {"unknown flags", with_member([](RawMember& m) { m.flags = 1U << 4U; }), invalid, "flags"},
      {"a symbolic link", with_member([](RawMember& m) { m.external = 0xA1FF0000; }), invalid,
       "regular file, found 0xa1ff0000"},
      {"a directory by its DOS attribute", with_member([](RawMember& m) { m.external = 0x10; }),
       invalid, "regular file"},
      {"a data descriptor that differs", with_member([](RawMember& m) {
         m.flags = zip::k_flag_descriptor;
         m.descriptor = descriptor("other", true, false);
       }),
       invalid, "data descriptor"},
      {"no data descriptor though a flag says so",
       with_member([](RawMember& m) { m.flags = zip::k_flag_descriptor; }), invalid,
       "data descriptor"},
      {"bytes after the data without a descriptor",
       with_member([](RawMember& m) { m.descriptor = "12 more byte"; }), invalid, ""},
      {"garbage in place of a deflate stream", with_member([](RawMember& m) {
         m.method = 8;
         m.packed = std::string(40, '\xFF');
       }),
       invalid, "deflate"},
      {"a deflate stream that is cut", with_member([](RawMember& m) {
         m.method = 8;
         const std::string whole = deflate_raw(m.npy);
         m.packed = whole.substr(0, whole.size() - 3);
       }),
       invalid, "cut"},
      {"bytes after the deflate stream", with_member([](RawMember& m) {
         m.method = 8;
         m.packed = deflate_raw(m.npy) + "more";
       }),
       invalid, "4 bytes after it"},
      {"a deflate stream that unpacks to more", with_member([](RawMember& m) {
         m.method = 8;
         m.packed = deflate_raw(m.npy + std::string(100'000, 'x'));
       }),
       invalid, "unpacks to more"},
      {"a deflate stream that unpacks to less", with_member([](RawMember& m) {
         m.method = 8;
         m.packed = deflate_raw(m.npy.substr(0, 130));
       }),
       invalid, "unpacks to 130"},
  };
}

std::vector<Case> bad_members() {
  std::vector<Case> cases = {
      {"a member without .npy", with_name("ball/x.txt"), "member-name", "without .npy"},
      {"a directory", with_name("ball/"), "member-name", ""},
      {"no slash", with_name("arr_0.npy"), "member-name", "no '/'"},
      {"an absolute name", with_name("/etc/x.npy"), "member-name", "empty"},
      {"a name that goes up", with_name("a/../../x.npy"), "member-name", "'..'"},
      {"a dot component", with_name("a/./x.npy"), "member-name", "'.'"},
      {"an empty component", with_name("a//x.npy"), "member-name", "empty"},
      {"an empty field", with_name("a/.npy"), "member-name", "empty"},
      {"a NUL", with_name(std::string("a/x\0y.npy", 9)), "member-name", "NUL"},
      {"a backslash", with_name("a/x\\y.npy"), "member-name", "backslash"},
      {"a control byte", with_name("a/x\x1B[2J.npy"), "member-name", "control"},
      {"bad UTF-8", with_name("a/\xFF.npy", zip::k_flag_utf8), "member-name", "UTF-8"},
      {"a name of 256 bytes", with_name("n/" + std::string(252, 'f') + ".npy"), "member-name",
       "256 bytes"},
      {"a name of 1,025 bytes", with_name([] {
         std::string name;
         while (name.size() < 1024) name += "abcdefg/";
         return name + "f.npy";
       }()),
       "member-name", "1025 bytes"},
      {"the same name twice",
       [](RawArchive& a) {
         a.members[1].name = a.members[0].name;
         return a.build();
       },
       "member-duplicate", "ball/x.npy"},
      {"the same name once in CP437 and once in UTF-8",
       [](RawArchive& a) {
         a.members[0].name = "n/\x82.npy";
         a.members[1].name = "n/\xC3\xA9.npy";
         a.members[1].flags = zip::k_flag_utf8;
         return a.build();
       },
       "member-duplicate", "n/\xC3\xA9.npy"},
      {"a version that zipfile cannot extract",
       [](RawArchive& a) {
         std::string b = a.build();
         poke(b, a.centrals[0] + 6, 64, 1);
         return b;
       },
       "member-method", "at most 63 (6.3), found 64"},
      {"a size that is no stored one",
       with_member([](RawMember& m) { m.size = m.local_unpacked = 7; }), "archive-invalid",
       "compressed size of 7, found 136"},
      {"method 12", with_member([](RawMember& m) { m.method = 12; }), "member-method", "found 12"},
      {"method 99", with_member([](RawMember& m) { m.method = 99; }), "member-encrypted", ""},
      {"the encryption flag", with_member([](RawMember& m) { m.flags = 1; }), "member-encrypted",
       ""},
      {"an encrypted directory", with_member([](RawMember& m) { m.flags = 1U << 13U; }),
       "member-encrypted", ""},
      {"no magic", with_npy("plain bytes, which NumPy would return as they are"), "npy-invalid",
       "magic"},
      {"an empty member", with_npy(""), "npy-invalid", "magic"},
      {"objects", with_npy(npy("'|O'", "(1,)", "pickle")), "npy-object", "objects"},
      {"bytes after the array", with_npy(small_npy() + "hidden"), "npy-size", "142 bytes in all"},
      {"bytes missing", with_npy(npy("'<i4'", "(2,)", "abcd")), "npy-size", ""},
      {"a shape that overflows", with_npy(npy("'<i4'", "(4611686018427387905, 4)", "12345678")),
       "npy-invalid", "2**63"},
      {"a bit flipped in the data",
       [](RawArchive& a) {
         std::string b = a.build();
         b[a.data_of_first + 130] ^= 1;
         return b;
       },
       "member-crc", "CRC-32"},
      {"a bit flipped in the data of a deflated member", with_member([](RawMember& m) {
         m.method = 8;
         std::string other = m.npy;
         other.back() ^= 1;
         m.packed = deflate_raw(other);
       }),
       "member-crc", "CRC-32"},
      {"a deflated array with bytes after it", with_member([](RawMember& m) {
         m.method = 8;
         m.npy += "hidden";
       }),
       "npy-size", "142 bytes in all"},
  };
  return cases;
}

std::vector<Case> all_cases() {
  std::vector<Case> all = good_cases();
  for (auto& some : {bad_archives(), bad_members()})
    all.insert(all.end(), some.begin(), some.end());
  return all;
}

}  // namespace

TEST_CASE("audit_npz and check_npz_data tell good archives from each kind of bad one") {
  for (const Case& one : all_cases()) {
    RawArchive archive = two_arrays();
    const std::string bytes = one.make(archive);
    const Verdict verdict = from_file(bytes);
    INFO(one.name << " -> " << verdict.what);
    CHECK(verdict.reason == one.reason);
    CHECK(verdict.what.find(one.what) != std::string::npos);
    CHECK((one.reason.empty() || verdict.what.rfind("sim.npz", 0) == 0));
  }
}

TEST_CASE("NpzStreamAuditor says what audit_npz and check_npz_data say, however it is cut") {
  std::size_t followed = 0;
  for (const Case& one : all_cases()) {
    RawArchive archive = two_arrays();
    const std::string bytes = one.make(archive);
    const Verdict wanted = from_file(bytes);
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{1} << 20U}) {
      const auto found = from_stream(bytes, piece);
      if (!found) continue;
      ++followed;
      INFO(one.name << ", pieces of " << piece << " -> " << found->what);
      CHECK(found->reason == wanted.reason);
      REQUIRE(found->members.size() == wanted.members.size());
      for (std::size_t i = 0; i < wanted.members.size(); ++i) {
        CHECK(found->members[i].key == wanted.members[i].key);
        CHECK(found->members[i].data_offset == wanted.members[i].data_offset);
        CHECK(found->members[i].crc32 == wanted.members[i].crc32);
        CHECK(found->members[i].header.descr == wanted.members[i].header.descr);
        CHECK(found->members[i].header.data_bytes == wanted.members[i].header.data_bytes);
      }
    }
  }
  CHECK(followed > 3 * 50);
}

}  // namespace mad::test
