#include "base/interrupt.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>

#include "base/deadline.hpp"

namespace mad {
namespace {

constexpr std::array<int, 4> k_ending = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
/// The failing write(2) says it as well.
constexpr std::array<int, 2> k_ignored = {SIGPIPE, SIGXFSZ};

std::atomic<int> pending_signal{0};
std::array<int, 2> wake_pipe = {-1, -1};

struct Original {
  std::array<struct sigaction, k_ending.size()> ending;
  std::array<struct sigaction, k_ignored.size()> ignored;
  struct sigaction alarm;
  sigset_t mask;
};
Original original;

extern "C" void note_signal(int signal_number) {
  const int saved_errno = errno;
  note_ending_signal(signal_number);
  errno = saved_errno;
}

}  // namespace

void note_ending_signal(int signal_number) noexcept {
  int none = 0;
  pending_signal.compare_exchange_strong(none, signal_number);
  wake_waiters();
}

void wake_waiters() noexcept {
  const char byte = 0;
  [[maybe_unused]] const ssize_t written = write(wake_pipe[1], &byte, 1);
}

void forget_wakes() noexcept {
  std::array<char, 64> bytes;
  while (read(wake_pipe[0], bytes.data(), bytes.size()) > 0) {
  }
  // One that came meanwhile, and whose byte may be gone, too.
  if (pending_signal.load() != 0) wake_waiters();
}

void install_interrupt_handlers() {
  if (wake_pipe[0] >= 0) return;
  if (pipe2(wake_pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) std::abort();
  pthread_sigmask(SIG_SETMASK, nullptr, &original.mask);

  struct sigaction ignore {};
  ignore.sa_handler = SIG_IGN;
  for (std::size_t i = 0; i < k_ignored.size(); ++i) {
    sigaction(k_ignored[i], &ignore, &original.ignored[i]);
  }

  sigaction(SIGALRM, nullptr, &original.alarm);

  struct sigaction note {};
  note.sa_handler = note_signal;
  for (std::size_t i = 0; i < k_ending.size(); ++i) {
    sigaction(k_ending[i], nullptr, &original.ending[i]);
    if (original.ending[i].sa_handler != SIG_IGN) sigaction(k_ending[i], &note, nullptr);
  }
}

int interrupt_fd() {
  return past_deadline() ? -1 : wake_pipe[0];
}

void check_interrupted() {
  if (const int signal_number = pending_signal.load()) throw Interrupted{signal_number};
  check_deadline();
}

void restore_original_signals() {
  if (wake_pipe[0] < 0) return;
  for (std::size_t i = 0; i < k_ending.size(); ++i) {
    sigaction(k_ending[i], &original.ending[i], nullptr);
  }
  for (std::size_t i = 0; i < k_ignored.size(); ++i) {
    sigaction(k_ignored[i], &original.ignored[i], nullptr);
  }
  sigaction(SIGALRM, &original.alarm, nullptr);
  pthread_sigmask(SIG_SETMASK, &original.mask, nullptr);
}

void die_of_signal(int signal_number) {
  std::signal(signal_number, SIG_DFL);
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal_number);
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
  raise(signal_number);
  _exit(128 + signal_number);
}

}  // namespace mad
