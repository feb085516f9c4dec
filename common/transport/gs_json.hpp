#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "transport/transport.hpp"

namespace mad {

/// GCS's JSON, in and out: the only file of this layer that reads any.  What comes in is
/// untrusted and already bounded in length.

/// An object's resource ("Objects", "resource representations").
struct GsObject {
  std::string name;
  ObjectInfo info;     ///< `version`: the generation
  std::string crc32c;  ///< as format_crc32c(); empty where it is not told
};

/// What of a resource is asked for, as `fields`.
inline constexpr std::string_view k_gs_object_fields =
    "name,generation,size,timeCreated,crc32c,metadata";

/// Throws Error(remote, `bad-answer`).
GsObject parse_gs_object(std::string_view text, const std::string& subject);

struct GsPage {
  std::vector<GsObject> objects;
  std::string next_token;  ///< empty: the last page
};
/// Throws Error(remote, `bad-answer`).
GsPage parse_gs_page(std::string_view text, const std::string& subject);

/// A refusal's reason (`error.errors[0].reason`), an identifier; empty where there is none.
std::string gs_error_reason(std::string_view text);

/// `crc32c` may be empty: not known yet.
std::string format_gs_object(const PutOptions& options, std::string_view crc32c);
std::string format_gs_metadata(const Metadata& metadata);

/// Big-endian, in base64, as GCS writes it.
std::string format_crc32c(std::uint32_t crc);

}  // namespace mad
