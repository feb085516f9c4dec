#include "fuzz/answers.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

#include "base/text.hpp"
#include "fuzz/fuzz.hpp"

namespace mad::fuzz {
namespace {

std::uint64_t content_length(const std::string& head) {
  const std::string lower = lower_ascii(head);
  const auto at = lower.find("\r\ncontent-length: ");
  if (at == std::string::npos) return 0;
  const auto begin = at + 18;
  return parse_decimal(lower.substr(begin, lower.find('\r', begin) - begin)).value_or(0);
}

/// To its end, lest the connection is reset under what is asked.
void read_request(int connection) {
  std::string request;
  std::array<char, 8192> buffer{};
  for (;;) {
    const auto end = request.find("\r\n\r\n");
    if (end != std::string::npos && request.size() - end - 4 >= content_length(request)) return;
    const ssize_t got = recv(connection, buffer.data(), buffer.size(), 0);
    if (got <= 0) return;
    request.append(buffer.data(), static_cast<std::size_t>(got));
  }
}

void send_all(int connection, std::string_view text) {
  while (!text.empty()) {
    const ssize_t sent = send(connection, text.data(), text.size(), MSG_NOSIGNAL);
    if (sent <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(sent));
  }
}

}  // namespace

AnsweringProxy::AnsweringProxy() : listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  auto* const place = reinterpret_cast<sockaddr*>(&address);
  require(bind(listener_.get(), place, length) == 0 && listen(listener_.get(), 64) == 0 &&
              getsockname(listener_.get(), place, &length) == 0,
          "the proxy listens");
  const std::string url = "http://127.0.0.1:" + std::to_string(ntohs(address.sin_port));
  for (const char* name : {"http_proxy", "https_proxy", "all_proxy"}) setenv(name, url.c_str(), 1);
  for (const char* name : {"no_proxy", "NO_PROXY", "HTTPS_PROXY", "ALL_PROXY"}) unsetenv(name);
  setenv("HOME", "/nonexistent", 1);
  thread_ = std::thread([this] { serve(); });
}

AnsweringProxy::~AnsweringProxy() {
  shutdown(listener_.get(), SHUT_RDWR);
  thread_.join();
}

void AnsweringProxy::answer_with(std::string_view answers) {
  const std::lock_guard lock(mutex_);
  answers_.clear();
  while (!answers.empty()) answers_.emplace(answers_.begin(), take_field(answers));
}

std::string AnsweringProxy::take_answer() {
  const std::lock_guard lock(mutex_);
  if (answers_.empty()) return {};
  std::string answer = std::move(answers_.back());
  answers_.pop_back();
  return answer;
}

void AnsweringProxy::serve() {
  for (;;) {
    const Fd connection(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection) return;
    read_request(connection.get());
    send_all(connection.get(), take_answer());
  }
}

}  // namespace mad::fuzz
