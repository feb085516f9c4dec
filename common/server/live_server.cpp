#include "server/live_server.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <exception>
#include <optional>
#include <utility>

#include "base/error.hpp"
#include "base/log.hpp"
#include "credentials/encoding.hpp"
#include "io/file.hpp"
#include "io/scratch.hpp"
#include "transport/http_client.hpp"
#include "transport/url.hpp"

namespace mad {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds k_most_connect_time{5'000};
/// Of the last request: long for a server that lives, short for a machine that does not.
constexpr milliseconds k_most_resume_time{5'000};
constexpr std::size_t k_shown_bytes = 300;
constexpr std::size_t k_most_answer_bytes = std::size_t{1} << 20U;
constexpr const char* k_made_for = "server-state";
constexpr const char* k_saved_name = "state.npz";

bool is_loopback(const std::string& host) {
  in_addr v4{};
  in6_addr v6{};
  if (inet_pton(AF_INET, host.c_str(), &v4) == 1) return (ntohl(v4.s_addr) >> 24U) == 127;
  if (inet_pton(AF_INET6, host.c_str(), &v6) == 1) return IN6_IS_ADDR_LOOPBACK(&v6) != 0;
  return host == "localhost";
}

Url server_url(const std::string& text) {
  const auto refuse = [&](const std::string& what) {
    throw Error(ExitCode::usage, "usage", display_url_text(text), what);
  };
  Url url = parse_url(text);
  if (url.scheme != "http" || !is_loopback(url.host)) {
    refuse(
        "expected a server on this machine, such as http://127.0.0.1:8000, which saves its state "
        "to a file");
  }
  if (!url.userinfo.empty() || !url.query.empty()) refuse("expected neither user nor query");
  while (!url.path.empty() && url.path.back() == '/') url.path.pop_back();
  return url;
}

std::vector<std::string> request_headers() {
  const char* token = std::getenv("MADDENING_API_TOKEN");
  if (token == nullptr || *token == '\0') return {};
  const std::string_view text = token;
  if (std::any_of(text.begin(), text.end(), [](char c) { return c <= ' ' || c > '~'; })) {
    throw Error(ExitCode::usage, "usage", "MADDENING_API_TOKEN",
                "expected a token without blanks and control characters");
  }
  return {"Authorization: Bearer " + std::string(text)};
}

struct Answer {
  int status = 0;
  std::string body;
};

class AnswerTaker final : public HttpHandler {
 public:
  explicit AnswerTaker(std::string subject) : subject_(std::move(subject)) {}
  bool head(const HttpHead& head) override {
    answer.status = head.status;
    return true;
  }
  void body(Bytes bytes) override {
    size_bytes_ += bytes.size();
    if (size_bytes_ > k_most_answer_bytes) {
      throw Error(ExitCode::remote, "bad-answer", subject_, "the answer is longer than 1 MiB");
    }
    const std::size_t room = k_shown_bytes - std::min(k_shown_bytes, answer.body.size());
    answer.body += as_text(bytes.first(std::min(room, bytes.size())));
  }

  Answer answer;

 private:
  std::string subject_;
  std::size_t size_bytes_ = 0;
};

TransportOptions client_options(milliseconds timeout) {
  TransportOptions options;
  options.connect_timeout = std::min(timeout, k_most_connect_time);
  options.stall_timeout = timeout;
  return options;
}

}  // namespace

bool is_server(const std::string& state) {
  const auto scheme = scheme_of(state);
  return scheme && *scheme != "file";
}

struct LiveState::State {
  State(const std::string& text, const LiveServerOptions& chosen)
      : url(server_url(text)),
        subject(display_url(url)),
        options(chosen),
        headers(request_headers()),
        client(client_options(chosen.timeout)) {}
  ~State() {
    if (is_held) resume();
  }

  std::optional<HttpFailure> post(const std::string& endpoint, milliseconds time_limit,
                                  bool past_interruption, Answer& answer);
  Answer ask(const std::string& endpoint);
  [[noreturn]] void refuse(const std::string& endpoint, const Answer& answer) const;
  void pause();
  void save(const std::string& save_dir);
  void resume() noexcept;

  Url url;
  std::string subject;
  LiveServerOptions options;
  std::vector<std::string> headers;
  HttpClient client;
  Fd parent;
  std::optional<ScratchDirectory> scratch;
  std::string saved_path;
  bool is_held = false;
  std::string_view runner = "unknown";
};

std::optional<HttpFailure> LiveState::State::post(const std::string& endpoint,
                                                  milliseconds time_limit, bool past_interruption,
                                                  Answer& answer) {
  const MemoryBody nothing({});
  HttpRequest request;
  request.method = "POST";
  request.url = url;
  const auto query = endpoint.find('?');
  request.url.path += endpoint.substr(0, query);
  if (query != std::string::npos) request.url.query = endpoint.substr(query);
  request.headers = headers;
  request.body = &nothing;
  request.bypass_proxy = true;
  request.past_interruption = past_interruption;
  request.time_limit = time_limit;
  AnswerTaker taker(subject);
  auto failure = client.perform(request, taker);
  answer = std::move(taker.answer);
  return failure;
}

Answer LiveState::State::ask(const std::string& endpoint) {
  Answer answer;
  if (const auto failure = post(endpoint, options.timeout, false, answer)) {
    const bool not_there = client.sends() == 0;
    if (not_there) is_held = false;
    throw Error(ExitCode::remote, failure->reason, subject, failure->message,
                not_there ? "the server has to be running, and listening on this port" : "");
  }
  return answer;
}

void LiveState::State::refuse(const std::string& endpoint, const Answer& answer) const {
  const bool denied = answer.status == 401 || answer.status == 403;
  const std::string said = answer.body.empty() ? "" : ": " + printable(answer.body, k_shown_bytes);
  throw Error(denied ? ExitCode::access_denied : ExitCode::remote,
              denied ? "access-denied" : "http-status", subject,
              "the server answers " + std::to_string(answer.status) + " to " + endpoint + said,
              denied ? "MADDENING_API_TOKEN gives the token that it wants" : "");
}

void LiveState::State::pause() {
  // Before the answer: what became of a request that was cut off is not known.
  is_held = true;
  const Answer answer = ask("/sim/pause");
  if (answer.status / 100 == 2) return;
  is_held = false;
  if (answer.status != 409) refuse("/sim/pause", answer);
  runner = "not-started";
  log_verbose(subject + ": its runner is not started; nothing to pause");
}

void LiveState::State::save(const std::string& save_dir) {
  const Answer answer = ask("/checkpoint/save?path=" + percent_encode(saved_path));
  if (answer.status / 100 != 2) {
    try {
      refuse("/checkpoint/save", answer);
    } catch (Error& error) {
      if (error.hint.empty()) {
        error.hint = "it has to be able to write below " + printable(save_dir) +
                     ": as the same user, or see --save-dir";
      }
      throw;
    }
  }
  struct ::stat status {};
  if (fstatat(scratch->fd(), k_saved_name, &status, AT_SYMLINK_NOFOLLOW) == 0) {
    if (S_ISREG(status.st_mode)) return;
    throw Error(
        ExitCode::refused, "not-regular", subject,
        "expected it to save a regular file, found something else at " + printable(saved_path));
  }
  if (errno != ENOENT) throw output_error("stat", saved_path, errno);
  throw Error(ExitCode::not_found, "state-missing", subject,
              "the server says that it saved its state as " + printable(saved_path) +
                  ", and there is no such file",
              "it has to see the same files as this tool; in a container, --save-dir names a "
              "directory that both have under one name");
}

void LiveState::State::resume() noexcept {
  is_held = false;
  try {
    Answer answer;
    std::string problem;
    if (const auto failure =
            post("/sim/resume", std::min(options.timeout, k_most_resume_time), true, answer)) {
      problem = failure->message;
    } else if (answer.status / 100 != 2) {
      problem = "the server answers " + std::to_string(answer.status);
    }
    if (problem.empty()) {
      runner = "resumed";
      return;
    }
    log_warning(subject + ": the simulation may still be paused: " + problem);
  } catch (const std::exception& error) {
    log_warning(subject + ": the simulation may still be paused: " + error.what());
  }
}

LiveState::LiveState(const std::string& url, const std::string& save_dir,
                     const LiveServerOptions& options)
    : state_(std::make_unique<State>(url, options)) {
  State& s = *state_;
  s.parent = Fd(open(save_dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!s.parent) throw output_error("open the directory", save_dir, errno);
  remove_dead_scratch(s.parent.get(), k_made_for, ScratchOwner::this_user);
  s.scratch.emplace(s.parent.get(), k_made_for, save_dir);
  s.saved_path = absolute_path(save_dir) + '/' + s.scratch->name() + '/' + k_saved_name;
  s.pause();
  s.save(save_dir);
  if (s.is_held && !s.options.leave_paused) s.resume();
}

LiveState::~LiveState() = default;

const std::string& LiveState::path() const {
  return state_->saved_path;
}

const std::string& LiveState::subject() const {
  return state_->subject;
}

void LiveState::finish() {
  if (!state_->is_held) return;
  state_->is_held = false;
  state_->runner = "paused";
}

std::string_view LiveState::runner() const {
  return state_->runner;
}

}  // namespace mad
