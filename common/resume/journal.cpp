#include "resume/journal.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <set>

#include "base/error.hpp"
#include "base/interrupt.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "npz/npz_member.hpp"
#include "resume/paths.hpp"

namespace mad {
namespace {

constexpr std::size_t k_max_plan_bytes = std::size_t{64} << 20U;

const std::string& journal() {
  static const std::string name(k_journal_name);
  return name;
}

/// NUL-separated, because a path may hold any other byte, with an `end` by which a
/// plan that was cut is known.
std::string format_plan(const JournalPlan& plan) {
  std::string text;
  const auto add = [&](char kind, const std::vector<std::string>& paths) {
    for (const std::string& path : paths) (text += kind).append(path) += '\0';
  };
  add('-', plan.leaving);
  add('+', plan.coming);
  add('/', plan.made);
  text += "end";
  return text;
}

JournalPlan read_plan(int journal_fd, const std::string& subject) {
  const Fd file = open_regular_at(journal_fd, "plan", subject);
  const std::string text = read_small_file(file.get(), k_max_plan_bytes, subject);
  JournalPlan plan;
  auto records = split(text, '\0');
  if (records.empty() || records.back() != "end") {
    throw Error(ExitCode::io, "io-error", printable(subject), "the plan of the swap is incomplete");
  }
  records.pop_back();
  for (const std::string_view record : records) {
    const std::string path(record.substr(std::min<std::size_t>(1, record.size())));
    if (path.empty() || path[0] == '/' || is_hidden(path)) {
      throw Error(ExitCode::io, "io-error", printable(subject), "the plan of the swap is damaged");
    }
    (record[0] == '-' ? plan.leaving : record[0] == '+' ? plan.coming : plan.made).push_back(path);
  }
  return plan;
}

Fd open_at(int directory, const std::string& path) {
  return Fd(openat(directory, path.empty() ? "." : path.c_str(),
                   O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW));
}

/// Syncs the directories, under `directory`, that hold `paths`, and itself.
void sync_parents(int directory, const std::vector<std::string>& paths, Durability durability,
                  const std::string& subject) {
  if (durability == Durability::none) return;
  std::set<std::string> parents = {""};
  for (const std::string& path : paths) {
    for (std::string at = parent_of(path); parents.insert(at).second;) at = parent_of(at);
  }
  for (const std::string& parent : parents) {
    const Fd fd = open_at(directory, parent);
    if (fd) {
      sync_fd(fd.get(), path_in(subject, parent), durability);
    } else if (errno != ENOENT) {
      throw output_error("open", path_in(subject, parent), errno);
    }
  }
}

void rename_to(int from_directory, const std::string& from, int to_directory, const std::string& to,
               unsigned int flags, const std::string& subject) {
  if (renameat2(from_directory, from.c_str(), to_directory, to.c_str(), flags) == 0) return;
  // Not every file system knows RENAME_NOREPLACE; then what is there is looked for.
  if (errno == EINVAL && flags == RENAME_NOREPLACE) {
    struct ::stat status {};
    if (fstatat(to_directory, to.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) {
      errno = EEXIST;
    } else if (renameat(from_directory, from.c_str(), to_directory, to.c_str()) == 0) {
      return;
    }
  }
  if (errno == EEXIST || errno == ENOTDIR || errno == EISDIR) {
    throw Error(ExitCode::refused, "state-invalid", printable(subject),
                "something that is no array of the state stands where an array is to go");
  }
  throw output_error("move an array at", subject, errno);
}

std::vector<std::string> all_paths(const JournalPlan& plan) {
  std::vector<std::string> paths = plan.leaving;
  paths.insert(paths.end(), plan.coming.begin(), plan.coming.end());
  paths.insert(paths.end(), plan.made.begin(), plan.made.end());
  return paths;
}

void write_plan(int scratch, const JournalPlan& plan, Durability durability,
                const std::string& subject) {
  Fd file(openat(scratch, "plan", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!file) throw output_error("create", subject, errno);
  write_full(file.get(), as_bytes(format_plan(plan)), subject);
  sync_fd(file.get(), subject, durability);
  file.close(subject);
}

/// The directories that the new arrays need, with the modes and owners they were staged with.
void make_planned_directories(int directory, int arrivals, const JournalPlan& plan,
                              const std::string& subject) {
  for (const std::string& path : plan.made) {
    struct ::stat status {};
    if (fstatat(arrivals, path.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0 ||
        mkdirat(directory, path.c_str(), 0700) != 0) {
      throw output_error("create the directory", path_in(subject, path), errno);
    }
    const Fd made(openat(directory, path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!made) throw output_error("open the directory", path_in(subject, path), errno);
    set_mode(made.get(), status.st_mode & 07777U, path_in(subject, path));
    if (fchownat(directory, path.c_str(), status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0 &&
        errno != EPERM) {
      throw output_error("set the owner of", path_in(subject, path), errno);
    }
  }
}

Error unsettled(const std::string& subject, const std::string& why) {
  return {ExitCode::start_refused, "state-unsettled", printable(subject),
          "an interrupted swap could not be rolled back: " + why,
          "the old arrays are in " + printable(subject) + '/' + journal() +
              "/old; run mad-resume again once the cause is gone"};
}

void move_back(int directory, int journal_fd, const JournalPlan& plan, const std::string& subject) {
  for (const std::string& path : plan.leaving) {
    const std::string away = "old/" + path;
    // Over the new one, where that is in already; absent where it never left or is back.
    if (renameat(journal_fd, away.c_str(), directory, path.c_str()) != 0 && errno != ENOENT) {
      throw output_error("move back", path_in(subject, path), errno);
    }
  }
  const std::set<std::string> left(plan.leaving.begin(), plan.leaving.end());
  for (const std::string& path : plan.coming) {
    if (left.count(path) != 0) continue;
    // What still waits in new/ never came: then this is somebody else's.
    struct ::stat status {};
    if (fstatat(journal_fd, ("new/" + path).c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) continue;
    if (unlinkat(directory, path.c_str(), 0) != 0 && errno != ENOENT && errno != ENOTDIR) {
      throw output_error("remove", path_in(subject, path), errno);
    }
  }
  for (auto path = plan.made.rbegin(); path != plan.made.rend(); ++path) {
    if (unlinkat(directory, path->c_str(), AT_REMOVEDIR) != 0 && errno != ENOENT &&
        errno != ENOTEMPTY && errno != EEXIST && errno != ENOTDIR) {
      throw output_error("remove", path_in(subject, *path), errno);
    }
  }
}

/// Looks for no signal: it is what a signal leads to.
void roll_back(int directory, int journal_fd, const JournalPlan& plan, const std::string& retired,
               Durability durability, const std::string& subject) {
  move_back(directory, journal_fd, plan, subject);
  sync_parents(directory, all_paths(plan), durability, subject);
  if (renameat(directory, journal().c_str(), directory, retired.c_str()) != 0) {
    throw output_error("retire", path_in(subject, journal()), errno);
  }
  sync_fd(directory, subject, durability);
}

}  // namespace

void make_directories(int directory, const std::string& path, const std::string& subject) {
  for (std::size_t end = path.find('/');; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (!part.empty() && mkdirat(directory, part.c_str(), 0700) != 0 && errno != EEXIST) {
      throw output_error("create the directory", path_in(subject, part), errno);
    }
    if (end == std::string::npos) return;
  }
}

bool has_journal(int directory) {
  struct ::stat status {};
  return fstatat(directory, journal().c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
}

void roll_back_journal(int directory, const std::string& retired, Durability durability,
                       const std::string& subject) {
  try {
    const Fd journal_fd = open_at(directory, journal());
    if (!journal_fd) throw output_error("open", path_in(subject, journal()), errno);
    const JournalPlan plan = read_plan(journal_fd.get(), path_in(subject, journal()) + "/plan");
    roll_back(directory, journal_fd.get(), plan, retired, durability, subject);
  } catch (const Error& error) {
    throw unsettled(subject, error.one_line());
  }
}

void swap_under_journal(int directory, const std::string& scratch, const JournalPlan& plan,
                        Durability durability, const std::string& subject) {
  const Fd journal_fd = open_at(directory, scratch);
  const Fd arrivals = journal_fd ? open_at(journal_fd.get(), "new") : Fd();
  if (!arrivals) throw output_error("open", path_in(subject, scratch), errno);
  make_directories(journal_fd.get(), "old", subject);
  for (const std::string& path : plan.leaving) {
    make_directories(journal_fd.get(), parent_of("old/" + path), subject);
  }
  sync_parents(journal_fd.get(), {"old/x"}, durability, subject);
  write_plan(journal_fd.get(), plan, durability, subject);
  sync_fd(journal_fd.get(), subject, durability);

  check_interrupted();
  bool began = false;
  try {
    if (renameat2(directory, scratch.c_str(), directory, journal().c_str(), 0) != 0) {
      throw output_error("begin the journal in", subject, errno);
    }
    began = true;
    sync_fd(directory, subject, durability);
    make_planned_directories(directory, arrivals.get(), plan, subject);
    for (const std::string& path : plan.leaving) {
      rename_to(directory, path, journal_fd.get(), "old/" + path, 0, path_in(subject, path));
    }
    for (const std::string& path : plan.coming) {
      check_interrupted();
      rename_to(arrivals.get(), path, directory, path, RENAME_NOREPLACE, path_in(subject, path));
    }
    sync_parents(directory, all_paths(plan), durability, subject);
    std::vector<std::string> away;
    for (const std::string& path : plan.leaving) away.push_back("old/" + path);
    sync_parents(journal_fd.get(), away, durability, subject);
    if (renameat(directory, journal().c_str(), directory, scratch.c_str()) != 0) {
      throw output_error("commit the journal in", subject, errno);
    }
    sync_fd(directory, subject, durability);
  } catch (...) {
    if (!began) throw;
    try {
      // The commit itself may have failed to become durable: then it is taken back.
      if (!has_journal(directory)) {
        rename_to(directory, scratch, directory, journal(), 0, subject);
      }
      roll_back(directory, journal_fd.get(), plan, scratch, durability, subject);
    } catch (const Error& error) {
      throw unsettled(subject, error.one_line());
    }
    throw;
  }
}

}  // namespace mad
