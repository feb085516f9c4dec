#include "notice/watch_command.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <climits>
#include <csignal>
#include <cstring>
#include <deque>
#include <memory>
#include <utility>

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
/// For whoever reads standard output to take a line.
constexpr std::chrono::milliseconds k_stdout_patience{200};

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

/// Lines to standard output, each whole and after the one before it.  A reader that has stopped
/// holds up whoever prints for no longer than it is waited for, and not at all once a signal
/// has arrived; the descriptor is shared with others, who may not expect it to be non-blocking.
class Printer {
 public:
  using Clock = std::chrono::steady_clock;

  /// What is not taken in time is left for flush(); a line behind that is dropped.
  void print(const std::string& line) {
    const auto end = Clock::now() + k_stdout_patience;
    flush(end);
    if (rest_.empty()) rest_ = line;
    flush(end);
    if (!rest_.empty()) complain();
  }

  /// Waits for room until `end` at the latest.
  void flush(Clock::time_point end) {
    while (!rest_.empty()) {
      const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
      std::array<pollfd, 2> wake = {pollfd{STDOUT_FILENO, POLLOUT, 0},
                                    pollfd{interrupt_fd(), POLLIN, 0}};
      const int ready =
          poll(wake.data(), wake.size(), static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
      check_interrupted();
      if (ready == 0) return;
      if (wake[0].revents == 0) continue;
      // A pipe that polls writable has room for no more.
      const ssize_t n =
          write(STDOUT_FILENO, rest_.data(), std::min<std::size_t>(rest_.size(), PIPE_BUF));
      if (n > 0) rest_.erase(0, static_cast<std::size_t>(n));
      if (n >= 0 || errno == EINTR || errno == EAGAIN) continue;
      rest_.clear();
      complain();
    }
  }

  /// To be polled for room, or -1.
  int fd() const { return rest_.empty() ? -1 : STDOUT_FILENO; }

 private:
  void complain() {
    if (!std::exchange(deaf_, true)) {
      log_warning("standard output: nobody takes what is written");
    }
  }

  std::string rest_;
  bool deaf_ = false;
};

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
        printer_.flush(Printer::Clock::now());
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
    // Before the signal, whose receiver may look for it.
    printer_.print(format_notice(notice));
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
    std::array<pollfd, 5> all = {{{notices_fd, POLLIN, 0},
                                  {interrupt_fd(), POLLIN, 0},
                                  {target_ ? target_->fd() : -1, POLLIN, 0},
                                  {child_ ? child_->fd() : -1, POLLIN, 0},
                                  {printer_.fd(), POLLOUT, 0}}};
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
  Printer printer_;
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
