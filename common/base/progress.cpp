#include "base/progress.hpp"

#include <sys/ioctl.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstdio>
#include <utility>

#include "base/log.hpp"
#include "base/text.hpp"

namespace mad {
namespace {

std::atomic<bool> line_is_drawn{false};

void to_terminal(const std::string& text) {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

std::size_t terminal_columns() {
  winsize size{};
  if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

std::string minutes(double seconds) {
  std::array<char, 32> text{};
  const auto whole = static_cast<std::uint64_t>(std::llround(seconds));
  std::snprintf(text.data(), text.size(), "%llu:%02llu",
                static_cast<unsigned long long>(whole / 60),
                static_cast<unsigned long long>(whole % 60));
  return text.data();
}

}  // namespace

Progress::Progress(const std::string& label, std::optional<std::uint64_t> total_bytes)
    : label_(printable(label, 40)),
      total_bytes_(total_bytes),
      enabled_(isatty(STDERR_FILENO) == 1 && log_shows(LogLevel::note) &&
               log_format() == LogFormat::text) {}

Progress::~Progress() {
  clear_progress_line();
}

void Progress::add(std::uint64_t bytes) {
  done_bytes_ += bytes;
  if (!enabled_) return;
  const auto now = Clock::now();
  if (now < next_) return;
  next_ = now + std::chrono::milliseconds(200);
  draw();
}

void Progress::restart(std::optional<std::uint64_t> total_bytes) {
  total_bytes_ = total_bytes;
  done_bytes_ = 0;
  start_ = Clock::now();
  next_ = start_ + std::chrono::seconds(1);
}

void Progress::draw() {
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double rate = static_cast<double>(done_bytes_) / seconds;
  std::string line = label_ + "  " + format_size(done_bytes_);
  if (total_bytes_) {
    line += " of " + format_size(*total_bytes_);
    if (*total_bytes_ > 0 && done_bytes_ <= *total_bytes_) {
      const double share = static_cast<double>(done_bytes_) / static_cast<double>(*total_bytes_);
      line += "  " + std::to_string(static_cast<int>(share * 100)) + "%";
    }
  }
  line += "  " + format_size(static_cast<std::uint64_t>(rate)) + "/s";
  if (total_bytes_ && rate > 0 && done_bytes_ <= *total_bytes_) {
    line += "  " + minutes(static_cast<double>(*total_bytes_ - done_bytes_) / rate) + " left";
  }
  to_terminal("\r\033[K" + line.substr(0, terminal_columns() - 1));
  line_is_drawn = true;
}

void clear_progress_line() {
  if (line_is_drawn.exchange(false)) to_terminal("\r\033[K");
}

}  // namespace mad
