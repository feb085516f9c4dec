#include "snapshot/survey.hpp"

#include <fcntl.h>

#include "base/error.hpp"
#include "base/progress.hpp"
#include "snapshot/hashing_sink.hpp"

namespace mad {
namespace {

class AuditingSink final : public Sink {
 public:
  explicit AuditingSink(const std::string& subject) : auditor_(NpzLimits{}, subject) {}
  void write(Bytes bytes) override { auditor_.feed(bytes); }
  void finish() override {}

  NpzStreamAuditor& auditor() { return auditor_; }

 private:
  NpzStreamAuditor auditor_;
};

NpzMembers check_archive(int npz, std::uint64_t size_bytes, const std::string& subject) {
  auto members = audit_npz(npz, size_bytes, NpzLimits{}, subject);
  check_npz_data(npz, members, subject);
  return members;
}

}  // namespace

NpzSurvey survey_npz(int npz, std::uint64_t size_bytes, const std::string& subject) {
  posix_fadvise(npz, 0, 0, POSIX_FADV_SEQUENTIAL);
  Progress progress(subject, size_bytes);
  AuditingSink auditing(subject);
  HashingSink hashing(auditing, chunk_bytes_for(size_bytes), Producer::helps);
  for (std::uint64_t offset = 0;;) {
    const std::size_t n = pread_full(npz, hashing.room(), offset, subject);
    if (n == 0) break;
    hashing.filled(n);
    offset += n;
    progress.add(n);
  }
  hashing.finish();
  NpzSurvey survey{hashing.digests(), {}};
  if (!auditing.auditor().followable()) {
    survey.members = check_archive(npz, survey.digests.size_bytes, subject);
    return survey;
  }
  try {
    survey.members = auditing.auditor().finish();
  } catch (const Error& error) {
    // The file itself shows which member is wrong, and how.
    if (error.code == ExitCode::refused) check_archive(npz, size_bytes, subject);
    throw;
  }
  return survey;
}

}  // namespace mad
