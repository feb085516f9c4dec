#include "notice/watch_command.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstring>
#include <deque>
#include <memory>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "base/tool.hpp"
#include "credentials/service.hpp"
#include "notice/aws.hpp"
#include "notice/azure.hpp"
#include "notice/find.hpp"
#include "notice/gcp.hpp"
#include "notice/watch.hpp"
#include "process/child.hpp"
#include "process/target.hpp"
#include "transport/http_port.hpp"

namespace mad {
namespace {

/// Notices that wait for the command to end; more of them say nothing new.
constexpr std::size_t k_max_waiting = 16;
/// For whoever reads standard output to make room for a line.
constexpr int k_stdout_patience_ms = 200;

int signal_number_of(const std::string& word) {
  const std::string name = word.rfind("SIG", 0) == 0 ? word.substr(3) : word;
  for (int number = 1; number < SIGRTMIN; ++number) {
    const char* known = sigabbrev_np(number);
    if (known != nullptr && name == known) return number;
  }
  usage_error("--signal: expected a signal's name, such as TERM, found " + printable(word, 60));
}

std::string endpoint_of(const WatchOptions& options) {
  std::string endpoint = options.endpoint;
  while (!endpoint.empty() && endpoint.back() == '/') endpoint.pop_back();
  if (!endpoint.empty() && !parse_service_url(endpoint)) {
    usage_error("--endpoint: expected an http or https URL");
  }
  return endpoint;
}

Cloud choose_cloud(const WatchOptions& options, const std::string& endpoint) {
  if (options.provider != "auto") {
    const auto cloud = parse_cloud(options.provider);
    if (!cloud) usage_error("--provider: expected auto, aws, gcp or azure");
    return *cloud;
  }
  const auto found = find_cloud(endpoint);
  if (found) return *found;
  throw Error(ExitCode::no_provider, "no-provider",
              endpoint.empty() ? std::string("this machine") : printable(endpoint),
              "no metadata service of aws, gcp or azure answers",
              "--provider says which cloud this is, and keeps asking");
}

Feeds feeds_of(Cloud cloud, const Surroundings& surroundings, const NoticeSettings& settings) {
  switch (cloud) {
    case Cloud::aws:
      return aws_feeds(surroundings, settings);
    case Cloud::gcp:
      return gcp_feeds(surroundings, settings);
    default:
      return azure_feeds(surroundings, settings);
  }
}

/// A line to standard output, whole; false where nobody reads there.  A reader that has stopped
/// must not keep the notice from those that act on it.
bool print_notice(const Notice& notice) {
  pollfd output = {STDOUT_FILENO, POLLOUT, 0};
  if (poll(&output, 1, k_stdout_patience_ms) == 0) return false;
  const std::string line = format_notice(notice);
  std::string_view rest = line;
  while (!rest.empty()) {
    const ssize_t n = write(STDOUT_FILENO, rest.data(), rest.size());
    if (n < 0 && errno != EINTR) return false;
    if (n > 0) rest.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

class Watcher {
 public:
  Watcher(const WatchOptions& options, const std::vector<std::string>& command,
          std::string endpoint)
      : kinds_(parse_notice_kinds(options.on)),
        signal_number_(signal_number_of(options.signal)),
        command_(command),
        acknowledge_(options.acknowledge),
        once_(options.once) {
    settings_.endpoint = std::move(endpoint);
    settings_.vm_name = options.vm_name;
    settings_.interval = std::chrono::milliseconds(static_cast<int>(options.interval_s * 1000));
    if (options.pid) target_.emplace(*options.pid);
    transport_.stop = std::make_shared<Stop>();
    // The questions bound their own time; those that wait are silent meanwhile.
    transport_.stall_timeout = std::chrono::hours(1);
    port_.emplace(transport_);
    surroundings_.http = &*port_;
  }

  ExitCode run(Cloud cloud, Report& report) {
    cloud_ = cloud;
    Watch watch(feeds_of(cloud, surroundings_, settings_), transport_.stop);
    try {
      for (;;) {
        check_interrupted();
        for (const Notice& notice : watch.take()) {
          report.set("notices", ++count_);
          handle(notice);
        }
        if (child_) look_after_command();
        if (!child_ && !waiting_.empty()) start_command();
        if (once_ && done_) return static_cast<ExitCode>(status_);
        if (target_ && has_ended(target_->fd())) return ExitCode::ok;
        wait_for_something(watch.fd());
      }
    } catch (...) {
      // A signal, or a deadline of ours.  It saves what there is to save.
      if (child_) {
        log_note("waiting for " + printable(command_[0]) + " to end");
        child_->wait();
      }
      throw;
    }
  }

 private:
  void handle(const Notice& notice) {
    log_note("notice of " + std::string(name_of(notice.cloud)) + ": " +
             std::string(name_of(notice.kind)) + deadline_words(notice));
    if (!print_notice(notice) && !deaf_) {
      deaf_ = true;
      log_warning("standard output: nobody takes what is written");
    }
    if (std::find(kinds_.begin(), kinds_.end(), notice.kind) == kinds_.end()) return;
    if (target_) send_signal();
    if (command_.empty()) {
      done_ = true;
    } else if (waiting_.size() < k_max_waiting) {
      waiting_.push_back(notice);
    }
  }

  std::string deadline_words(const Notice& notice) const {
    if (!notice.deadline) return {};
    return ", in " + std::to_string(std::max<std::int64_t>(0, *notice.deadline - now())) + " s";
  }

  void send_signal() {
    try {
      static_cast<void>(target_->signal(signal_number_));
    } catch (const Error& error) {
      log_error(error);
    }
  }

  void start_command() {
    const Notice notice = waiting_.front();
    waiting_.pop_front();
    running_for_ = notice;
    try {
      child_ = std::make_unique<ChildCommand>(command_, notice_variables(notice, now()));
    } catch (const Error& error) {
      log_error(error);
      finished(static_cast<int>(ExitCode::cannot_execute));
    }
  }

  void look_after_command() {
    const auto status = child_->status();
    if (!status) return;
    child_.reset();
    if (*status != 0) {
      log_error({ExitCode::io, "command-failed", printable(command_[0]),
                 "ended with " + std::to_string(*status)});
    } else if (acknowledge_ && cloud_ == Cloud::azure) {
      acknowledge();
    }
    finished(*status);
  }

  void acknowledge() {
    try {
      acknowledge_azure_event(surroundings_, settings_, running_for_.event_id);
      log_note("acknowledged event " + printable(running_for_.event_id));
    } catch (const Error& error) {
      log_error(error);
    }
  }

  void finished(int status) {
    status_ = status;
    done_ = true;
  }

  static bool has_ended(int pidfd) {
    pollfd one = {pidfd, POLLIN, 0};
    return poll(&one, 1, 0) > 0;
  }

  void wait_for_something(int notices_fd) const {
    std::array<pollfd, 4> all = {{{notices_fd, POLLIN, 0},
                                  {interrupt_fd(), POLLIN, 0},
                                  {target_ ? target_->fd() : -1, POLLIN, 0},
                                  {child_ ? child_->fd() : -1, POLLIN, 0}}};
    // Without a pidfd the command's end is looked for.
    const bool look_again = child_ && child_->fd() < 0;
    poll(all.data(), all.size(), look_again ? 50 : -1);
  }

  std::int64_t now() const { return surroundings_.now(); }

  std::vector<NoticeKind> kinds_;
  int signal_number_;
  std::vector<std::string> command_;
  bool acknowledge_;
  bool once_;
  NoticeSettings settings_;
  TransportOptions transport_;
  std::optional<ClientPort> port_;
  Surroundings surroundings_;
  std::optional<TargetProcess> target_;
  Cloud cloud_ = Cloud::aws;
  std::deque<Notice> waiting_;
  Notice running_for_;
  std::unique_ptr<ChildCommand> child_;
  std::uint64_t count_ = 0;
  bool deaf_ = false;
  /// A notice that was chosen has been handled, by a command that ended with `status_`.
  bool done_ = false;
  int status_ = 0;
};

}  // namespace

ExitCode watch_command(const WatchOptions& options, const std::vector<std::string>& command,
                       Report& report) {
  if (options.pid && !command.empty()) usage_error("--pid: a command after '--' excludes it");
  if (options.pid && *options.pid < 1) usage_error("--pid: expected a process's number");
  if (options.acknowledge && command.empty()) {
    usage_error("--acknowledge: expected a command after '--', whose success it follows");
  }
  const std::string endpoint = endpoint_of(options);
  Watcher watcher(options, command, endpoint);
  const Cloud cloud = choose_cloud(options, endpoint);
  report.set("provider", name_of(cloud));
  report.set("notices", std::uint64_t{0});
  log_note("watching for notices of " + std::string(name_of(cloud)));
  return watcher.run(cloud, report);
}

}  // namespace mad
