#include "process/pause.hpp"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <iterator>
#include <optional>
#include <string>
#include <thread>

#include "base/log.hpp"
#include "support/catch.hpp"

using mad::Error;
using mad::ExitCode;
using mad::PausedProcesses;
using mad::test::error_from;

namespace {

/// A child that runs `body` and dies with its parent; killed and reaped at the end.
class Child {
 public:
  explicit Child(const std::function<void()>& body) : pid_(fork()) {
    if (pid_ != 0) return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    body();
    _exit(0);
  }
  ~Child() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  pid_t pid() const { return pid_; }
  int wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return status;
  }

 private:
  pid_t pid_;
};

[[noreturn]] void spin_with_a_thread() {
  std::thread([] {
    for (;;) {
      const volatile int work = 1;
      static_cast<void>(work);
    }
  }).detach();
  for (;;) pause();
}

/// Of a process's first thread, or of the thread that has this number.
char state_of(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  const std::string text((std::istreambuf_iterator<char>(file)), {});
  const auto end = text.rfind(')');
  return end == std::string::npos ? '-' : text[end + 2];
}

/// Its first thread ends; then another says its number into `pipe` and runs on.
[[noreturn]] void run_on_without_main(int pipe) {
  std::thread([pipe] {
    while (state_of(getpid()) != 'Z') std::this_thread::yield();
    const pid_t self = gettid();
    if (write(pipe, &self, sizeof self) < 0) _exit(1);
    for (;;) {
      const volatile int work = 1;
      static_cast<void>(work);
    }
  }).detach();
  for (;;) syscall(SYS_exit, 0);  // of this thread alone, and with nothing to unwind
}

bool eventually(const std::function<bool()>& condition) {
  for (int i = 0; i < 5000; ++i) {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return false;
}

bool goes_on(pid_t pid) {
  return eventually([&] { return state_of(pid) != 'T'; });
}

}  // namespace

TEST_CASE("PausedProcesses: a process with threads stands still and goes on afterwards") {
  const Child child(spin_with_a_thread);
  {
    PausedProcesses paused({child.pid(), child.pid()});
    CHECK(state_of(child.pid()) == 'T');
    CHECK_NOTHROW(paused.check_still_held());
    paused.release();
    CHECK(goes_on(child.pid()));
    paused.release();
  }
  CHECK(goes_on(child.pid()));
}

TEST_CASE("PausedProcesses: what is below a process stands still with it and goes on with it") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const Child child([&] {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      const pid_t below = fork();
      if (below == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        spin_with_a_thread();
      }
      if (write(ends[1], &below, sizeof below) < 0) _exit(1);
    }
    for (;;) pause();
  });
  pid_t below = 0;
  REQUIRE(read(ends[0], &below, sizeof below) == sizeof below);
  {
    const PausedProcesses paused({child.pid()});
    CHECK(state_of(below) == 'T');
  }
  CHECK(goes_on(below));
  Child holder([&] {
    const PausedProcesses paused({child.pid()});
    raise(state_of(below) == 'T' ? SIGKILL : SIGABRT);
  });
  CHECK(WTERMSIG(holder.wait()) == SIGKILL);
  CHECK(goes_on(below));
  CHECK(goes_on(child.pid()));
}

TEST_CASE("PausedProcesses: a process whose main thread has ended stands still and goes on") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t thread = 0;
  const Child child([&] { run_on_without_main(ends[1]); });
  REQUIRE(read(ends[0], &thread, sizeof thread) == sizeof thread);
  {
    const PausedProcesses paused({child.pid()});
    CHECK(state_of(thread) == 'T');
    CHECK_NOTHROW(paused.check_still_held());
    kill(child.pid(), SIGCONT);
    REQUIRE(goes_on(thread));
    CHECK(error_from([&] { paused.check_still_held(); }).reason == "state-changed");
  }
  kill(child.pid(), SIGSTOP);
  REQUIRE(eventually([&] { return state_of(thread) == 'T'; }));
  { const PausedProcesses paused({child.pid()}); }
  CHECK(state_of(thread) == 'T');  // as before
}

TEST_CASE("PausedProcesses: below a process, one whose main thread has ended stands still, too") {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  pid_t thread = 0;
  const Child child([&] {
    if (fork() == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      run_on_without_main(ends[1]);
    }
    for (;;) pause();
  });
  REQUIRE(read(ends[0], &thread, sizeof thread) == sizeof thread);
  {
    const PausedProcesses paused({child.pid()});
    CHECK(state_of(thread) == 'T');
  }
  CHECK(goes_on(thread));
}

TEST_CASE("PausedProcesses: a process that starts others without end is held each time") {
  const Child child([] {
    for (;;) {
      const pid_t below = fork();
      if (below == 0) _exit(0);
      waitpid(below, nullptr, 0);
    }
  });
  for (int i = 0; i < 200; ++i) {
    const PausedProcesses paused({child.pid()});
    REQUIRE(state_of(child.pid()) == 'T');
  }
  CHECK(goes_on(child.pid()));
}

TEST_CASE("PausedProcesses: a process that was stopped before stays stopped") {
  const Child child([] {
    for (;;) pause();
  });
  kill(child.pid(), SIGSTOP);
  REQUIRE(eventually([&] { return state_of(child.pid()) == 'T'; }));
  { const PausedProcesses paused({child.pid()}); }
  CHECK(state_of(child.pid()) == 'T');
}

TEST_CASE("PausedProcesses: SIGKILL of the holder lets the process go") {
  const Child child(spin_with_a_thread);
  Child holder([&] {
    const PausedProcesses paused({child.pid()});
    raise(SIGKILL);
  });
  const int status = holder.wait();
  REQUIRE(WIFSIGNALED(status));
  CHECK(goes_on(child.pid()));
}

TEST_CASE("PausedProcesses: SIGKILL of the holder's whole process group lets the process go") {
  const Child child(spin_with_a_thread);
  Child holder([&] {
    setpgid(0, 0);
    const PausedProcesses paused({child.pid()});
    kill(0, SIGKILL);
  });
  const int status = holder.wait();
  REQUIRE(WIFSIGNALED(status));
  CHECK(goes_on(child.pid()));
}

TEST_CASE("PausedProcesses: a process that something else lets go is noticed") {
  const Child child(spin_with_a_thread);
  const PausedProcesses paused({child.pid()});
  kill(child.pid(), SIGCONT);
  REQUIRE(goes_on(child.pid()));
  const Error error = error_from([&] { paused.check_still_held(); });
  CHECK(error.code == ExitCode::refused);
  CHECK(error.reason == "state-changed");
}

TEST_CASE("PausedProcesses: a process that is gone is no-process") {
  Child child([] {});
  const pid_t pid = child.pid();
  child.wait();
  const Error error = error_from([&] { const PausedProcesses paused({pid}); });
  CHECK(error.code == ExitCode::io);
  CHECK(error.reason == "no-process");
}

TEST_CASE("PausedProcesses: when one of several is gone the others are not held") {
  const Child child(spin_with_a_thread);
  Child gone([] {});
  const pid_t pid = gone.pid();
  // Not reaped: a zombie has a PID but nothing to hold.
  REQUIRE(eventually([&] { return state_of(pid) == 'Z'; }));
  const Error error = error_from([&] { const PausedProcesses paused({child.pid(), pid}); });
  CHECK(error.reason == "no-process");
  CHECK(state_of(child.pid()) != 'T');
}

TEST_CASE("PausedProcesses: what must not be held is refused as usage") {
  for (const pid_t pid : {-1, 0, 1, getpid(), getppid()}) {
    CAPTURE(pid);
    const Error error = error_from([&] { const PausedProcesses paused({pid}); });
    CHECK(error.code == ExitCode::usage);
  }
}

TEST_CASE("PausedProcesses: a thread's number is no process") {
  pid_t thread_id = 0;
  std::atomic<bool> done{false};
  std::atomic<bool> ready{false};
  std::thread thread([&] {
    thread_id = gettid();
    ready = true;
    while (!done) std::this_thread::yield();
  });
  while (!ready) std::this_thread::yield();
  const Error error = error_from([&] { const PausedProcesses paused({thread_id}); });
  done = true;
  thread.join();
  CHECK(error.reason == "no-process");
}

TEST_CASE("PausedProcesses: holds nothing where nothing is named") {
  PausedProcesses paused({});
  CHECK_NOTHROW(paused.check_still_held());
}
