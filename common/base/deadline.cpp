#include "base/deadline.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/interrupt.hpp"
#include "base/log.hpp"

namespace mad {
namespace {

using std::chrono::nanoseconds;

constexpr nanoseconds k_least_margin = std::chrono::milliseconds(50);
constexpr nanoseconds k_most_margin = std::chrono::milliseconds(1000);
/// The margin is counted out in quarters: the work ends with the first tick, last words with
/// the third, the process with the fourth, a quarter before the deadline.
constexpr int k_ticks = 4;
constexpr int k_tick_of_last_words = 3;

std::atomic<int> ticks{0};
std::atomic<bool> is_set{false};
std::atomic<bool> is_hard{false};
std::atomic<bool> was_late{false};
/// CLOCK_MONOTONIC, when the work ends.
std::atomic<std::int64_t> work_ends_ns{0};
timer_t ticking{};
timer_t killing{};
bool has_ticking = false;
bool has_killing = false;
std::array<char, 128> last_message{};

thread_local int past_depth = 0;

std::int64_t clock_ns(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

timespec timespec_of(std::int64_t ns) {
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}

extern "C" void tick(int signal_number, siginfo_t* info, void*) {
  const int saved_errno = errno;
  if (info->si_code != SI_TIMER) {
    note_ending_signal(signal_number);
  } else {
    const int now = ticks.fetch_add(1 + info->si_overrun) + 1 + info->si_overrun;
    if (now >= k_ticks && is_hard) {
      [[maybe_unused]] const ssize_t said =
          write(STDERR_FILENO, last_message.data(), std::strlen(last_message.data()));
      _exit(static_cast<int>(ExitCode::deadline));
    }
    wake_waiters();
  }
  errno = saved_errno;
}

/// False where the system gives no more timers.
bool arm(timer_t& timer, int signal_number, std::int64_t first_ns, std::int64_t then_every_ns) {
  sigevent event{};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = signal_number;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0) return false;
  const itimerspec times = {timespec_of(then_every_ns), timespec_of(first_ns)};
  return timer_settime(timer, TIMER_ABSTIME, &times, nullptr) == 0;
}

}  // namespace

void set_deadline(nanoseconds left, DeadlineEnd end) {
  const std::int64_t margin = std::clamp(left / 4, k_least_margin, k_most_margin).count();
  const std::int64_t now = clock_ns(CLOCK_MONOTONIC);
  work_ends_ns = now + left.count() - margin;
  is_hard = end == DeadlineEnd::hard;
  is_set = true;
  std::snprintf(last_message.data(), last_message.size(),
                "%s: error: deadline: it is here, and something does not end\n",
                tool_name().c_str());
  if (work_ends_ns <= now) {
    // Nothing has begun that would have to be ended by force.
    was_late = true;
    ticks = 1;
    wake_waiters();
    return;
  }
  struct sigaction action {};
  action.sa_sigaction = tick;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGALRM, &action, nullptr);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, SIGALRM);
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  has_ticking = arm(ticking, SIGALRM, work_ends_ns, is_hard ? margin / k_ticks : 0);
  if (!has_ticking) {
    log_warning(std::string("deadline: cannot make a timer: ") + std::strerror(errno) +
                "; going on without it");
  }
  if (end != DeadlineEnd::hard) return;
  // A handler does not run while the process hangs in the kernel; SIGKILL gets through where
  // anything does.
  has_killing = arm(killing, SIGKILL, now + left.count(), 0);
}

void end_deadline() {
  if (!is_set.exchange(false)) return;
  if (has_ticking) timer_delete(ticking);
  if (has_killing) timer_delete(killing);
  has_ticking = has_killing = false;
  // Also discards one that is pending, which would otherwise wait for who comes after us.
  std::signal(SIGALRM, SIG_IGN);
  ticks = 0;
  forget_wakes();
}

bool has_deadline() {
  return is_set;
}

std::optional<nanoseconds> time_left() {
  if (!is_set) return std::nullopt;
  return nanoseconds(work_ends_ns - clock_ns(CLOCK_MONOTONIC));
}

bool deadline_passed() {
  return is_set && ticks.load() > 0;
}

void check_deadline() {
  const int now = ticks.load(std::memory_order_relaxed);
  if (now == 0 || (past_depth > 0 && now < k_tick_of_last_words)) return;
  throw DeadlinePassed{};
}

Error deadline_error() {
  if (was_late) {
    return {ExitCode::deadline, "deadline-passed", "deadline",
            "it had passed before anything was begun",
            "an old MAD_DEADLINE in the environment has to be unset"};
  }
  return {ExitCode::deadline, "deadline-passed", "deadline", "there is no time left"};
}

PastDeadline::PastDeadline() {
  ++past_depth;
}
PastDeadline::~PastDeadline() {
  --past_depth;
}
bool past_deadline() {
  return past_depth > 0;
}

std::optional<nanoseconds> parse_seconds(std::string_view text) {
  constexpr std::size_t k_most_digits = 11;
  constexpr std::size_t k_ns_digits = 9;
  const auto point = text.find('.');
  const std::string_view whole = text.substr(0, point);
  const std::string_view fraction =
      point == std::string_view::npos ? std::string_view() : text.substr(point + 1);
  const auto all_digits = [](std::string_view part) {
    return part.find_first_not_of("0123456789") == std::string_view::npos;
  };
  if (whole.size() + fraction.size() == 0 || whole.size() > k_most_digits || !all_digits(whole) ||
      !all_digits(fraction)) {
    return std::nullopt;
  }
  std::int64_t ns = 0;
  for (const char c : whole) ns = ns * 10 + (c - '0');
  // More would not fit, and nothing waits for centuries.
  constexpr std::int64_t k_most_seconds = 8'000'000'000;
  ns = std::min(ns, k_most_seconds);
  for (std::size_t i = 0; i < k_ns_digits; ++i) {
    ns = ns * 10 + (i < fraction.size() ? fraction[i] - '0' : 0);
  }
  return nanoseconds(ns);
}

std::optional<nanoseconds> chosen_deadline(const std::optional<std::string>& option) {
  std::optional<nanoseconds> left;
  if (option) {
    left = parse_seconds(*option);
    if (!left) {
      throw Error(
          ExitCode::usage, "usage", "usage",
          "--deadline: expected seconds such as 90 or 0.5, found '" + printable(*option) + "'");
    }
  }
  const char* variable = std::getenv("MAD_DEADLINE");
  if (variable == nullptr || *variable == '\0') return left;
  const auto at = parse_seconds(variable);
  if (!at) {
    log_warning("MAD_DEADLINE: expected a UNIX time in seconds, found '" + printable(variable) +
                "'; going on without it");
    return left;
  }
  const nanoseconds until(at->count() - clock_ns(CLOCK_REALTIME));
  return left ? std::min(*left, until) : until;
}

bool outlived_deadline() {
  const char* variable = std::getenv("MAD_DEADLINE");
  const auto at = variable == nullptr ? std::nullopt : parse_seconds(variable);
  return at && at->count() <= clock_ns(CLOCK_REALTIME) + k_most_margin.count();
}

}  // namespace mad
