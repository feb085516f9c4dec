#include "transport/transport.hpp"

#include <algorithm>
#include <array>

#include "base/error.hpp"
#include "base/text.hpp"
#include "io/file.hpp"
#include "transport/az.hpp"
#include "transport/az_name.hpp"
#include "transport/gs.hpp"
#include "transport/http.hpp"
#include "transport/s3.hpp"

namespace mad {
namespace {

constexpr std::size_t k_max_header_file_bytes = 65536;

[[noreturn]] void bad_header(const std::string& what) {
  throw Error(ExitCode::usage, "usage", "--header", what);
}

bool is_token_char(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
         std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

void add_header(std::string_view line, std::vector<std::string>& headers) {
  for (const char c : line) {
    const auto byte = static_cast<unsigned char>(c);
    if ((byte < 0x20 && c != '\t') || byte == 0x7F) {
      bad_header("a header holds a line break or another control character");
    }
  }
  const auto colon = line.find(':');
  const std::string name(line.substr(0, colon));
  if (colon == std::string_view::npos || name.empty() ||
      !std::all_of(name.begin(), name.end(), is_token_char)) {
    bad_header("expected 'Name: value' or @FILE, found no header name before a colon");
  }
  const auto value = line.find_first_not_of(" \t", colon + 1);
  if (value == std::string_view::npos) bad_header("the header '" + name + "' has no value");
  constexpr std::array<std::string_view, 9> k_own = {
      "range",          "if-range",          "if-match",
      "if-none-match",  "accept-encoding",   "connection",
      "content-length", "transfer-encoding", "te"};
  if (std::find(k_own.begin(), k_own.end(), lower_ascii(name)) != k_own.end()) {
    bad_header("the header '" + name + "' is mad-fetch's own to set");
  }
  if (lower_ascii(name) == "authorization" && gives_authorization(headers)) {
    bad_header("expected one 'Authorization', found two");
  }
  headers.push_back(name + ": " + std::string(line.substr(value)));
}

}  // namespace

std::unique_ptr<Transport> open_transport(const Url& url, const TransportOptions& options) {
  if (url.scheme == "az" || url.scheme == "azure" || is_az_web_url(url)) {
    return open_az_transport(url, options);
  }
  if (url.scheme == "http" || url.scheme == "https") return open_http_transport(options);
  if (url.scheme == "s3") return open_s3_transport(options);
  if (url.scheme == "gs") return open_gs_transport(options);
  throw Error(ExitCode::usage, "usage", display_url(url),
              "the scheme '" + printable(url.scheme, 40) +
                  "' is not supported; expected file, http, https, s3, gs, az or a bare path");
}

RemoveOutcome Transport::remove_version(const Url& url, const std::string& version) {
  const auto present = stat(url);
  if (!present) return RemoveOutcome::missing;
  if (present->version != version) return RemoveOutcome::changed;
  remove(url);
  return RemoveOutcome::removed;
}

std::vector<ListedUpload> Transport::list_uploads(const Url&) {
  return {};
}

void Transport::remove_upload(const ListedUpload&) {}

std::uint64_t part_bytes_for(const Capabilities& capabilities,
                             std::optional<std::uint64_t> size_bytes, std::uint64_t wanted_bytes) {
  std::uint64_t part = std::max(wanted_bytes, capabilities.min_part_bytes);
  if (size_bytes) part = std::max(part, *size_bytes / capabilities.max_parts + 1);
  const std::uint64_t multiple = capabilities.part_multiple;
  part = (part + multiple - 1) / multiple * multiple;
  return std::min(part, capabilities.max_part_bytes / multiple * multiple);
}

bool gives_authorization(const std::vector<std::string>& headers) {
  return std::any_of(headers.begin(), headers.end(), [](const std::string& line) {
    return lower_ascii(line.substr(0, line.find(':'))) == "authorization";
  });
}

void parse_header(std::string_view text, std::vector<std::string>& headers) {
  if (text.substr(0, 1) != "@") return add_header(text, headers);
  const std::string path(text.substr(1));
  const Fd file = open_regular(path);
  const std::string lines = read_small_file(file.get(), k_max_header_file_bytes, path);
  for (std::string_view line : split(lines, '\n')) {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (!line.empty()) add_header(line, headers);
  }
}

}  // namespace mad
