#include "exchange/remote_place.hpp"

#include <algorithm>
#include <atomic>
#include <exception>
#include <map>
#include <mutex>
#include <thread>

#include "base/log.hpp"
#include "credentials/encoding.hpp"
#include "exchange/checking_delivery.hpp"
#include "exchange/remote_pair.hpp"
#include "io/file.hpp"
#include "manifest/manifest.hpp"
#include "retention/local_place.hpp"
#include "verify/checks.hpp"

namespace mad {
namespace {

/// A manifest takes the store its latency; of the largest, so many are held at once.
constexpr unsigned k_manifest_readers = 4;
constexpr int k_most_surveys = 20;

/// A place's URL ends with a slash, so that a name can follow.
Url place_url(const std::string& text) {
  Url url = parse_url(text);
  if (url.path.empty() || url.path.back() != '/') url.path += '/';
  return url;
}

bool is_about_object(const Error& error) {
  return error.reason == "http-status" || error.reason == "bad-answer" ||
         error.reason == "object-changing";
}

/// Calls `work(i)` for each i below `count`, from several threads; throws what the first
/// of them that failed threw.
void for_each_in_parallel(std::size_t count, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failure;
  std::mutex mutex;
  const auto run = [&] {
    try {
      for (std::size_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      next = count;
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
    }
  };
  {
    std::vector<std::jthread> threads;
    const std::size_t readers = std::min<std::size_t>(k_manifest_readers, count);
    for (std::size_t i = 1; i < readers; ++i) threads.emplace_back(run);
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

class RemotePlace final : public FetchPlace {
 public:
  RemotePlace(const std::string& text, const FetchRequest& request)
      : url_(place_url(text)),
        request_(request),
        transport_(open_transport(url_, request.transport)) {
    if (transport_->capabilities().list) return;
    throw Error(ExitCode::usage, "usage", display_url(url_),
                "expected a directory, or a place in an object store: a web server has no way to "
                "list what it holds");
  }

  std::string path_of(const std::string& npz_name) const override {
    return redacted_url(url_of(npz_name));
  }
  bool is_local() const override { return false; }
  FetchRequest request_for(const PlacedSnapshot& snapshot, FetchRequest request) const override {
    request.found = url_of(snapshot.name);
    request.url = redacted_url(*request.found);
    return request;
  }

  PlaceSurvey survey(WorkNeed works) override {
    for (int attempt = 1;; ++attempt) {
      has_vanished_ = false;
      PlaceSurvey found = list();
      for_each_in_parallel(found.snapshots.size(),
                           [&](std::size_t i) { look_into(found.snapshots[i]); });
      if (has_vanished_ && attempt < k_most_surveys) continue;
      if (works == WorkNeed::needed) add_uploads(found.works);
      return found;
    }
  }

  std::optional<Error> check(const PlacedSnapshot& snapshot) override {
    const FetchRequest request = request_for(snapshot, request_);
    const auto delivery = deliver_to_check(name_sources(request));
    Report report;
    try {
      fetch_snapshot(request, *delivery, report);
      return std::nullopt;
    } catch (const Error& error) {
      return error;
    }
  }

  Removal remove(const PlacedSnapshot& victim,
                 const std::vector<const PlacedSnapshot*>& witnesses) override {
    for (const PlacedSnapshot* witness : witnesses) {
      const auto present = transport_->stat(url_of(witness->name));
      if (!present || present->version != witness->part(Part::npz)->version) {
        return Removal::witness_lost;
      }
    }
    bool any = false;
    for (const Part part :
         {Part::npz, Part::next, Part::next_signature, Part::manifest, Part::signature}) {
      const auto& mark = victim.part(part);
      if (!mark) continue;
      const RemoveOutcome outcome =
          transport_->remove_version(url_of(victim.name, part), mark->version);
      any = any || outcome == RemoveOutcome::removed;
      // A writer took the name: all that is there is its own by now, or will be.
      if (outcome == RemoveOutcome::changed) return Removal::in_use;
    }
    return any ? Removal::removed : Removal::gone;
  }

  Removal remove(const PlacedWork& work) override {
    transport_->remove_upload({url_of(work.name), work.upload_id, work.mark.modified_s});
    return Removal::removed;
  }

  /// What completes a snapshot is its next writer's to put in place: one may be at it.
  bool can_settle(const PlacedSnapshot& snapshot) const override { return !snapshot.interrupted; }
  void settle(const PlacedSnapshot& snapshot) override {
    for (const Part part : {Part::next, Part::next_signature}) {
      const auto& mark = snapshot.part(part);
      if (mark) transport_->remove_version(url_of(snapshot.name, part), mark->version);
    }
  }

 private:
  Url url_of(const std::string& npz_name, Part part = Part::npz) const {
    Url url = url_;
    url.path += percent_encode_path(npz_name + std::string(suffix_of(part)));
    return url;
  }

  /// Of what a snapshot is made of and stands right in this place.
  std::optional<PartName> part_at(const Url& url) const {
    if (url.path.compare(0, url_.path.size(), url_.path) != 0) return std::nullopt;
    const auto name = percent_decode(url.path.substr(url_.path.size()));
    return name ? parse_part_name(*name) : std::nullopt;
  }

  PlaceSurvey list() {
    std::map<std::string, PlacedSnapshot> snapshots;
    transport_->list(url_, [&](const std::vector<ListedObject>& objects) {
      for (const ListedObject& object : objects) add(object, snapshots);
      return true;
    });
    PlaceSurvey found;
    for (auto& [name, snapshot] : snapshots) {
      snapshot.name = name;
      found.snapshots.push_back(std::move(snapshot));
    }
    return found;
  }

  void add_uploads(std::vector<PlacedWork>& works) {
    try {
      for (ListedUpload& upload : transport_->list_uploads(url_)) {
        const auto part = part_at(upload.url);
        if (!part || part->part != Part::npz) continue;
        PlacedWork work{part->npz, part->npz, true, std::move(upload.id), {}};
        work.mark.modified_s = upload.modified_s;
        works.push_back(std::move(work));
      }
    } catch (const Error& error) {
      // Who may list objects need not be allowed this, nor need every store know it.
      if (error.code != ExitCode::access_denied && error.reason != "http-status") throw;
      log_verbose(error.one_line() + "; uploads that were never ended are not looked for");
    }
  }

  void add(const ListedObject& object, std::map<std::string, PlacedSnapshot>& snapshots) const {
    const auto part = part_at(object.url);
    if (!part) return;
    snapshots[part->npz].parts[static_cast<std::size_t>(part->part)] =
        PartMark{object.version, object.size_bytes, object.modified_s, true};
  }

  void look_into(PlacedSnapshot& snapshot) {
    if (!snapshot.part(Part::npz)) return;
    try {
      read_manifest(snapshot);
    } catch (const Error& error) {
      // Of a store that is gone nothing is known, and each entry would wait for it anew.
      if (error.code == ExitCode::remote && !is_about_object(error)) throw;
      const bool refused = error.code == ExitCode::refused || error.code == ExitCode::schema;
      snapshot.state = refused ? SnapshotState::refused : SnapshotState::unreadable;
      snapshot.error = error;
    }
  }

  void read_manifest(PlacedSnapshot& snapshot) {
    const RemoteNames names(url_of(snapshot.name));
    snapshot.state = SnapshotState::no_manifest;
    PairTexts texts;
    if (snapshot.part(Part::manifest)) {
      texts.manifest = text_of(get_small(*transport_, names.manifest, k_max_manifest_bytes));
      if (!texts.manifest) has_vanished_ = true;
    }
    if (snapshot.part(Part::next)) {
      const auto npz = transport_->stat(names.npz);
      if (!npz) {
        has_vanished_ = true;
        return;
      }
      if (snapshot.part(Part::signature)) texts.signature.emplace();
      RemoteChoice choice = choose_manifest(*transport_, names, *npz, texts);
      snapshot.interrupted = choice.owner == RemoteOwner::next;
      if (snapshot.interrupted) texts.manifest = text_of(std::move(choice.next));
    }
    if (!texts.manifest) return;
    const std::string subject = display_url(snapshot.interrupted ? names.next : names.manifest);
    snapshot.facts = read_facts(*texts.manifest, subject);
    const std::uint64_t size_bytes = snapshot.size_bytes();
    if (snapshot.facts->size_bytes.value_or(size_bytes) != size_bytes) {
      throw size_mismatch(display_url(names.npz), *snapshot.facts->size_bytes, size_bytes);
    }
    snapshot.state = SnapshotState::complete;
  }

  Url url_;
  FetchRequest request_;
  std::unique_ptr<Transport> transport_;
  std::atomic<bool> has_vanished_ = false;
};

/// The local one, for fetches.
class LocalFetchPlace final : public FetchPlace {
 public:
  explicit LocalFetchPlace(std::string directory)
      : directory_(std::move(directory)), place_(open_local_place(directory_)) {
    if (directory_.back() != '/') directory_ += '/';
  }
  std::string path_of(const std::string& npz_name) const override {
    return place_->path_of(npz_name);
  }
  bool is_local() const override { return true; }
  FetchRequest request_for(const PlacedSnapshot& snapshot, FetchRequest request) const override {
    request.url = absolute_path(directory_ + snapshot.name);
    return request;
  }
  PlaceSurvey survey(WorkNeed works) override { return place_->survey(works); }
  std::optional<Error> check(const PlacedSnapshot& snapshot) override {
    return place_->check(snapshot);
  }
  Removal remove(const PlacedSnapshot& victim,
                 const std::vector<const PlacedSnapshot*>& witnesses) override {
    return place_->remove(victim, witnesses);
  }
  Removal remove(const PlacedWork& work) override { return place_->remove(work); }
  bool can_settle(const PlacedSnapshot& snapshot) const override {
    return place_->can_settle(snapshot);
  }
  void settle(const PlacedSnapshot& snapshot) override { place_->settle(snapshot); }

 private:
  std::string directory_;
  std::unique_ptr<Place> place_;
};

}  // namespace

std::unique_ptr<FetchPlace> open_place(const std::string& place, const FetchRequest& request) {
  if (place.empty())
    throw Error(ExitCode::usage, "usage", "PLACE", "expected a directory or a URL");
  const auto scheme = scheme_of(place);
  if (!scheme) return std::make_unique<LocalFetchPlace>(place);
  if (*scheme == "file") return std::make_unique<LocalFetchPlace>(path_of_file_url(place));
  return std::make_unique<RemotePlace>(place, request);
}

}  // namespace mad
