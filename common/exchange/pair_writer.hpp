#pragma once

#include <optional>
#include <string>

#include "base/error.hpp"
#include "exchange/remote_pair.hpp"
#include "transport/transport.hpp"

namespace mad {

/// Writes the small objects of a pair in a store where another writer may be at work, so that
/// what belongs to one npz never takes the place of what belongs to another's.
///
/// A write that was tried again can land late, after another writer has replaced the npz: where
/// the store knows conditions (Capabilities::conditional_put and conditional_upload) it is then
/// refused at that instant; elsewhere the npz is looked at beforehand.
class PairWriter {
 public:
  /// All arguments outlive it.  `small` is where all but the npz goes, which has a URL of its own
  /// there if `apart`.
  PairWriter(Transport& store, Transport& small, const RemoteNames& names, bool apart)
      : store_(store), small_(small), names_(names), apart_(apart) {}

  /// Nothing there may be read: writes go without conditions and looks.
  void write_unseen() { is_seeing_ = false; }

  /// Whatever is there.  Returns the version.
  std::string put(const Url& url, const std::string& text);

  /// In place of `seen` and of nothing else; false where it is there no more.
  bool put_in_place_of(const std::optional<SmallObject>& seen, const Url& url,
                       const std::string& text);

  /// The npz that this writer committed, which the next three go with.
  void committed(const ObjectInfo& npz) { npz_ = npz; }

  /// Error(remote, `lost-race`) where another npz is there by now.
  void require_own_npz();
  /// In place of `seen`, or of what another writer made of it for this npz.
  void put_beside_npz(std::optional<SmallObject> seen, const Url& url, const std::string& text);
  /// Of `url` as it is while the npz is there.
  void put_beside_npz(const Url& url, const std::string& text);
  void remove_beside_npz(const Url& url);

  /// Only while it is that version (empty: whichever it is).  Who may write need not be allowed to
  /// delete: then it stays.
  void remove_if_allowed(const Url& url, const std::string& version);

 private:
  bool has_conditions() const;
  std::optional<SmallObject> seen_beside_npz(const Url& url);

  Transport& store_;
  Transport& small_;
  const RemoteNames& names_;
  bool apart_;
  bool is_seeing_ = true;
  ObjectInfo npz_;
};

bool is_denied(const Error& error);
/// Error(remote, `lost-race`) about the npz at `url`.
Error lost_race_error(const Url& url);

}  // namespace mad
