#include "exchange/file_pair.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <tuple>

#include "base/error.hpp"
#include "base/log.hpp"
#include "base/progress.hpp"
#include "bundle/bundle.hpp"
#include "manifest/manifest.hpp"
#include "snapshot/snapshot.hpp"
#include "transport/retry.hpp"
#include "transport/url.hpp"

namespace mad {
namespace {

/// One step of the progress shown.
constexpr std::uint64_t k_step_bytes = std::uint64_t{4} << 20U;

bool same_content(const struct ::stat& a, const struct ::stat& b) {
  const auto key = [](const struct ::stat& s) {
    return std::make_tuple(s.st_dev, s.st_ino, s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec);
  };
  return key(a) == key(b);
}

/// Nothing's where there is nothing.
struct ::stat stat_path(const std::string& path) {
  struct ::stat status {};
  return ::stat(path.c_str(), &status) == 0 ? status : (struct ::stat){};
}

std::string read_manifest_file(const std::string& path) {
  const Fd file = open_regular(path);
  return read_small_file(file.get(), k_max_manifest_bytes, path);
}

/// A manifest elsewhere is a file too: one tool does not mix machines and disks.
std::string manifest_path_of(const FetchRequest& request) {
  const auto scheme = scheme_of(request.manifest_url);
  if (!scheme) return request.manifest_url;
  if (*scheme == "file") return path_of_file_url(request.manifest_url);
  throw Error(ExitCode::usage, "usage", display_source(request.manifest_url),
              "expected a file as --manifest-url, because the npz is one");
}

/// Of a manifest that is elsewhere.
std::optional<std::string> read_signature(const std::string& manifest_path) {
  const std::string path = manifest_path + ".sig";
  try {
    const Fd file = open_regular(path);
    return read_small_file(file.get(), k_max_signature_bytes, path);
  } catch (const Error& error) {
    if (error.code != ExitCode::not_found) log_warning(error.one_line() + "; taken for none");
    return std::nullopt;
  }
}

class FilePair {
 public:
  FilePair(const std::string& npz_path, const FetchRequest& request, Delivery& delivery)
      : npz_path_(npz_path), request_(request), delivery_(delivery) {}

  /// The npz's length; nothing where the pair must be read again.
  std::optional<std::uint64_t> fetch_once() {
    const bool beside = request_.manifest_url.empty();
    OpenSnapshot snapshot =
        open_snapshot(npz_path_, request_.skip_integrity_check || !beside ? ManifestNeed::optional
                                                                          : ManifestNeed::required);
    if (!beside) {
      snapshot.manifest_path = manifest_path_of(request_);
      snapshot.manifest = read_manifest_file(snapshot.manifest_path);
    }
    if (!snapshot.manifest) {
      log_warning(printable(npz_path_) + ": no manifest; nothing vouches for the npz");
    }
    const struct ::stat before = stat_fd(snapshot.npz.get(), npz_path_);
    const auto size_bytes = static_cast<std::uint64_t>(before.st_size);
    if (size_bytes > request_.max_size_bytes) {
      throw Error(ExitCode::refused, "too-large", printable(npz_path_),
                  "expected at most " + std::to_string(request_.max_size_bytes) + " bytes, found " +
                      std::to_string(size_bytes),
                  "--max-size sets the bound");
    }
    PairTexts texts{snapshot.manifest, {}};
    if (snapshot.manifest) {
      texts.signature = beside ? signature_of(snapshot) : read_signature(snapshot.manifest_path);
    }
    delivery_.begin(texts);
    const std::uint64_t read_bytes = copy(snapshot.npz.get(), size_bytes);
    const bool whole = read_bytes == size_bytes &&
                       same_content(before, stat_fd(snapshot.npz.get(), npz_path_)) &&
                       !manifest_changed_alone(snapshot, before);
    if (whole) return size_bytes;
    delivery_.restart();
    return std::nullopt;
  }

 private:
  std::uint64_t copy(int file, std::uint64_t size_bytes) {
    Progress progress(snapshot_name(npz_path_), size_bytes);
    std::uint64_t done = 0;
    while (done < size_bytes) {
      const std::uint64_t wanted = std::min(k_step_bytes, size_bytes - done);
      const std::uint64_t n = delivery_.write_file(file, done, wanted, npz_path_);
      progress.add(n);
      done += n;
      if (n < wanted) break;
    }
    return done;
  }

  /// A writer without our lock may put the npz and then its manifest in place: what was
  /// opened in between is a new npz with the old manifest.  Where the npz is another
  /// one by now too, the pair that was opened was whole.
  bool manifest_changed_alone(const OpenSnapshot& opened, const struct ::stat& npz) const {
    if (!same_content(npz, stat_path(npz_path_))) return false;
    for (const std::string& path :
         {opened.manifest_path, npz_path_ + std::string(k_manifest_suffix)}) {
      try {
        if (!path.empty()) return opened.manifest != read_manifest_file(path);
      } catch (const Error& error) {
        // A `.next` that took its final name meanwhile: look there.
        if (error.code != ExitCode::not_found) throw;
      }
    }
    return opened.manifest.has_value();
  }

  const std::string& npz_path_;
  const FetchRequest& request_;
  Delivery& delivery_;
};

bool nothing_there(const std::string& npz_path, const FetchRequest& request) {
  struct ::stat status {};
  const std::string manifest = request.manifest_url.empty()
                                   ? npz_path + std::string(k_manifest_suffix)
                                   : manifest_path_of(request);
  return lstat(npz_path.c_str(), &status) != 0 && lstat(manifest.c_str(), &status) != 0;
}

}  // namespace

std::optional<std::string> signature_of(const OpenSnapshot& snapshot) {
  if (!snapshot.signature || snapshot.signature->size() <= k_max_signature_bytes) {
    return snapshot.signature;
  }
  log_warning(printable(snapshot.signature_path) + ": expected at most " +
              std::to_string(k_max_signature_bytes) + " bytes, found more; taken for none");
  return std::nullopt;
}

void fetch_file_pair(const std::string& npz_path, const FetchRequest& request, Delivery& delivery,
                     Report& report) {
  FilePair pair(npz_path, request, delivery);
  for (int restarts = 0;; ++restarts) {
    std::optional<std::uint64_t> size_bytes;
    try {
      size_bytes = pair.fetch_once();
    } catch (const Error& error) {
      if (error.code == ExitCode::not_found && request.if_exists &&
          nothing_there(npz_path, request)) {
        return report_absent(delivery, report, "not-there-yet",
                             printable(npz_path) + ": neither npz nor manifest is there yet");
      }
      throw;
    }
    if (size_bytes) {
      delivery.finish();
      report.set("stage", "fetched");
      report.set("size_bytes", *size_bytes);
      report.set("restarts", static_cast<std::uint64_t>(restarts));
      return;
    }
    if (restarts == k_max_pair_restarts) {
      throw Error(ExitCode::remote, "object-changing", printable(npz_path),
                  "npz or manifest changed while they were read, " + std::to_string(restarts + 1) +
                      " times in a row",
                  "its writer does not rest; try again later");
    }
    log_note(printable(npz_path) + ": npz or manifest changed while they were read; reading again");
    interruptible_sleep(jitter(request.transport.retry.first_delay * (1 << restarts)));
  }
}

}  // namespace mad
