#include "resume/staging.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "base/error.hpp"
#include "base/log.hpp"
#include "io/file.hpp"
#include "io/spool.hpp"

namespace mad {
namespace {

constexpr const char* k_made_for = "mad-resume";
constexpr const char* k_new = "new";
/// The pipe is locked while the file takes them: few enough not to hold up its writer.
constexpr std::size_t k_append_bytes = std::size_t{256} << 10U;

std::string fresh_place() {
  const char* chosen = std::getenv("TMPDIR");
  return absolute_path(chosen != nullptr && *chosen != '\0' ? chosen : "/tmp");
}

class PublishedStaging : public NpzStaging {
 public:
  PublishedStaging(const std::string& path, const PublishOptions& options)
      : path_(absolute_path(path)), publisher_(path, options) {}
  void append(Source& part) override {
    while (publisher_.append(part, k_append_bytes) != 0) {
    }
  }
  void restart() override { publisher_.restart(); }
  int fd() const override { return publisher_.npz_fd(); }
  std::string publish(const std::optional<std::string>& manifest,
                      const std::optional<std::string>& signature) override {
    publisher_.publish(manifest, signature);
    return path_;
  }

 private:
  std::string path_;
  SnapshotPublisher publisher_;
};

/// Under a scratch directory's name until it is complete, so that a run that died is known
/// from one whose snapshot a server still reads.
class FreshStaging final : public NpzStaging {
 public:
  FreshStaging(std::string name, const PublishOptions& options)
      : place_(fresh_place()), name_(std::move(name)), options_(options) {
    parent_ = Fd(open(place_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!parent_) throw output_error("open the directory", place_, errno);
    scratch_ = std::make_unique<ScratchDirectory>(parent_.get(), k_made_for, place_);
    // Not in the scratch directory itself: its lock would keep the publisher waiting.
    if (mkdirat(scratch_->fd(), k_new, 0700) != 0) {
      throw output_error("create a directory in", place_, errno);
    }
    staging_ = std::make_unique<PublishedStaging>(
        place_ + '/' + scratch_->name() + '/' + k_new + '/' + name_, options);
  }
  void append(Source& part) override { staging_->append(part); }
  void restart() override { staging_->restart(); }
  int fd() const override { return staging_->fd(); }
  std::string publish(const std::optional<std::string>& manifest,
                      const std::optional<std::string>& signature) override {
    staging_->publish(manifest, signature);
    for (;;) {
      const std::string name = std::string(k_made_for) + '-' + random_suffix();
      if (renameat2(scratch_->fd(), k_new, parent_.get(), name.c_str(), RENAME_NOREPLACE) != 0 &&
          // Where the flag is unknown: 40 random bits do not meet.
          (errno != EINVAL || renameat(scratch_->fd(), k_new, parent_.get(), name.c_str()) != 0)) {
        if (errno == EEXIST) continue;
        throw output_error("rename a directory in", place_, errno);
      }
      sync_fd(parent_.get(), place_, options_.durability);
      return place_ + '/' + name + '/' + name_;
    }
  }

 private:
  std::string place_;
  std::string name_;
  PublishOptions options_;
  Fd parent_;
  std::unique_ptr<ScratchDirectory> scratch_;
  std::unique_ptr<PublishedStaging> staging_;
};

class UnnamedStaging final : public NpzStaging {
 public:
  explicit UnnamedStaging(const std::string& directory)
      : subject_("a temporary in " + directory), file_(open_unnamed_file(directory)) {}
  void append(Source& part) override {
    while (const std::size_t n =
               part.read_into_file(file_.get(), written_bytes_, k_append_bytes, subject_)) {
      written_bytes_ += n;
    }
  }
  void restart() override {
    if (ftruncate(file_.get(), 0) != 0) throw output_error("truncate", subject_, errno);
    written_bytes_ = 0;
  }
  int fd() const override { return file_.get(); }
  std::string publish(const std::optional<std::string>& /*manifest*/,
                      const std::optional<std::string>& /*signature*/) override {
    return {};
  }

 private:
  std::string subject_;
  Fd file_;
  std::uint64_t written_bytes_ = 0;
};

}  // namespace

std::unique_ptr<NpzStaging> stage_for_path(const std::string& path, const PublishOptions& options) {
  return std::make_unique<PublishedStaging>(path, options);
}

std::unique_ptr<NpzStaging> stage_in_fresh_directory(const std::string& name,
                                                     const PublishOptions& options) {
  return std::make_unique<FreshStaging>(name, options);
}

std::unique_ptr<NpzStaging> stage_unnamed(const std::string& directory) {
  return std::make_unique<UnnamedStaging>(directory);
}

void remove_dead_staging(const std::optional<std::string>& path, const PublishOptions& options) {
  try {
    if (path) {
      PublishOptions at_once = options;
      at_once.lock_timeout_ms = 0;  // whoever holds it may copy for long; publishing waits for it
      recover_snapshot(*path, at_once);
      return;
    }
    const Fd parent(open(fresh_place().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (parent) remove_dead_scratch(parent.get(), k_made_for, ScratchOwner::this_user);
  } catch (const Error& error) {
    log_verbose(error.what());  // whoever writes there next meets it again, and says it
  }
}

}  // namespace mad
