#include "transport/url.hpp"

#include <curl/curl.h>

#include <memory>
#include <optional>

#include "fuzz/fuzz.hpp"
#include "transport/address.hpp"
#include "transport/az_name.hpp"

// URLs: what is shown holds no secret, and what libcurl connects to is the host that we
// checked.

namespace {

using mad::fuzz::require;

struct UrlDeleter {
  void operator()(CURLU* url) const { curl_url_cleanup(url); }
};

/// As libcurl takes the host; nothing where it takes the URL for none.
std::optional<std::string> host_for_curl(const std::string& text) {
  const std::unique_ptr<CURLU, UrlDeleter> url(curl_url());
  char* host = nullptr;
  if (curl_url_set(url.get(), CURLUPART_URL, text.c_str(), CURLU_PATH_AS_IS) != CURLUE_OK ||
      curl_url_get(url.get(), CURLUPART_HOST, &host, 0) != CURLUE_OK) {
    return std::nullopt;
  }
  std::string found = host;
  curl_free(host);
  if (found.size() >= 2 && found.front() == '[') found = found.substr(1, found.size() - 2);
  for (char& c : found) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return found;
}

bool is_request_text(const std::string& text) {
  return text.find_first_not_of(
             "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`"
             "abcdefghijklmnopqrstuvwxyz{|}~") == std::string::npos;
}

void check_curl(const mad::Url& url) {
  const auto host = host_for_curl(mad::request_url(url));
  if (!host) return;  // then nothing is connected to
  // libcurl writes an IPv4 address in any form as four decimal numbers.
  const bool is_number = host->find_first_not_of("0123456789.") == std::string::npos;
  if (!is_number && host->find(':') == std::string::npos) {
    require(*host == url.host, "libcurl connects to our host");
  }
  require(!mad::is_metadata_host(*host) || mad::is_metadata_host(url.host),
          "a metadata address is known in whatever form");
}

std::optional<mad::Url> parsed_url(std::string_view text) {
  std::optional<mad::Url> url;
  mad::fuzz::refuses([&] { url = mad::parse_url(text); });
  return url;
}

void check_url(const mad::Url& url) {
  require(!url.host.empty() || !url.path.empty(), "a URL names something");
  require(url.host.find_first_of(std::string_view("@/\\?# \0", 7)) == std::string::npos,
          "a host holds no delimiter");
  require(!url.path.empty() && url.path[0] == '/', "a path begins with a slash");
  require(is_request_text(url.path + url.query), "path and query fit into a request line");
  const std::string shown = mad::display_url(url);
  require(shown.find('@') == std::string::npos || url.userinfo.empty() ||
              url.path.find('@') != std::string::npos,
          "userinfo is not shown");
  require(url.query.size() < 4 || shown.find(url.query) == std::string::npos,
          "a query is not shown");
  static_cast<void>(mad::last_component(url));
  if (url.scheme != "http" && url.scheme != "https") return;
  const auto again = parsed_url(mad::request_url(url));
  require(again.has_value(), "what is requested is a URL");
  require(again->scheme == url.scheme && again->host == url.host && again->path == url.path &&
              again->query == url.query && mad::same_origin(*again, url) && again->userinfo.empty(),
          "what is requested is the URL without its userinfo");
  check_curl(url);
}

}  // namespace

MAD_FUZZ_TARGET(url) {
  const std::string_view text = mad::fuzz::take_field(input);
  static_cast<void>(mad::display_url_text(text));
  mad::fuzz::refuses([&] {
    const std::string path = mad::path_of_file_url(text);
    require(!path.empty() && path[0] == '/', "a file URL's path is absolute");
    require(path.find('\0') == std::string::npos, "a path holds no NUL");
  });
  const auto url = parsed_url(text);
  if (!url) return;
  check_url(*url);
  check_url(mad::with_path_suffix(*url, ".manifest.json"));
  mad::fuzz::refuses([&] { static_cast<void>(mad::parse_az_name(*url, "account")); });
  mad::fuzz::refuses([&] { static_cast<void>(mad::parse_az_name(*url, "")); });
  if (mad::names_object(url->scheme)) return;
  mad::fuzz::refuses([&] {
    const mad::Url next = mad::resolve_reference(*url, input);
    require(next.userinfo.empty(), "a redirect brings no userinfo");
    if (!mad::names_object(next.scheme)) check_url(next);
  });
}
