#include "transport/az_name.hpp"

#include "base/error.hpp"
#include "credentials/encoding.hpp"

namespace mad {
namespace {

bool has_parameter(const std::string& query, const std::string& name) {
  return query.rfind("?" + name + "=", 0) == 0 || query.find("&" + name + "=") != std::string::npos;
}

bool is_container(const std::string& name) {
  constexpr std::size_t k_shortest = 3;
  constexpr std::size_t k_longest = 63;
  if (name == "$root" || name == "$web" || name == "$logs") return true;
  return name.size() >= k_shortest && name.size() <= k_longest &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-") == std::string::npos;
}

/// Takes `/NAME` from the front of `path`; what is left begins with the next slash.
std::string take_segment(std::string& path) {
  const auto slash = path.find('/', 1);
  std::string name = path.substr(1, slash == std::string::npos ? slash : slash - 1);
  path.erase(0, slash);
  return name;
}

}  // namespace

bool is_az_emulator_url(const Url& url) {
  const bool is_address = url.host.find_first_not_of("0123456789.") == std::string::npos ||
                          url.host.find(':') != std::string::npos;
  return is_address || url.host == "localhost";
}

bool is_az_web_url(const Url& url) {
  if (url.scheme != "http" && url.scheme != "https") return false;
  return has_parameter(url.query, "sv") && has_parameter(url.query, "sig") &&
         (url.host.find(".blob.") != std::string::npos || is_az_emulator_url(url));
}

AzName parse_az_name(const Url& url, const std::string& environment_account) {
  AzName name;
  std::string rest = url.path;
  if (!names_object(url.scheme)) {
    if (is_az_emulator_url(url)) name.account = take_segment(rest);
    if (!rest.empty()) name.container = take_segment(rest);
  } else {
    const bool has_account = url.path.find('/', 1) != std::string::npos &&
                             (environment_account.empty() || environment_account == url.host);
    if (has_account) {
      name.account = url.host;
      name.container = take_segment(rest);
    } else {
      name.container = percent_encode(url.host);
    }
  }
  if (!is_container(percent_decode(name.container).value_or(""))) {
    throw Error(ExitCode::usage, "usage", display_url(url),
                "expected a container, found '" + printable(name.container, 80) + "'",
                "its name is 3 to 63 lower-case letters, digits and '-'");
  }
  if (rest.empty()) return name;
  name.blob = rest.substr(1);
  name.path_before_blob = url.path.substr(0, url.path.size() - name.blob.size());
  return name;
}

}  // namespace mad
