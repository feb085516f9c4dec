#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace mad {

/// A URL with an authority (RFC 3986), taken apart.
///
/// `userinfo` and `query` are secrets (a signed URL's query is its credential):
/// only request_url() and the transport may see them, never a message, report or
/// seal.  The fragment is dropped: it is not sent to servers.
struct Url {
  std::string scheme;    ///< lower case
  std::string userinfo;  ///< still percent-encoded, without the `@`
  std::string host;      ///< lower case; an IPv6 address without its brackets; or a bucket
  std::optional<std::uint16_t> port;
  std::string path;   ///< percent-encoded, with its slash; exactly as given
  std::string query;  ///< with its `?`; empty where there is none
};

/// The scheme of `text` in lower case where it begins `scheme://` or `file:/`;
/// nothing for a bare path.
std::optional<std::string> scheme_of(std::string_view text);

/// s3, gs, az and azure: what follows the bucket is an object's name, taken literally as
/// the stores' own tools do (`%`, `?` and `#` are bytes of it like any other).
bool names_object(std::string_view scheme);

/// Throws Error(usage) that does not quote what may be secret.  Bytes that a
/// request line cannot carry (blanks, non-ASCII) are percent-encoded in path and
/// query; control bytes are refused.  Of a URL that names_object the path is the name, all
/// of it encoded but `/` and the unreserved; a query is there only for az, where the text
/// ends with one that holds a signature (`sig=`).
Url parse_url(std::string_view text);

/// What is asked for: without userinfo, which goes into a header.
std::string request_url(const Url& url);

/// Without userinfo, and with `?…` in place of a query.
std::string redacted_url(const Url& url);
/// The same for any text given as URL, also one that does not parse.
std::string redacted_url_text(std::string_view text);

/// These for people: printable().
std::string display_url(const Url& url);
std::string display_url_text(std::string_view text);

/// Scheme, host and port; what a credential is bound to (RFC 6454).
bool same_origin(const Url& a, const Url& b);

/// The URL that a Location header names (RFC 3986, 5.2).  Throws Error(remote,
/// `http-status`) where it is none.
Url resolve_reference(const Url& base, std::string_view reference);

/// `suffix` appended to the path; the query is kept.
Url with_path_suffix(const Url& url, std::string_view suffix);

/// `%41` to `A`; nothing where a `%` is not followed by two hex digits.
std::optional<std::string> percent_decode(std::string_view text);

/// The decoded last component of the path.
std::string last_component(const Url& url);

/// The local path of `file:///path` or `file://localhost/path`.  Throws Error(usage)
/// for another host, a bad escape or a NUL.
std::string path_of_file_url(std::string_view text);

}  // namespace mad
