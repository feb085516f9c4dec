#include "transport/http_client.hpp"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/version.hpp"
#include "credentials/surroundings.hpp"
#include "transport/address.hpp"

namespace mad {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t k_max_head_bytes = std::size_t{256} << 10U;

struct EasyDeleter {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};
struct MultiDeleter {
  void operator()(CURLM* handle) const { curl_multi_cleanup(handle); }
};
struct ListDeleter {
  void operator()(curl_slist* list) const { curl_slist_free_all(list); }
};
using HeaderList = std::unique_ptr<curl_slist, ListDeleter>;

void append(HeaderList& list, const std::string& line) {
  curl_slist* longer = curl_slist_append(list.get(), line.c_str());
  if (longer == nullptr) throw std::bad_alloc();
  (void)list.release();
  list.reset(longer);
}

/// A request under way: what the callbacks see.
struct Exchange {
  HttpHandler* handler = nullptr;
  const HttpBody* body = nullptr;
  std::vector<curl_socket_t>* sockets = nullptr;
  std::uint64_t sent_bytes = 0;
  unsigned sends = 0;
  bool past_interruption = false;
  std::optional<Clock::time_point> deadline;
  bool refuse_metadata = false;
  bool refused_metadata = false;
  HttpHead head;
  std::size_t head_bytes = 0;
  bool head_done = false;
  bool declined = false;
  std::exception_ptr thrown;
  Clock::time_point last_byte = Clock::now();
};

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// False where the exchange shall end here.
bool take_head_line(Exchange& exchange, std::string_view line) {
  if (exchange.head_done) return true;  // a trailer after the body
  exchange.head_bytes += line.size();
  if (exchange.head_bytes > k_max_head_bytes) return false;
  HttpHead& head = exchange.head;
  if (line.substr(0, 5) == "HTTP/") {
    head = {};
    const auto blank = line.find(' ');
    const std::string_view rest = blank == std::string_view::npos ? "" : line.substr(blank + 1);
    for (const char c : rest.substr(0, 3)) {
      if (c >= '0' && c <= '9') head.status = head.status * 10 + (c - '0');
    }
    return true;
  }
  if (trimmed(line).empty()) {
    if (head.status < 200) return true;  // 1xx: the answer is still to come
    exchange.head_done = true;
    head.sent_again = exchange.sends > 1;
    exchange.declined = !exchange.handler->head(head);
    return !exchange.declined;
  }
  if ((line[0] == ' ' || line[0] == '\t') && !head.headers.empty()) {
    head.headers.back().second += ' ' + std::string(trimmed(line));
    return true;
  }
  const auto colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  std::string name(trimmed(line.substr(0, colon)));
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  head.headers.emplace_back(std::move(name), std::string(trimmed(line.substr(colon + 1))));
  return true;
}

std::size_t on_head(char* data, std::size_t, std::size_t length, void* context) noexcept {
  auto& exchange = *static_cast<Exchange*>(context);
  try {
    exchange.last_byte = Clock::now();
    return take_head_line(exchange, {data, length}) ? length : 0;
  } catch (...) {
    exchange.thrown = std::current_exception();
    return 0;
  }
}

std::size_t on_body(char* data, std::size_t, std::size_t length, void* context) noexcept {
  auto& exchange = *static_cast<Exchange*>(context);
  try {
    exchange.handler->body(std::as_bytes(std::span(data, length)));
    // After the handler: the time that a slow reader of ours takes is not the server's.
    exchange.last_byte = Clock::now();
    return length;
  } catch (...) {
    exchange.thrown = std::current_exception();
    return length + 1;  // an error also where the length is 0
  }
}

std::size_t on_send(char* into, std::size_t, std::size_t room, void* context) noexcept {
  auto& exchange = *static_cast<Exchange*>(context);
  try {
    const std::uint64_t left = exchange.body->size_bytes() - exchange.sent_bytes;
    const auto now = static_cast<std::size_t>(std::min<std::uint64_t>(room, left));
    exchange.body->read(exchange.sent_bytes, std::as_writable_bytes(std::span(into, now)));
    exchange.sent_bytes += now;
    exchange.last_byte = Clock::now();
    return now;
  } catch (...) {
    exchange.thrown = std::current_exception();
    return CURL_READFUNC_ABORT;
  }
}

int on_request(void* context, char*, char*, int, int) noexcept {
  ++static_cast<Exchange*>(context)->sends;
  return CURL_PREREQFUNC_OK;
}

/// libcurl sends a body again where a kept connection turns out to be closed.
int on_rewind(void* context, curl_off_t offset, int origin) noexcept {
  if (origin != SEEK_SET || offset < 0) return CURL_SEEKFUNC_CANTSEEK;
  auto& exchange = *static_cast<Exchange*>(context);
  exchange.sent_bytes = static_cast<std::uint64_t>(offset);
  return CURL_SEEKFUNC_OK;
}

curl_socket_t on_open_socket(void* context, curlsocktype, curl_sockaddr* address) noexcept {
  auto& exchange = *static_cast<Exchange*>(context);
  if (exchange.refuse_metadata && is_metadata_address(address->addr)) {
    exchange.refused_metadata = true;
    return CURL_SOCKET_BAD;
  }
  const int opened = socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
  try {
    if (opened >= 0) exchange.sockets->push_back(opened);
  } catch (const std::bad_alloc&) {
    // It is only slower.
  }
  return opened;
}

int on_close_socket(void* context, curl_socket_t closed) noexcept {
  auto& sockets = *static_cast<std::vector<curl_socket_t>*>(context);
  sockets.erase(std::remove(sockets.begin(), sockets.end(), closed), sockets.end());
  return close(closed);
}

/// A server that writes head and body apart waits in between for our ACK (Nagle), which the
/// kernel would hold back for 40 ms on a connection that is used again.
void acknowledge_at_once(const std::vector<curl_socket_t>& sockets) {
  const int on = 1;
  for (const curl_socket_t open : sockets) {
    setsockopt(open, IPPROTO_TCP, TCP_QUICKACK, &on, sizeof on);  // advice only
  }
}

/// An empty one counts as unset, as for curl.
std::optional<std::string> variable(const char* name) {
  auto value = process_environment(name);
  return value && value->empty() ? std::nullopt : value;
}

/// Of a connection that the peer closed within the handshake; libcurl has no code for it.
bool is_unexpected_end(std::string_view text) {
  return text.find("SSL_ERROR_SYSCALL") != std::string_view::npos ||
         text.find("unexpected eof") != std::string_view::npos;
}

HttpFailure failure_of(CURL* easy, CURLcode code, const char* detail) {
  const std::string text = printable(*detail != '\0' ? detail : curl_easy_strerror(code));
  long system = 0;
  curl_easy_getinfo(easy, CURLINFO_OS_ERRNO, &system);
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return {true, "dns", text, {}};
    case CURLE_COULDNT_CONNECT:
    case CURLE_PROXY:
      return {true, "connect", text, {}};
    case CURLE_OPERATION_TIMEDOUT:
      return {true, "timeout", text, {}};
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_SEND_ERROR:
    case CURLE_GOT_NOTHING:
      return {true, "transfer-cut", "the connection was cut: " + text, {}};
    case CURLE_SSL_CONNECT_ERROR:
      if (system == ECONNRESET || is_unexpected_end(text)) return {true, "connect", text, {}};
      return {false, "tls", text, {}};
    case CURLE_PEER_FAILED_VERIFICATION:
      return {false, "tls", text,
              "where the server's certificate is from a CA of your own, give it with --cacert"};
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_CRL_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_INVALIDCERTSTATUS:
    case CURLE_USE_SSL_FAILED:
    case CURLE_SSL_ENGINE_NOTFOUND:
      return {false, "tls", text, {}};
    case CURLE_OUT_OF_MEMORY:
      // What libcurl says of a header line above its own bound, too.
      return {false, "http-status", "the answer's headers are too long, or memory is short", {}};
    default:
      return {false, "http-status", "the answer is not valid HTTP: " + text, {}};
  }
}

}  // namespace

std::optional<std::string_view> HttpHead::find(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return std::nullopt;
}

struct HttpClient::State {
  explicit State(const TransportOptions& given) : options(given) {
    // Once a process; libcurl counts.
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) throw std::bad_alloc();
    multi.reset(curl_multi_init());
    if (!multi) throw std::bad_alloc();
    renew();
  }

  void renew() {
    easy.reset(curl_easy_init());
    if (!easy) throw std::bad_alloc();
    failed = false;
  }

  template <class Value>
  void set(CURLoption option, Value value) {
    const CURLcode code = curl_easy_setopt(easy.get(), option, value);
    if (code == CURLE_OUT_OF_MEMORY) throw std::bad_alloc();
    if (code != CURLE_OK) {
      throw std::runtime_error("libcurl refuses option " + std::to_string(option) + ": " +
                               curl_easy_strerror(code));
    }
  }

  void prepare(const HttpRequest& request, const HeaderList& headers, Exchange& exchange);
  void prepare_method(const HttpRequest& request, Exchange& exchange);
  void prepare_trust();
  CURLcode run(Exchange& exchange);
  void check_stopped(const Exchange& exchange) const;

  TransportOptions options;
  /// Of the connections that `multi` keeps; outlives it.
  std::vector<curl_socket_t> sockets;
  std::unique_ptr<CURLM, MultiDeleter> multi;
  std::unique_ptr<CURL, EasyDeleter> easy;
  std::array<char, CURL_ERROR_SIZE> detail{};
  bool stalled = false;
  bool failed = false;
  unsigned sends = 0;
};

void HttpClient::State::prepare_method(const HttpRequest& request, Exchange& exchange) {
  if (request.body != nullptr) {
    // Also for POST: the only way that takes the body from a callback with any length.
    set(CURLOPT_UPLOAD, 1L);
    set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(request.body->size_bytes()));
    set(CURLOPT_READFUNCTION, &on_send);
    set(CURLOPT_READDATA, &exchange);
    set(CURLOPT_SEEKFUNCTION, &on_rewind);
    set(CURLOPT_SEEKDATA, &exchange);
    set(CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024L);
  }
  if (request.method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (request.method != "GET") {
    set(CURLOPT_CUSTOMREQUEST, request.method.c_str());
  }
}

/// Without a file that was given, the variables of curl(1).
void HttpClient::State::prepare_trust() {
  if (!options.ca_file.empty()) {
    set(CURLOPT_CAINFO, options.ca_file.c_str());
    set(CURLOPT_CAPATH, static_cast<const char*>(nullptr));
  } else if (const auto bundle = variable("CURL_CA_BUNDLE")) {
    set(CURLOPT_CAINFO, bundle->c_str());
  } else {
    if (const auto directory = variable("SSL_CERT_DIR")) set(CURLOPT_CAPATH, directory->c_str());
    if (const auto file = variable("SSL_CERT_FILE")) set(CURLOPT_CAINFO, file->c_str());
  }
}

void HttpClient::State::prepare(const HttpRequest& request, const HeaderList& headers,
                                Exchange& exchange) {
  // A handle that found no host keeps its buffer, whose size can then not be set any more.
  if (failed) {
    renew();
  } else {
    curl_easy_reset(easy.get());
  }
  detail[0] = '\0';
  stalled = false;
  set(CURLOPT_URL, request_url(request.url).c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  prepare_method(request, exchange);
  set(CURLOPT_FOLLOWLOCATION, 0L);
  if (request.bypass_proxy) set(CURLOPT_NOPROXY, "*");
  set(CURLOPT_PATH_AS_IS, 1L);
  set(CURLOPT_HTTPHEADER, headers.get());
  set(CURLOPT_USERAGENT, (std::string("mad-tools/") + k_version).c_str());
  // One stream at a time: HTTP/2 would only add its windows and buffers.
  set(CURLOPT_HTTP_VERSION, static_cast<long>(CURL_HTTP_VERSION_1_1));
  set(CURLOPT_HTTP_TRANSFER_DECODING, 1L);
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
#if LIBCURL_VERSION_NUM >= 0x075700
  // A name that is still looked up is left to its thread: neither a signal nor a time limit
  // could end the wait for it.
  set(CURLOPT_QUICK_EXIT, 1L);
#endif
  set(CURLOPT_BUFFERSIZE, 512L * 1024L);
  set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(options.connect_timeout.count()));
  set(CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  set(CURLOPT_ERRORBUFFER, detail.data());
  set(CURLOPT_HEADERFUNCTION, &on_head);
  set(CURLOPT_HEADERDATA, &exchange);
  set(CURLOPT_WRITEFUNCTION, &on_body);
  set(CURLOPT_WRITEDATA, &exchange);
  set(CURLOPT_PREREQFUNCTION, &on_request);
  set(CURLOPT_PREREQDATA, &exchange);
  set(CURLOPT_OPENSOCKETFUNCTION, &on_open_socket);
  set(CURLOPT_OPENSOCKETDATA, &exchange);
  set(CURLOPT_CLOSESOCKETFUNCTION, &on_close_socket);
  set(CURLOPT_CLOSESOCKETDATA, &sockets);
  // A connection kept from before would not pass on_open_socket.
  if (request.redirected) set(CURLOPT_FRESH_CONNECT, 1L);
  prepare_trust();
  if (!request.with_credentials) return;
  if (options.use_netrc) set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_OPTIONAL));
  if (!request.url.userinfo.empty()) {
    const std::string& userinfo = request.url.userinfo;
    const auto colon = userinfo.find(':');
    const auto decoded = [](const std::string& text) {
      return percent_decode(text).value_or(text);
    };
    set(CURLOPT_USERNAME, decoded(userinfo.substr(0, colon)).c_str());
    if (colon != std::string::npos) {
      set(CURLOPT_PASSWORD, decoded(userinfo.substr(colon + 1)).c_str());
    }
  }
}

void HttpClient::State::check_stopped(const Exchange& exchange) const {
  if (exchange.past_interruption) return;
  check_interrupted();
  if (options.stop) options.stop->check();
}

CURLcode HttpClient::State::run(Exchange& exchange) {
  for (;;) {
    int running = 0;
    if (curl_multi_perform(multi.get(), &running) != CURLM_OK) throw std::bad_alloc();
    if (running == 0) {
      int left = 0;
      const CURLMsg* message = curl_multi_info_read(multi.get(), &left);
      return message != nullptr ? message->data.result : CURLE_RECV_ERROR;
    }
    curl_off_t connected = 0;
    curl_easy_getinfo(easy.get(), CURLINFO_PRETRANSFER_TIME_T, &connected);
    const auto now = Clock::now();
    if (connected == 0) exchange.last_byte = now;
    auto end = exchange.last_byte + options.stall_timeout;
    if (exchange.deadline) end = std::min(end, *exchange.deadline);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(end - now);
    if (left.count() <= 0) {
      stalled = end != exchange.deadline;
      return CURLE_OPERATION_TIMEDOUT;
    }
    if (!exchange.head_done) acknowledge_at_once(sockets);
    std::array<curl_waitfd, 2> wake{};
    unsigned extra = 0;
    const auto wake_by = [&](int fd) {
      if (fd >= 0) wake[extra++] = {fd, CURL_WAIT_POLLIN, 0};
    };
    if (!exchange.past_interruption) {
      wake_by(interrupt_fd());
      if (options.stop) wake_by(options.stop->fd());
    }
    curl_multi_poll(multi.get(), wake.data(), extra,
                    static_cast<int>(std::min<std::int64_t>(left.count() + 1, 1000)), nullptr);
    check_stopped(exchange);
  }
}

HttpClient::HttpClient(const TransportOptions& options)
    : state_(std::make_unique<State>(options)) {}
HttpClient::~HttpClient() = default;

unsigned HttpClient::sends() const {
  return state_->sends;
}

std::optional<HttpFailure> HttpClient::perform(const HttpRequest& request, HttpHandler& handler) {
  HeaderList headers;
  for (const std::string& line : request.headers) append(headers, line);
  if (request.with_credentials) {
    for (const std::string& line : request.origin_headers) append(headers, line);
  }
  append(headers, "Accept-Encoding: " + request.accept_encoding);
  if (request.body != nullptr) append(headers, "Expect:");
  Exchange exchange;
  exchange.handler = &handler;
  exchange.body = request.body;
  exchange.sockets = &state_->sockets;
  exchange.past_interruption = request.past_interruption;
  if (request.time_limit.count() != 0) exchange.deadline = Clock::now() + request.time_limit;
  exchange.refuse_metadata = request.redirected;
  state_->prepare(request, headers, exchange);

  CURLM* multi = state_->multi.get();
  CURL* easy = state_->easy.get();
  if (curl_multi_add_handle(multi, easy) != CURLM_OK) throw std::bad_alloc();
  struct Remover {
    CURLM* multi;
    CURL* easy;
    ~Remover() { curl_multi_remove_handle(multi, easy); }
  } const remover{multi, easy};

  state_->check_stopped(exchange);
  state_->failed = true;
  state_->sends = 0;
  const CURLcode code = state_->run(exchange);
  state_->sends = exchange.sends;
  state_->failed = code != CURLE_OK;
  if (exchange.thrown) std::rethrow_exception(exchange.thrown);
  if (exchange.declined || code == CURLE_OK) {
    if (exchange.head_done) return std::nullopt;
    return HttpFailure{false, "http-status", "the answer is not valid HTTP", {}};
  }
  if (exchange.refused_metadata) {
    return HttpFailure{false,
                       "http-status",
                       "redirected to a link-local or metadata address, which is never followed",
                       {}};
  }
  if (state_->stalled) {
    const auto seconds = static_cast<double>(state_->options.stall_timeout.count()) / 1000;
    std::string text = std::to_string(seconds);
    text.resize(text.find('.') + 2);
    return HttpFailure{true, "timeout", "no byte came for " + text + " s", {}};
  }
  if (exchange.head_bytes > k_max_head_bytes) {
    return HttpFailure{false, "http-status", "the answer's headers are longer than 256 KiB", {}};
  }
  return failure_of(easy, code, state_->detail.data());
}

void MemoryBody::read(std::uint64_t offset, MutableBytes into) const {
  if (into.empty()) return;
  std::memcpy(into.data(), bytes_.data() + offset, into.size());
}

HttpClientPool::Lease HttpClientPool::lease() {
  {
    const std::lock_guard lock(mutex_);
    if (!idle_.empty()) {
      Lease lease(idle_.back().release(), GiveBack{this});
      idle_.pop_back();
      return lease;
    }
    // Room to give back without an allocation.
    idle_.reserve(++made_);
  }
  return {new HttpClient(options_), GiveBack{this}};
}

void HttpClientPool::GiveBack::operator()(HttpClient* client) const noexcept {
  const std::lock_guard lock(pool->mutex_);
  pool->idle_.emplace_back(client);
}

}  // namespace mad
