#include "manifest/manifest.hpp"

#include <algorithm>
#include <array>
#include <limits>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "base/version.hpp"
#include "manifest/json_text.hpp"

namespace mad {
namespace {

/// The raw texts of the keys that this reader knows, each checked for syntax only.
struct RawManifest {
  std::optional<std::string_view> schema_version, sha256, size_bytes, extra, created_at, step,
      chunks, members;
};

[[noreturn]] void refuse(const std::string& subject, std::string_view key,
                         const std::string& expected, const std::string& found) {
  throw Error(ExitCode::refused, "manifest-invalid", subject,
              std::string(key) + ": expected " + expected + ", found " + found);
}

/// A scalar as it stands there, anything else by its kind.
std::string found_text(std::string_view raw) {
  const JsonKind kind = json_kind(raw);
  if (kind == JsonKind::array || kind == JsonKind::object) return std::string(name_of(kind));
  return printable(raw, 80);
}

std::uint64_t length_value(std::string_view raw, std::string_view key, const std::string& subject) {
  const auto value = json_integer(raw);
  if (!value || *value < 0) {
    refuse(subject, key, "an integer from 0 to 9223372036854775807", found_text(raw));
  }
  return static_cast<std::uint64_t>(*value);
}

RawManifest scan(std::string_view bytes, const std::string& subject) {
  if (bytes.size() > k_max_manifest_bytes) {
    throw Error(ExitCode::refused, "too-large", subject,
                "a manifest of " + std::to_string(bytes.size()) + " bytes; at most " +
                    std::to_string(k_max_manifest_bytes) + " are read");
  }
  JsonCursor cursor(bytes, {subject, "manifest-invalid"});
  if (const JsonKind kind = cursor.kind(); kind != JsonKind::object) {
    cursor.fail("expected a manifest, which is an object, found " + std::string(name_of(kind)));
  }
  RawManifest raw;
  cursor.read_object(JsonDialect::strict, [&](const JsonKey& name) {
    const std::string& key = name.characters;
    const bool is_extra = key == "extra";
    const auto value = cursor.read_value(is_extra ? JsonDialect::python : JsonDialect::strict);
    if (key == "schema_version") raw.schema_version = value;
    if (key == "sha256") raw.sha256 = value;
    if (key == "size_bytes") raw.size_bytes = value;
    if (is_extra) raw.extra = value;
    // null says the same as an absent key where a key is optional and ours.
    if (value == "null") return;
    if (key == "created_at") raw.created_at = value;
    if (key == "step") raw.step = value;
    if (key == "chunks") raw.chunks = value;
    if (key == "members") raw.members = value;
  });
  cursor.expect_end();
  return raw;
}

int schema_version_of(const RawManifest& raw, const std::string& subject) {
  constexpr const char* k_key = "schema_version";
  if (!raw.schema_version) refuse(subject, k_key, "an integer", "no such key");
  const auto version = json_integer(*raw.schema_version);
  if (!version || *version < std::numeric_limits<int>::min() ||
      *version > std::numeric_limits<int>::max()) {
    refuse(subject, k_key, "an integer of 32 bits", found_text(*raw.schema_version));
  }
  std::string readable = std::to_string(k_oldest_schema_version);
  if (k_oldest_schema_version != k_schema_version) {
    readable += " to " + std::to_string(k_schema_version);
  }
  const std::string found = "schema_version: expected " + readable + ", found " +
                            std::to_string(*version) + ", which is ";
  if (*version < k_oldest_schema_version) {
    throw Error(ExitCode::schema, "schema-too-old", subject, found + "older",
                "schema versions begin at 1; if the npz is known to be good, "
                "'mad-manifest write --force' gives it a manifest of version " +
                    std::to_string(k_schema_version));
  }
  if (*version > k_schema_version) {
    throw Error(ExitCode::schema, "schema-too-new", subject, found + "newer",
                std::string("upgrade the reader: this is mad-tools ") + k_version);
  }
  return static_cast<int>(*version);
}

Digest digest_of(std::string_view raw, const std::string& key, const std::string& subject) {
  std::optional<Digest> digest;
  if (raw.size() == 66 && raw.front() == '"') digest = parse_hex_digest(raw.substr(1, 64));
  if (!digest) refuse(subject, key, "a string of 64 lower-case hex digits", found_text(raw));
  return *digest;
}

/// Nothing where the list is by another algorithm: a later writer's, not a defect.
std::optional<Chunks> chunks_of(std::string_view raw, std::optional<std::uint64_t> size_bytes,
                                const std::string& subject) {
  if (json_kind(raw) != JsonKind::object) refuse(subject, "chunks", "an object", found_text(raw));
  std::optional<std::string_view> algorithm;
  std::optional<std::string_view> chunk_bytes;
  std::optional<std::string_view> digests;
  JsonCursor object(raw, {subject, "manifest-invalid"});
  object.read_object(JsonDialect::strict, [&](const JsonKey& key) {
    const std::string_view value = object.read_value(JsonDialect::strict);
    if (key.characters == "algorithm") algorithm = value;
    if (key.characters == "chunk_bytes") chunk_bytes = value;
    if (key.characters == "digests") digests = value;
  });
  if (!algorithm || json_kind(*algorithm) != JsonKind::string) {
    refuse(subject, "chunks.algorithm", "a string",
           algorithm ? found_text(*algorithm) : "no such key");
  }
  if (*algorithm != "\"sha256\"") return std::nullopt;

  if (!chunk_bytes) refuse(subject, "chunks.chunk_bytes", "an integer", "no such key");
  Chunks chunks;
  chunks.chunk_bytes = length_value(*chunk_bytes, "chunks.chunk_bytes", subject);
  if (chunks.chunk_bytes == 0 || chunks.chunk_bytes % 64 != 0 ||
      chunks.chunk_bytes > k_max_chunk_bytes) {
    refuse(subject, "chunks.chunk_bytes",
           "a multiple of 64 from 64 to " + std::to_string(k_max_chunk_bytes),
           found_text(*chunk_bytes));
  }
  if (!digests || json_kind(*digests) != JsonKind::array) {
    refuse(subject, "chunks.digests", "an array", digests ? found_text(*digests) : "no such key");
  }
  JsonCursor cursor(*digests, {subject, "manifest-invalid"});
  cursor.read_array([&] {
    const std::string key = "chunks.digests." + std::to_string(chunks.digests.size());
    chunks.digests.push_back(digest_of(cursor.read_value(JsonDialect::strict), key, subject));
  });
  if (size_bytes) {
    const std::uint64_t expected =
        *size_bytes / chunks.chunk_bytes + (*size_bytes % chunks.chunk_bytes != 0 ? 1 : 0);
    if (chunks.digests.size() != expected) {
      refuse(subject, "chunks.digests",
             std::to_string(expected) + " digests for " + std::to_string(*size_bytes) + " bytes",
             std::to_string(chunks.digests.size()));
    }
  }
  return chunks;
}

/// `    "<64 digits>",\n` behind eight blanks of indent, less for the last.
constexpr std::size_t k_digest_line_bytes = 6 + 66 + 2;

void append_chunks(std::string& text, const Chunks& chunks) {
  text += ",\n  \"chunks\": {\n    \"algorithm\": \"sha256\",\n    \"chunk_bytes\": " +
          std::to_string(chunks.chunk_bytes) + ",\n    \"digests\": [";
  const char* separator = "\n";
  for (const Digest& digest : chunks.digests) {
    text += separator;
    text += "      \"" + to_hex(digest) + '"';
    separator = ",\n";
  }
  text += chunks.digests.empty() ? "]\n  }" : "\n    ]\n  }";
}

}  // namespace

bool is_manifest_key(std::string_view key) {
  constexpr std::array<std::string_view, 8> k_keys = {
      "schema_version", "sha256", "size_bytes", "extra", "created_at", "step", "chunks", "members"};
  return std::find(k_keys.begin(), k_keys.end(), key) != k_keys.end();
}

Manifest parse_manifest(std::string_view bytes, const std::string& subject) {
  const RawManifest raw = scan(bytes, subject);
  Manifest manifest;
  manifest.schema_version = schema_version_of(raw, subject);
  if (!raw.sha256) {
    refuse(subject, "sha256", "a string of 64 lower-case hex digits", "no such key");
  }
  manifest.sha256 = digest_of(*raw.sha256, "sha256", subject);
  if (raw.size_bytes) manifest.size_bytes = length_value(*raw.size_bytes, "size_bytes", subject);
  if (raw.extra) {
    if (json_kind(*raw.extra) != JsonKind::object) {
      refuse(subject, "extra", "an object", found_text(*raw.extra));
    }
    manifest.extra = std::string(*raw.extra);
  }
  if (raw.created_at) {
    if (json_kind(*raw.created_at) != JsonKind::string) {
      refuse(subject, "created_at", "a string", found_text(*raw.created_at));
    }
    manifest.created_at = json_characters(*raw.created_at);
  }
  if (raw.step) {
    manifest.step = json_integer(*raw.step);
    if (!manifest.step) refuse(subject, "step", "an integer of 64 bits", found_text(*raw.step));
  }
  if (raw.chunks) manifest.chunks = chunks_of(*raw.chunks, manifest.size_bytes, subject);
  if (raw.members) {
    manifest.members = parse_member_table(*raw.members, manifest.size_bytes, subject);
  }
  return manifest;
}

std::string format_manifest(const Manifest& manifest) {
  std::string text = "{\n  \"schema_version\": " + std::to_string(manifest.schema_version) +
                     ",\n  \"sha256\": \"" + to_hex(manifest.sha256) + '"';
  if (manifest.size_bytes) text += ",\n  \"size_bytes\": " + std::to_string(*manifest.size_bytes);
  text += ",\n  \"extra\": " + manifest.extra;
  if (manifest.created_at) text += ",\n  \"created_at\": " + json_quote(*manifest.created_at);
  if (manifest.step) text += ",\n  \"step\": " + std::to_string(*manifest.step);
  constexpr std::size_t k_frame_bytes = 256;
  if (text.size() + k_frame_bytes > k_max_manifest_bytes) {
    throw Error(ExitCode::refused, "too-large", "extra",
                "makes a manifest of " + std::to_string(text.size()) + " bytes; at most " +
                    std::to_string(k_max_manifest_bytes) + " are read");
  }
  const auto room = [&] {
    return k_max_manifest_bytes - std::min(k_max_manifest_bytes, text.size() + k_frame_bytes);
  };
  if (manifest.chunks) {
    if (manifest.chunks->digests.size() <= room() / k_digest_line_bytes) {
      append_chunks(text, *manifest.chunks);
    } else {
      log_verbose("the manifest has no room for the digests of " +
                  std::to_string(manifest.chunks->digests.size()) + " chunks");
    }
  }
  if (manifest.members) {
    if (const auto members = format_member_table(*manifest.members, room())) {
      text += ",\n  \"members\": " + *members;
    } else {
      log_verbose("the manifest has no room for the table of its " +
                  std::to_string(manifest.members->size()) + " arrays");
    }
  }
  return text + "\n}\n";
}

std::string upgrade_manifest(std::string_view bytes, const Manifest& with,
                             const std::string& subject) {
  Manifest manifest = parse_manifest(bytes, subject);
  manifest.size_bytes = with.size_bytes;
  if (!manifest.step) manifest.step = with.step;
  manifest.chunks = with.chunks;
  manifest.members = with.members;
  std::string others;
  JsonCursor cursor(bytes, {subject, "manifest-invalid"});
  cursor.read_object(JsonDialect::strict, [&](const JsonKey& key) {
    const bool is_extra = key.characters == "extra";
    const auto value = cursor.read_value(is_extra ? JsonDialect::python : JsonDialect::strict);
    if (is_manifest_key(key.characters)) return;
    others.append(",\n  ").append(key.text).append(": ").append(indent_json(value, 1));
  });
  std::string text = format_manifest(manifest);
  if (others.size() > k_max_manifest_bytes - text.size()) {
    throw Error(ExitCode::refused, "too-large", subject,
                "with its " + std::to_string(others.size()) +
                    " bytes of further keys it would pass the " +
                    std::to_string(k_max_manifest_bytes) + " bytes that are read");
  }
  return text.insert(text.size() - 3, others);
}

}  // namespace mad
