#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "fuzz/fuzz.hpp"
#include "io/file.hpp"
#include "resume/journal.hpp"

// The plan of a swap that a dead run left: whatever it says, nothing outside of the
// directory is touched.

MAD_FUZZ_TARGET(swap_plan) {
  using mad::fuzz::exists;
  using mad::fuzz::require;
  using mad::fuzz::write_file;
  const std::string place = mad::fuzz::empty_directory();
  const std::string state = place + "/state";
  // `;` in place of NUL, lest every change of the input is one of its length.
  std::string plan(input);
  std::replace(plan.begin(), plan.end(), ';', '\0');
  write_file(place + "/evil.npy", "outside");
  for (const char* directory : {"", "/.mad-swap", "/.mad-swap/old", "/.mad-swap/old/ball",
                                "/.mad-swap/new", "/.mad-swap/new/ball", "/ball"}) {
    require(mkdir((state + directory).c_str(), 0700) == 0, "a directory is made");
  }
  write_file(state + "/.mad-swap/old/ball/pos.npy", "old");
  write_file(state + "/.mad-swap/new/ball/vel.npy", "new");
  write_file(state + "/ball/pos.npy", "new");
  write_file(state + "/ball/mine.txt", "mine");
  write_file(state + "/.mad-swap/plan", plan);
  const mad::Fd directory = mad::open_directory(state);
  const bool refused = mad::fuzz::refuses(
      [&] { mad::roll_back_journal(directory.get(), ".retired", mad::Durability::none, "state"); });
  require(exists(place + "/evil.npy"), "nothing outside is touched");
  require(exists(state + "/.mad-swap") == refused, "the journal ends with the rollback");
  require(exists(state + "/.mad-swap/plan") || !refused, "a plan refused stays");
}
