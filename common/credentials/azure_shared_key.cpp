#include "credentials/azure_shared_key.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "base/text.hpp"
#include "credentials/time.hpp"

namespace mad {
namespace {

std::string without_outer_blanks(std::string_view value) {
  const auto begin = value.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return std::string(value.substr(begin, value.find_last_not_of(" \t") - begin + 1));
}

std::string canonical_resource(const std::string& account, const AzureRequest& request) {
  std::map<std::string, std::vector<std::string>> values;
  for (const auto& [name, value] : request.query) values[lower_ascii(name)].push_back(value);
  std::string text = '/' + account + request.path;
  for (auto& [name, row] : values) {
    std::sort(row.begin(), row.end());
    text += '\n' + name + ':';
    for (std::size_t i = 0; i < row.size(); ++i) text += (i == 0 ? "" : ",") + row[i];
  }
  return text;
}

}  // namespace

std::string azure_string_to_sign(const std::string& account, const AzureRequest& request) {
  std::map<std::string, std::string> headers;
  for (const auto& [name, value] : request.headers)
    headers[lower_ascii(name)] = without_outer_blanks(value);
  // Since 2015-02-21 a length of 0 is signed as nothing.
  if (headers["content-length"] == "0") headers["content-length"].clear();
  if (headers.count("x-ms-date") != 0) headers["date"].clear();

  constexpr std::array<const char*, 11> k_standard = {"content-encoding",
                                                      "content-language",
                                                      "content-length",
                                                      "content-md5",
                                                      "content-type",
                                                      "date",
                                                      "if-modified-since",
                                                      "if-match",
                                                      "if-none-match",
                                                      "if-unmodified-since",
                                                      "range"};
  std::string text = request.method + '\n';
  for (const char* name : k_standard) text += headers[name] + '\n';
  for (const auto& [name, value] : headers) {
    if (name.rfind("x-ms-", 0) == 0) text.append(name).append(":").append(value) += '\n';
  }
  return text + canonical_resource(account, request);
}

std::vector<std::pair<std::string, std::string>> sign_azure(const AzureRequest& request,
                                                            const AzureSharedKey& key,
                                                            std::int64_t time) {
  AzureRequest dated = request;
  dated.headers.emplace_back("x-ms-date", format_http_date(time));
  const Digest signature = hmac_sha256(key.key.reveal(), azure_string_to_sign(key.account, dated));
  return {dated.headers.back(),
          {"Authorization", "SharedKey " + key.account + ':' + base64_encode(as_text(signature))}};
}

}  // namespace mad
