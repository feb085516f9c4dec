#include "process/sandbox.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>

#include "base/error.hpp"
#include "base/log.hpp"
#include "io/file.hpp"

namespace mad {
namespace {

// landlock(7) and include/uapi/linux/landlock.h.  Headers are older than the kernels that run
// the tools, so what is used stands here.
struct RulesetAttributes {
  std::uint64_t handled_access_fs;
  std::uint64_t handled_access_net;
  std::uint64_t scoped;
};
struct [[gnu::packed]] PathBeneath {
  std::uint64_t allowed_access;
  std::int32_t parent_fd;
};
constexpr unsigned k_create_ruleset_version = 1U << 0U;
constexpr int k_rule_path_beneath = 1;

constexpr std::uint64_t k_execute = 1U << 0U;
constexpr std::uint64_t k_write_file = 1U << 1U;
constexpr std::uint64_t k_read_file = 1U << 2U;
constexpr std::uint64_t k_read_dir = 1U << 3U;
constexpr std::uint64_t k_remove_dir = 1U << 4U;
constexpr std::uint64_t k_remove_file = 1U << 5U;
constexpr std::uint64_t k_make_dir = 1U << 7U;
constexpr std::uint64_t k_make_reg = 1U << 8U;
constexpr std::uint64_t k_refer = 1U << 13U;
constexpr std::uint64_t k_truncate = 1U << 14U;
constexpr std::uint64_t k_ioctl_dev = 1U << 15U;
/// All of ABI 1: execute to make_sym.
constexpr std::uint64_t k_first_abi = (1U << 13U) - 1;
constexpr std::uint64_t k_bind_and_connect_tcp = 3;
constexpr std::uint64_t k_abstract_sockets_and_signals = 3;

constexpr std::uint64_t k_reading = k_read_file | k_read_dir;
constexpr std::uint64_t k_writing =
    k_reading | k_write_file | k_remove_dir | k_remove_file | k_make_dir | k_make_reg | k_truncate;
static_assert((k_writing & k_execute) == 0);

/// The version of Landlock that this kernel has; 0 for none, also where a container hides it.
int landlock_abi() {
  const long version =
      syscall(SYS_landlock_create_ruleset, nullptr, std::size_t{0}, k_create_ruleset_version);
  return version < 0 ? 0 : static_cast<int>(version);
}

/// Everything that this ABI can deny; the kernel refuses to hear of more.
RulesetAttributes everything(int abi) {
  RulesetAttributes all{};
  all.handled_access_fs = k_first_abi;
  if (abi >= 2) all.handled_access_fs |= k_refer;
  if (abi >= 3) all.handled_access_fs |= k_truncate;
  if (abi >= 4) all.handled_access_net = k_bind_and_connect_tcp;
  if (abi >= 5) all.handled_access_fs |= k_ioctl_dev;
  if (abi >= 6) all.scoped = k_abstract_sockets_and_signals;
  return all;
}

void allow_beneath(int ruleset, const std::string& directory, std::uint64_t access) {
  const Fd place(open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!place) return;  // whoever wants something of it will say that it is not there
  const PathBeneath rule = {access, place.get()};
  if (syscall(SYS_landlock_add_rule, ruleset, k_rule_path_beneath, &rule, 0) != 0) {
    throw output_error("confine this process to", printable(directory), errno);
  }
}

void confine(const Cage& cage, int abi) {
  const RulesetAttributes all = everything(abi);
  const Fd ruleset(static_cast<int>(syscall(SYS_landlock_create_ruleset, &all, sizeof(all), 0U)));
  if (!ruleset) throw output_error("confine", "this process", errno);
  for (const std::string& directory : cage.read_beneath) {
    allow_beneath(ruleset.get(), directory, k_reading & all.handled_access_fs);
  }
  for (const std::string& directory : cage.write_beneath) {
    allow_beneath(ruleset.get(), directory, k_writing & all.handled_access_fs);
  }
  if (syscall(SYS_landlock_restrict_self, ruleset.get(), 0) != 0) {
    throw output_error("confine", "this process", errno);
  }
}

std::string place_of(const std::string& path) {
  return is_directory(path) ? path : split_path(path).directory;
}

}  // namespace

void Cage::allow_reading(const std::string& path) {
  read_beneath.push_back(place_of(path));
}

void Cage::allow_writing(const std::string& path) {
  write_beneath.push_back(place_of(path));
}

void enter_cage(const Cage& cage) noexcept {
  try {
    // Landlock asks for it of whoever is not privileged.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
      throw output_error("give up new privileges of", "this process", errno);
    }
    const int abi = landlock_abi();
    if (abi == 0) {
      log_verbose("this kernel has no Landlock: going on without a sandbox");
      return;
    }
    confine(cage, abi);
  } catch (const std::exception& error) {
    log_warning(std::string(error.what()) + "; going on without a sandbox");
  }
}

std::string describe_cage() {
  const int abi = landlock_abi();
  if (abi == 0) return "sandbox: no new privileges; this kernel has no Landlock";
  std::string text = "sandbox: Landlock ABI " + std::to_string(abi) + " (files, execution";
  if (abi >= 4) text += ", TCP";
  if (abi >= 6) text += ", abstract sockets, signals";
  return text + "), no new privileges";
}

}  // namespace mad
