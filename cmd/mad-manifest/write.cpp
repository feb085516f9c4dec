#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/text.hpp"
#include "commands.hpp"
#include "io/atomic_file.hpp"
#include "manifest/manifest.hpp"
#include "operand.hpp"
#include "snapshot/members.hpp"
#include "snapshot/publish.hpp"
#include "snapshot/sign.hpp"
#include "snapshot/snapshot.hpp"
#include "snapshot/survey.hpp"

namespace mad {
namespace {

std::optional<mode_t> parse_mode(const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto mode = std::strtoul(text.c_str(), nullptr, 8);
  if (text.size() > 4 || text.find_first_not_of("01234567") != std::string::npos || mode > 0777) {
    usage_error("--mode: expected octal digits up to 0777, found '" + printable(text) + "'");
  }
  return static_cast<mode_t>(mode);
}

std::string extra_of(const ManifestOptions& options) {
  for (const std::string& pair : options.extra) {
    if (pair.find('=') == std::string::npos || pair[0] == '=') {
      usage_error("--extra: expected KEY=VALUE, found '" + printable(pair) + "'");
    }
  }
  std::string extra = "{}";
  if (!options.extra_file.empty()) {
    const std::string subject = printable(options.extra_file);
    const Fd file(open(options.extra_file.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) throw system_error("open", subject, errno);
    extra = normal_extra(read_small_file(file.get(), k_max_manifest_bytes, subject), subject);
  }
  for (const std::string& pair : options.extra) {
    const auto equals = pair.find('=');
    extra = set_extra(extra, pair.substr(0, equals), pair.substr(equals + 1));
  }
  if (!options.session_id.empty()) {
    extra = set_extra_string(extra, "session_id", options.session_id);
  }
  if (!options.stage.empty()) extra = set_extra_string(extra, "stage_at_snapshot", options.stage);
  return extra;
}

struct ::stat identity(const std::string& path) {
  struct ::stat status {};
  if (lstat(path.c_str(), &status) != 0) throw system_error("read", printable(path), errno);
  return status;
}

bool same_file(const struct ::stat& a, const struct ::stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

/// Whether a manifest is there already; anything but a regular file is refused.
std::optional<mode_t> mode_of_existing(const std::string& path) {
  struct ::stat status {};
  if (lstat(path.c_str(), &status) != 0) {
    if (errno == ENOENT) return std::nullopt;
    throw output_error("look at", printable(path), errno);
  }
  return stat_fd(open_regular(path).get(), printable(path)).st_mode & 0777U;
}

void refuse_to_replace(const std::string& path, const ManifestOptions& options) {
  if (!options.force && mode_of_existing(path)) {
    throw Error(ExitCode::usage, "usage", printable(path), "is there already",
                "--force replaces it");
  }
}

void warn_of_lost_signature(const std::string& npz_path) {
  const std::string path = npz_path + std::string(k_signature_suffix);
  if (access(path.c_str(), F_OK) != 0) return;
  log_warning(printable(path) + ": was of the manifest before and goes with it; sign the new one");
}

/// Whether both are one name in one directory, whichever way there each takes.
bool is_same_name(const std::string& a, const std::string& b) {
  const SplitPath one = split_path(a);
  const SplitPath other = split_path(b);
  struct ::stat place {};
  struct ::stat other_place {};
  return one.name == other.name && stat(one.directory.c_str(), &place) == 0 &&
         stat(other.directory.c_str(), &other_place) == 0 && place.st_dev == other_place.st_dev &&
         place.st_ino == other_place.st_ino;
}

/// What the npz itself says.
Manifest read_npz(const ManifestOptions& options, int npz, const std::string& subject, Tool& tool) {
  Manifest manifest;
  FileDigests digests;
  if (options.skip_structure_check) {
    log_warning(subject +
                ": its structure is not checked; the manifest vouches for the bytes only");
    digests = digest_file(npz, subject, subject);
  } else {
    const auto size_bytes = static_cast<std::uint64_t>(stat_fd(npz, subject).st_size);
    NpzSurvey survey = survey_npz(npz, size_bytes, subject);
    digests = std::move(survey.digests);
    manifest.step = step_of(npz, survey.members);
    manifest.members = member_table_of(survey.members);
    tool.report.set("arrays", static_cast<std::uint64_t>(survey.members.size()));
  }
  manifest.sha256 = digests.sha256;
  manifest.size_bytes = digests.size_bytes;
  manifest.chunks = std::move(digests.chunks);
  return manifest;
}

/// The manifest that is there, once it is known to be the npz's own, with all that `found`
/// says besides.
std::string upgraded(const ManifestText& old, const Manifest& found, const std::string& subject) {
  const Manifest manifest = parse_manifest(old.bytes, printable(old.path));
  if (manifest.sha256 != found.sha256) {
    throw Error(ExitCode::refused, "sha256-mismatch", subject,
                "SHA-256 mismatch\nmanifest: " + to_hex(manifest.sha256) +
                    "\nfile:     " + to_hex(found.sha256),
                "the manifest is not this npz's, so there is nothing to upgrade");
  }
  if (manifest.size_bytes.value_or(*found.size_bytes) != *found.size_bytes) {
    throw Error(ExitCode::refused, "size-mismatch", subject,
                "size mismatch: expected " + std::to_string(*manifest.size_bytes) +
                    " bytes, found " + std::to_string(*found.size_bytes));
  }
  return upgrade_manifest(old.bytes, found, printable(old.path));
}

/// A signature is of the manifest's exact bytes.
void refuse_to_void_a_signature(const std::string& path, const ManifestOptions& options) {
  struct ::stat status {};
  if (options.force || lstat((path + ".sig").c_str(), &status) != 0) return;
  throw Error(ExitCode::usage, "usage", printable(path),
              "is signed, and its signature would not be that of the upgraded manifest",
              "--force upgrades it all the same; then sign it again");
}

}  // namespace

ExitCode write_command(const ManifestOptions& options, Tool& tool) {
  const auto mode = parse_mode(options.mode);
  const bool to_stdout = options.output == "-";
  const std::string own_path = options.file + std::string(k_manifest_suffix);
  const std::string path = options.output.empty() ? own_path : options.output;
  const Durability durability = options.durability == "none" ? Durability::none : Durability::full;
  const auto lock_timeout_ms = static_cast<int>(options.lock_timeout_s * 1000);
  const bool is_own = !to_stdout && is_same_name(path, own_path);
  const bool in_place = options.upgrade && is_own;
  if (in_place) refuse_to_void_a_signature(path, options);
  if (!to_stdout && !in_place) refuse_to_replace(path, options);
  std::string extra = options.upgrade ? std::string() : extra_of(options);
  confine(options, tool, {options.file},
          to_stdout ? std::vector<std::string>{} : std::vector<std::string>{path});

  const std::string subject = printable(options.file);
  if (is_own) {
    PublishOptions publish;
    publish.durability = durability;
    publish.lock_timeout_ms = lock_timeout_ms;
    recover_snapshot(options.file, publish);
  }
  const Fd npz = open_regular(options.file);
  const struct ::stat before = stat_fd(npz.get(), subject);
  std::optional<ManifestText> old;
  if (options.upgrade) old = read_manifest(options.file + std::string(k_manifest_suffix));
  Manifest manifest = read_npz(options, npz.get(), subject, tool);
  std::string text;
  if (old) {
    text = upgraded(*old, manifest, subject);
  } else {
    manifest.extra = std::move(extra);
    manifest.created_at = utc_now_rfc3339();
    text = format_manifest(manifest);
  }

  // The lock keeps a publisher from putting another npz there between the last look
  // at it and the manifest's rename.
  Fd directory;
  if (!to_stdout) {
    const std::string name = split_path(path).directory;
    directory = Fd(open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory) throw output_error("open the directory of", path, errno);
    lock_directory(directory.get(), LockMode::exclusive, lock_timeout_ms, printable(name));
  }
  if (!same_file(before, identity(options.file))) {
    throw Error(ExitCode::refused, "state-changed", subject, "changed while it was read");
  }
  if (old && read_manifest(own_path).bytes != old->bytes) {
    throw Error(ExitCode::refused, "state-changed", printable(old->path), "changed meanwhile");
  }
  if (to_stdout) {
    put(text);
  } else {
    if (!in_place) refuse_to_replace(path, options);
    const mode_t inherited = mode_of_existing(path).value_or(before.st_mode & 0777U);
    if (is_own) {
      warn_of_lost_signature(options.file);
      replace_manifest(directory.get(), options.file, text, mode.value_or(inherited), durability);
    } else {
      AtomicFile file(path, mode.value_or(inherited), durability);
      file.write(as_bytes(text));
      file.finish();
    }
    put(path + '\n');
  }
  tool.report.set("path", to_stdout ? "-" : path);
  tool.report.set("sha256", to_hex(manifest.sha256));
  tool.report.set("size_bytes", *manifest.size_bytes);
  if (manifest.step) tool.report.set_json("step", std::to_string(*manifest.step));
  return ExitCode::ok;
}

}  // namespace mad
