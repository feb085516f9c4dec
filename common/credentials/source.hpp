#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.hpp"
#include "base/log.hpp"

namespace mad {

/// Where credentials were looked for in vain, and why: a line each, never a value.
using Looked = std::vector<std::string>;

/// One place that may have credentials.
template <class Value>
struct Provider {
  /// Nothing, and a line more in the list, where this place has none.  Throws where it
  /// was meant to be used and fails: a later place would be another identity.
  std::function<std::optional<Value>(Looked& looked)> load;
};

/// Error(access_denied, `no-credentials`) that lists where was looked.
Error no_credentials(const std::string& subject, const Looked& looked, const std::string& hint);
/// Error(access_denied, `credentials-expired`).
Error expired_credentials(const std::string& subject, const std::string& provider);

/// Credentials that stay valid for as long as a transfer takes.
///
/// The first get() asks the providers in order; the one that answered is asked again five
/// minutes before its credentials expire, by one thread, while the others go on with
/// those that are still valid.  Where that fails it is tried again each minute until they
/// have expired, and only then does get() throw what the provider threw.  Without any,
/// Error(access_denied, `no-credentials`).
///
/// `Value` is copyable and has `expires_at` (optional seconds since the epoch),
/// `provider` (its name) and operator==.  Thread-safe.
template <class Value>
class CredentialsSource {
 public:
  using Pointer = std::shared_ptr<const Value>;

  /// `subject` and `hint` are for the error when there are none.
  CredentialsSource(std::string subject, std::string hint, std::vector<Provider<Value>> chain,
                    std::function<std::int64_t()> now)
      : subject_(std::move(subject)),
        hint_(std::move(hint)),
        chain_(std::move(chain)),
        now_(std::move(now)) {}

  Pointer get() {
    const std::int64_t now = now_();
    {
      const std::lock_guard lock(state_);
      if (current_ && now < renew_at_) return current_;
    }
    std::unique_lock renewing(renewing_, std::defer_lock);
    Pointer usable = still_valid(now);
    if (!usable) {
      renewing.lock();
    } else if (!renewing.try_lock()) {
      return usable;
    }
    {
      const std::lock_guard lock(state_);
      if (current_ && now < renew_at_) return current_;
    }
    return usable ? renew_early(usable) : put(load());
  }

  /// After a server refused `rejected` as expired (a clock may be wrong, a session
  /// revoked): newer ones, from another thread or from the provider.  Throws
  /// Error(access_denied, `credentials-expired`) where it has only the same again.
  Pointer renew(const Pointer& rejected) {
    const std::lock_guard renewing(renewing_);
    {
      const std::lock_guard lock(state_);
      if (current_ && current_ != rejected) return current_;
    }
    Value value = load();
    if (rejected && value == *rejected) throw expired_credentials(subject_, value.provider);
    return put(std::move(value));
  }

 private:
  static constexpr std::int64_t k_ahead_seconds = 300;
  static constexpr std::int64_t k_between_attempts_seconds = 60;

  Pointer still_valid(std::int64_t now) {
    const std::lock_guard lock(state_);
    return current_ && current_->expires_at && now < *current_->expires_at ? current_ : nullptr;
  }

  Pointer renew_early(const Pointer& usable) {
    try {
      return put(load());
    } catch (const Error& error) {
      log_note("credentials could not be renewed yet: " + error.one_line());
      const std::lock_guard lock(state_);
      renew_at_ = now_() + k_between_attempts_seconds;
      if (usable->expires_at) renew_at_ = std::min(renew_at_, *usable->expires_at);
      return usable;
    }
  }

  Value load() {
    Looked looked;
    const std::size_t first = found_.value_or(0);
    const std::size_t end = found_ ? first + 1 : chain_.size();
    for (std::size_t i = first; i < end; ++i) {
      if (std::optional<Value> value = chain_[i].load(looked)) {
        if (!found_) log_verbose(subject_ + ": credentials from " + value->provider);
        found_ = i;
        return std::move(*value);
      }
    }
    throw no_credentials(subject_, looked, hint_);
  }

  Pointer put(Value value) {
    auto fresh = std::make_shared<const Value>(std::move(value));
    const std::int64_t now = now_();
    const std::lock_guard lock(state_);
    // Fresh ones that look spent come from a clock that is wrong, or live very short:
    // they are used, and not asked for at every turn.
    renew_at_ = fresh->expires_at ? std::max(*fresh->expires_at - k_ahead_seconds,
                                             now + k_between_attempts_seconds)
                                  : INT64_MAX;
    current_ = std::move(fresh);
    return current_;
  }

  const std::string subject_;
  const std::string hint_;
  const std::vector<Provider<Value>> chain_;
  const std::function<std::int64_t()> now_;

  std::mutex renewing_;  ///< held by the one thread that asks; guards found_
  std::optional<std::size_t> found_;
  std::mutex state_;  ///< never held while asking; guards the rest
  Pointer current_;
  std::int64_t renew_at_ = 0;
};

}  // namespace mad
