#include "transport/url.hpp"

#include <vector>

#include "base/error.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

bool is_alpha(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}
bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// The length of a scheme and its colon at the start of `text`, or 0.
std::size_t scheme_length(std::string_view text) {
  if (text.empty() || !is_alpha(text[0])) return 0;
  for (std::size_t i = 1; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ':') return i + 1;
    if (!is_alpha(c) && !is_digit(c) && c != '+' && c != '-' && c != '.') return 0;
  }
  return 0;
}

[[noreturn]] void bad_url(std::string_view text, const std::string& what) {
  throw Error(ExitCode::usage, "usage", display_url_text(text), "no valid URL: " + what);
}

std::string encode(std::string_view text) {
  constexpr std::string_view k_digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte <= 0x20 || byte >= 0x7F || c == '"' || c == '<' || c == '>') {
      out += {'%', k_digits[byte >> 4U], k_digits[byte & 15U]};
    } else {
      out += c;
    }
  }
  return out;
}

void parse_authority(Url& url, std::string_view authority, std::string_view text) {
  if (const auto at = authority.rfind('@'); at != std::string_view::npos) {
    url.userinfo = std::string(authority.substr(0, at));
    authority.remove_prefix(at + 1);
  }
  std::string_view port;
  if (!authority.empty() && authority[0] == '[') {
    const auto end = authority.find(']');
    if (end == std::string_view::npos) bad_url(text, "its '[' is not closed");
    url.host = lower_ascii(authority.substr(1, end - 1));
    if (url.host.find_first_not_of("0123456789abcdef:.") != std::string::npos) {
      bad_url(text, "what stands in brackets is no IPv6 address");
    }
    if (url.host.find(':') == std::string::npos) bad_url(text, "no IPv6 address in its brackets");
    port = authority.substr(end + 1);
    if (!port.empty() && port[0] != ':') bad_url(text, "something follows its ']'");
  } else {
    const auto colon = authority.find(':');
    url.host = lower_ascii(authority.substr(0, colon));
    if (colon != std::string_view::npos) port = authority.substr(colon);
    // A narrow alphabet, so that libcurl cannot read another host in the same text.
    for (const char c : url.host) {
      if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '.' && c != '_') {
        bad_url(text, "its host has a character that no host name has");
      }
    }
  }
  if (url.host.empty() && url.scheme != "file") bad_url(text, "it has no host");
  if (port.size() > 1) {
    const auto number = parse_decimal(port.substr(1));
    if (!number || *number == 0 || *number > 65535) bad_url(text, "its port is no port number");
    url.port = static_cast<std::uint16_t>(*number);
  }
}

bool is_unreserved(char c) {
  return is_alpha(c) || is_digit(c) || c == '-' || c == '_' || c == '.' || c == '~';
}

/// All but `/` and RFC 3986's unreserved, as AWS signs it.
std::string encode_name(std::string_view text) {
  constexpr std::string_view k_digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '/' || is_unreserved(c)) {
      out += c;
    } else {
      out += {'%', k_digits[byte >> 4U], k_digits[byte & 15U]};
    }
  }
  return out;
}

/// Where the query of an az:// URL with a shared access signature begins.
std::size_t signature_begin(std::string_view rest) {
  const auto question = rest.rfind('?');
  if (question == std::string_view::npos) return rest.size();
  const std::string_view query = rest.substr(question);
  const bool is_signed = query.find("?sig=") == 0 || query.find("&sig=") != std::string_view::npos;
  return is_signed ? question : rest.size();
}

/// `rest` is what follows `scheme:`.
void parse_object_url(Url& url, std::string_view rest, std::string_view text) {
  if (rest.substr(0, 2) != "//") bad_url(text, "expected " + url.scheme + "://BUCKET/NAME");
  rest.remove_prefix(2);
  const std::string_view container = rest.substr(0, rest.find('/'));
  if (container.find('@') != std::string_view::npos) {
    bad_url(text, "credentials do not belong into it");
  }
  for (const char c : container) {
    if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '.' && c != '_' && c != '$') {
      bad_url(text, "its bucket has a character that no bucket's name has");
    }
  }
  if (container.empty()) bad_url(text, "it names no bucket");
  url.host = std::string(container);
  rest.remove_prefix(container.size());
  if (url.scheme == "az" || url.scheme == "azure") {
    const std::size_t begin = signature_begin(rest);
    url.query = encode(rest.substr(begin));
    rest = rest.substr(0, begin);
  }
  url.path = rest.empty() ? "/" : encode_name(rest);
}

std::uint16_t effective_port(const Url& url) {
  if (url.port) return *url.port;
  return url.scheme == "https" ? 443 : url.scheme == "http" ? 80 : 0;
}

/// RFC 3986, 5.2.4.
std::string remove_dot_segments(std::string_view path) {
  std::vector<std::string_view> kept;
  const auto segments = split(path.substr(path.empty() ? 0 : 1), '/');
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const bool last = i + 1 == segments.size();
    if (segments[i] == ".." && !kept.empty()) kept.pop_back();
    if (segments[i] != "." && segments[i] != "..") {
      kept.push_back(segments[i]);
    } else if (last) {
      kept.emplace_back();
    }
  }
  std::string out;
  for (const std::string_view segment : kept) out += "/" + std::string(segment);
  return out.empty() ? "/" : out;
}

std::string origin_text(const Url& url) {
  std::string out = url.scheme + "://";
  out += url.host.find(':') == std::string::npos ? url.host : "[" + url.host + "]";
  if (url.port) out += ":" + std::to_string(*url.port);
  return out;
}

}  // namespace

std::optional<std::string> scheme_of(std::string_view text) {
  const std::size_t length = scheme_length(text);
  if (length == 0) return std::nullopt;
  const std::string scheme = lower_ascii(text.substr(0, length - 1));
  const std::string_view rest = text.substr(length);
  if (rest.substr(0, 2) == "//" || (scheme == "file" && rest.substr(0, 1) == "/")) return scheme;
  return std::nullopt;
}

Url parse_url(std::string_view text) {
  Url url;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte < 0x20 || byte == 0x7F) bad_url(text, "it holds a control character");
  }
  const auto scheme = scheme_of(text);
  if (!scheme) bad_url(text, "it does not begin with scheme://");
  url.scheme = *scheme;
  std::string_view rest = text.substr(text.find(':') + 1);
  if (names_object(url.scheme)) {
    parse_object_url(url, rest, text);
    return url;
  }
  rest = rest.substr(0, rest.find('#'));
  if (rest.substr(0, 2) == "//") {
    rest.remove_prefix(2);
    const auto end = rest.find_first_of("/?\\");
    parse_authority(url, rest.substr(0, end), text);
    rest = end == std::string_view::npos ? std::string_view() : rest.substr(end);
  }
  const auto question = rest.find('?');
  url.path = encode(rest.substr(0, question));
  if (url.path.empty()) url.path = "/";
  if (url.path[0] != '/') bad_url(text, "its path does not begin with '/'");
  if (question != std::string_view::npos) url.query = encode(rest.substr(question));
  return url;
}

std::string request_url(const Url& url) {
  return origin_text(url) + url.path + url.query;
}

bool names_object(std::string_view scheme) {
  return scheme == "s3" || scheme == "gs" || scheme == "az" || scheme == "azure";
}

std::string redacted_url(const Url& url) {
  if (names_object(url.scheme)) {
    // As it was given; a '?' may begin what someone took for a query.
    const std::string name = percent_decode(url.path).value_or(url.path);
    const auto secret = name.find_first_of("?#");
    const bool hides = secret != std::string::npos || !url.query.empty();
    return url.scheme + "://" + url.host + name.substr(0, secret) + (hides ? "?…" : "");
  }
  return origin_text(url) + url.path + (url.query.empty() ? "" : "?…");
}

std::string redacted_url_text(std::string_view text) {
  std::string out;
  if (const auto authority = text.find("://"); authority != std::string_view::npos) {
    out = text.substr(0, authority + 3);
    text.remove_prefix(authority + 3);
    // Whatever the authority's end may be taken for, nothing before an '@' is shown.
    if (const auto at = text.rfind('@', text.find_first_of("?#")); at != std::string_view::npos) {
      text.remove_prefix(at + 1);
    }
  }
  const auto secret = text.find_first_of("?#");
  out += text.substr(0, secret);
  if (secret != std::string_view::npos) out += "?…";
  return out;
}

std::string display_url(const Url& url) {
  return printable(redacted_url(url));
}
std::string display_url_text(std::string_view text) {
  return printable(redacted_url_text(text));
}

bool same_origin(const Url& a, const Url& b) {
  return a.scheme == b.scheme && a.host == b.host && effective_port(a) == effective_port(b);
}

Url resolve_reference(const Url& base, std::string_view reference) {
  reference = reference.substr(0, reference.find('#'));
  Url url;
  try {
    if (scheme_length(reference) != 0) {
      url = parse_url(reference);
    } else if (reference.substr(0, 2) == "//") {
      url = parse_url(base.scheme + ":" + std::string(reference));
    } else if (reference.substr(0, 1) == "/") {
      url = parse_url(origin_text(base) + std::string(reference));
    } else if (reference.empty() || reference[0] == '?') {
      url = parse_url(origin_text(base) + base.path + std::string(reference));
      if (reference.empty()) url.query = base.query;
    } else {
      const std::string directory = base.path.substr(0, base.path.rfind('/') + 1);
      url = parse_url(origin_text(base) + directory + std::string(reference));
      url.path = remove_dot_segments(url.path);
    }
  } catch (const Error& error) {
    throw Error(ExitCode::remote, "http-status", display_url(base),
                "redirected to what is no URL that can be followed: " + error.message);
  }
  url.userinfo.clear();
  return url;
}

Url with_path_suffix(const Url& url, std::string_view suffix) {
  Url longer = url;
  longer.path += suffix;
  return longer;
}

std::optional<std::string> percent_decode(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    if (i + 2 >= text.size()) return std::nullopt;
    const int high = hex_value(text[i + 1]);
    const int low = hex_value(text[i + 2]);
    if (high < 0 || low < 0) return std::nullopt;
    out += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return out;
}

std::string last_component(const Url& url) {
  const std::string name = url.path.substr(url.path.rfind('/') + 1);
  return percent_decode(name).value_or(name);
}

std::string path_of_file_url(std::string_view text) {
  std::string_view rest = text.substr(text.find(':') + 1);
  if (rest.substr(0, 2) == "//") {
    rest.remove_prefix(2);
    const std::string host = lower_ascii(rest.substr(0, rest.find('/')));
    if (!host.empty() && host != "localhost") {
      throw Error(ExitCode::usage, "usage", display_url_text(text),
                  "expected file:///path or file://localhost/path, found another host");
    }
    rest.remove_prefix(host.size());
  }
  if (rest.find_first_of("?#") != std::string_view::npos) {
    throw Error(ExitCode::usage, "usage", display_url_text(text),
                "a file URL has no query and no fragment",
                "write '?' as %3F and '#' as %23 where they belong to the name");
  }
  const auto path = percent_decode(rest);
  if (!path || path->empty() || (*path)[0] != '/' || path->find('\0') != std::string::npos) {
    throw Error(ExitCode::usage, "usage", display_url_text(text),
                "no valid URL: its path is not absolute or has a bad escape");
  }
  return *path;
}

}  // namespace mad
